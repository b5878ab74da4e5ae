"""What only a wire can do to an answer, and the page list: the real client over real sockets (1, 8, 10)."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest
from pydantic import SecretStr

from connector.budget.leases import LeaseOptions, LocalLeases
from connector.clock import Clock
from connector.engine.backoff import Backoff
from connector.engine.poller import PagePoller, PollerTools
from connector.http.client import HttpClient
from connector.model import Page
from connector.pancake.account import Account
from connector.pancake.source import PancakePage
from connector.pancake.steps import Pace, ScanStep
from connector.settings import HttpSettings, PancakeSettings
from connector.simulator.faults import Rule
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.variants import as_observed
from connector.simulator.world import World, WorldConfig
from connector.telemetry import Metrics
from tests.unit.http.grants import Grants
from tests.unit.pancake.direct import Topic
from tests.unit.pancake.office import FastClock

SMALL = WorldConfig(pages=1, conversations_per_page=4, messages_per_conversation=5)
QUICK = HttpSettings(read_timeout=0.2, total_timeout=0.4)


@dataclass
class Rig:
    """The simulator behind a port, and everything that reads from it."""

    simulator: PancakeSimulator
    client: HttpClient
    settings: PancakeSettings
    account: Account
    topic: Topic
    clock: Clock
    metrics: Metrics

    async def once(self, page: Page) -> PagePoller[ScanStep]:
        """One whole pass over one page."""
        reader = PancakePage(page, self.account, self.client, self.settings, self.clock)
        reader.resume([], Pace(1.0, 60.0))
        backoff = Backoff(1.0, random.Random(1))
        tools = PollerTools(self.topic, self.topic, backoff, self.clock, self.metrics, 4)
        poller: PagePoller[ScanStep] = PagePoller(page.id, reader, tools)
        await poller.run(once=True)
        return poller


@asynccontextmanager
async def connected(config: WorldConfig = SMALL, options: PancakeOptions | None = None) -> AsyncIterator[Rig]:
    clock, metrics = FastClock(), Metrics()
    simulator = PancakeSimulator(World(config), options=options or PancakeOptions(rate=None))
    settings = PancakeSettings(
        base_url=await simulator.start(), access_token=SecretStr("sim-user-token"), rate="off"
    )
    client = HttpClient(QUICK, Grants(), clock, metrics)
    account = Account(client, settings, LocalLeases(clock, LeaseOptions(60.0)), clock)
    try:
        yield Rig(simulator, client, settings, account, Topic(clock), clock, metrics)
    finally:
        await client.close()
        await simulator.stop()
        metrics.close()


BROKEN = (
    Rule("reset"),
    Rule("cut"),
    Rule("truncate"),
    Rule("empty"),
    Rule("hang", seconds=0.6),
    Rule("swallow", seconds=0.6),
    Rule("slow", seconds=0.6),
    Rule("status", status=502),
    Rule("status", status=503, body="{}"),
)


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: f"{rule.action}-{rule.status}")
@pytest.mark.parametrize("route", ["conversations", "messages"])
async def test_8_an_answer_that_breaks_on_its_way_is_asked_for_again(rule: Rule, route: str) -> None:
    async with connected() as rig:
        rig.simulator.faults.add(msgspec.structs.replace(rule, route=route, times=2))
        (page,) = await rig.account.pages()
        await rig.once(page)
        assert rig.topic.differs(rig.simulator.world, page.id) == []
        assert rig.topic.shelved == []


async def test_8_a_true_answer_under_a_false_name_is_a_true_answer() -> None:
    async with connected() as rig:
        rig.simulator.faults.add(Rule("content_type"))
        (page,) = await rig.account.pages()
        await rig.once(page)
        assert rig.topic.differs(rig.simulator.world, page.id) == []
        assert rig.simulator.calls.of(route="messages").calls == 4


@pytest.mark.parametrize("shape", ["categorized", "pages"])
async def test_10_the_page_list_is_read_in_the_shape_it_has_and_in_the_one_it_is_said_to_have(
    shape: str,
) -> None:
    world = WorldConfig(pages=7, conversations_per_page=0, pages_without_username=2)
    async with connected(world) as rig:
        ids = list(rig.simulator.world.pages)
        rig.simulator.options.page_list = "pages" if shape == "pages" else "categorized"
        rig.simulator.options.page_states = {ids[0]: "inactivated", ids[1]: "hidden", ids[2]: "nopermission"}
        listed = await rig.account.pages()
        assert [page.id for page in listed] == ids[3:]
        # FolkForm takes no page without a user name: the id stands in for a null.
        assert [page.username for page in listed[-2:]] == ids[-2:]
        assert all(page.username.startswith("shop.") for page in listed[:-2])


async def test_1_to_6_what_was_observed_of_pancake_altogether_loses_nothing() -> None:
    options = as_observed()
    options.rate = 30
    async with connected(options=options) as rig:
        rig.simulator.faults.add(Rule("kill_token", route="messages", skip=1, times=1))
        (page,) = await rig.account.pages()
        await rig.once(page)
        assert rig.topic.differs(rig.simulator.world, page.id) == []
