import asyncio

from prometheus_client.parser import text_string_to_metric_families

from connector.budget.gauges import show
from connector.model import Rate, Scope
from connector.ports import Priority
from connector.telemetry import Metrics
from tests.unit.budget.worlds import World

PAGE = Scope("pancake:page:1", Rate(5, 1.0))


async def test_what_the_budget_does_can_be_read_from_outside() -> None:
    world, metrics = World(), Metrics()
    show(world.budget, metrics)
    await world.budget.acquire(PAGE, Priority.BACKFILL)
    await world.budget.refused(PAGE, None)
    waiting = asyncio.create_task(world.budget.acquire(PAGE, Priority.REPLAY))
    await asyncio.sleep(0)
    page = figures(metrics)
    await waiting
    await world.budget.close()
    metrics.close()
    assert page["connector_budget_limit", ""] == 5.0
    assert page["connector_budget_learnt", ""] == 3.0
    assert page["connector_budget_grants_total", ""] == 1
    assert page["connector_budget_refusals_total", ""] == 1
    assert page["connector_budget_degraded", ""] == 0
    assert page["connector_budget_waiting", "replay"] == 1
    assert page["connector_budget_waited_seconds_total", "backfill"] > 0
    assert page["connector_budget_waited_seconds_total", "live"] == 0


def figures(metrics: Metrics) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(metrics.page().decode())
    samples = [sample for family in families for sample in family.samples]
    return {(each.name, each.labels.get("priority", "")): each.value for each in samples}
