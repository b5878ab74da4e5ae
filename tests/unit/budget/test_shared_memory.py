"""What one process learns of the limit, by refusal or header, all know, and no trouble makes them forget."""

import pytest
from structlog.testing import capture_logs

from connector.budget.budget import ScheduledBudget
from connector.model import LimitsHeard, Rate, Scope
from tests.unit.budget.worlds import World

PAGE = Scope("pancake:page:1", Rate(5, 1.0))
ACCOUNT = Scope("folkform:default", Rate(100, 60.0))
FREE = Scope("free", None)


def learnt(budget: ScheduledBudget, scope: Scope = PAGE) -> float:
    return budget.snapshot()[scope.name].learnt_per_second or 0.0


async def met(world: World) -> None:
    """Every process makes two calls: all know of all."""
    for budget in world.budgets * 2:
        await budget.acquire(PAGE)


async def test_replicas_that_meet_one_story_cut_once_together() -> None:
    world = World(processes=3)
    await met(world)
    for budget in world.budgets:
        await budget.refused(PAGE, None, age=0.1)
    for budget in world.budgets:
        await budget.acquire(PAGE)
    assert [learnt(each) for each in world.budgets] == pytest.approx([3.2] * 3, rel=0.07)
    assert {budget.snapshot()[PAGE.name].refusals for budget in world.budgets} == {1}


async def test_a_call_that_left_before_the_cut_makes_no_other() -> None:
    world = World()
    await met(world)
    await world.budget.refused(PAGE, None)
    await world.clock.sleep(10.0)
    await world.budget.refused(PAGE, None, age=9.9)
    assert learnt(world.budget) == 3.0
    await world.budget.refused(PAGE, None, age=0.1)
    assert learnt(world.budget) < 3.0


async def test_retry_after_cuts_once_and_stops_everybody_for_as_long_as_it_says() -> None:
    world = World(processes=2)
    await met(world)
    here, there = world.budgets
    await here.refused(PAGE, 20.0, age=0.1)
    refused = world.now()
    await there.acquire(PAGE)
    assert world.now() >= refused + 20.0
    assert learnt(there) == pytest.approx(3.0, rel=0.05)


async def test_the_calls_after_a_cut_are_as_far_apart_as_the_level_says() -> None:
    world = World()
    await world.budget.refused(PAGE, None)
    await world.budget.acquire(PAGE)
    first = world.now()
    await world.budget.acquire(PAGE)
    assert world.now() - first == pytest.approx(0.2 / 0.6, abs=1e-4)


async def test_a_flush_does_not_make_them_forget() -> None:
    world = World(processes=2)
    await met(world)
    await world.budgets[0].refused(PAGE, None)
    for budget in world.budgets:
        await budget.acquire(PAGE)
    world.schedule.forget()
    fresh = ScheduledBudget(world.schedule, world.clock, world.options)
    await world.budgets[1].acquire(PAGE)
    await fresh.acquire(PAGE)
    assert learnt(fresh) == pytest.approx(3.2, rel=0.07)


async def test_an_older_copy_is_taught_what_was_learnt_since() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    world.schedule.keep()
    await world.budget.refused(PAGE, None)
    world.schedule.fail_over()
    await world.budget.acquire(PAGE)
    fresh = ScheduledBudget(world.schedule, world.clock, world.options)
    await fresh.acquire(PAGE)
    assert learnt(fresh) == pytest.approx(3.2, rel=0.07)


async def test_what_was_learnt_during_an_outage_is_told_after_it() -> None:
    world = World(processes=2)
    await met(world)
    here, there = world.budgets
    world.schedule.away = True
    await here.acquire(PAGE)
    await here.refused(PAGE, None)
    assert learnt(here) == 3.0
    world.schedule.away = False
    while here.snapshot()[PAGE.name].degraded:
        await here.acquire(PAGE)
    await there.acquire(PAGE)
    assert learnt(there) == pytest.approx(3.2, rel=0.07)


async def test_a_lower_limit_in_the_headers_is_everybodys_at_once_and_said_once() -> None:
    world = World(processes=2)
    here, there = world.budgets
    with capture_logs() as logs:
        for remaining in (39, 38, 37):
            await here.heard(ACCOUNT, LimitsHeard(limit=40, remaining=remaining, reset=30.0))
    await there.acquire(ACCOUNT)
    assert learnt(there, ACCOUNT) == pytest.approx(40 / 60)
    assert [(log["event"], log["share"]) for log in logs] == [("the API allows less than configured", 0.4)]
    assert len([ask for _, ask in world.schedule.asks if ask.cap]) == 1


async def test_a_higher_limit_in_the_headers_is_never_above_the_configured_one() -> None:
    world = World()
    await world.budget.heard(ACCOUNT, LimitsHeard(limit=40))
    await world.budget.heard(ACCOUNT, LimitsHeard(limit=100_000))
    await world.budget.acquire(ACCOUNT)
    assert learnt(world.budget, ACCOUNT) == pytest.approx(100 / 60)


async def test_a_limit_with_its_own_period_is_compared_by_the_second() -> None:
    world = World()
    await world.budget.heard(ACCOUNT, LimitsHeard(limit=10, period=10.0))
    await world.budget.acquire(ACCOUNT)
    assert learnt(world.budget, ACCOUNT) == pytest.approx(1.0)


async def test_a_limit_that_is_absurdly_low_stops_nobody_for_good() -> None:
    world = World()
    await world.budget.heard(ACCOUNT, LimitsHeard(limit=1, period=3600.0))
    await world.budget.acquire(ACCOUNT)
    assert learnt(world.budget, ACCOUNT) == pytest.approx(100 / 60 / 1000)


async def test_with_none_remaining_nobody_goes_before_the_reset() -> None:
    world = World(processes=2)
    await met(world)
    here, there = world.budgets
    await here.heard(PAGE, LimitsHeard(limit=5, remaining=0, reset=12.0))
    told = world.now()
    await there.acquire(PAGE)
    assert world.now() >= told + 12.0
    assert learnt(there) == 5.0  # no call was refused: nothing is cut


async def test_with_some_remaining_the_headers_cost_no_question() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    world.schedule.asks.clear()
    for remaining in range(1, 5):
        await world.budget.heard(PAGE, LimitsHeard(limit=5, remaining=remaining, reset=1.0))
    assert not world.schedule.asks


async def test_a_scope_without_a_rate_waits_for_the_reset_too() -> None:
    world = World()
    await world.budget.heard(FREE, LimitsHeard(limit=5, remaining=0, reset=3.0))
    await world.budget.acquire(FREE)
    assert world.now() == pytest.approx(3.0)


async def test_without_a_rate_many_refusals_are_one_block_too() -> None:
    world = World()
    for _ in range(5):
        await world.budget.refused(FREE, None)
        await world.clock.sleep(0.1)
    await world.budget.acquire(FREE)
    assert world.now() == pytest.approx(1.0)


async def test_refusals_while_everything_is_refused_leave_a_tenth_of_the_limit() -> None:
    world = World()
    for _ in range(40):
        await world.budget.acquire(PAGE)
        await world.budget.refused(PAGE, None, age=0.0)
    assert learnt(world.budget) == pytest.approx(0.5)
