"""Pancake's simulator without a socket: the real HTTP client and pollers on virtual time."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import aiohttp
import httpx

from connector.budget import LocalBudget
from connector.clock import Clock
from connector.engine.backoff import Backoff
from connector.engine.poller import PagePoller, PollerTools
from connector.http.client import Answer, HttpClient, Request
from connector.model import Rate, Scope
from connector.pancake.steps import Pace, ScanStep
from connector.ports import RateBudget
from connector.settings import HttpSettings
from connector.simulator.inbox import Conversation, Page
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.replies import Reply
from connector.simulator.world import World, WorldConfig
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.pancake.direct import DirectClient, Topic, page_reader

T = TypeVar("T")
PREFIX = "/api"
TOKEN = "user"
SMALL = WorldConfig(pages=1, conversations_per_page=5, messages_per_conversation=8, plain=True)


class NearClient(HttpClient):
    """The real client; what it would write to a socket is handed to the simulator."""

    def __init__(
        self, simulator: PancakeSimulator, budget: RateBudget, clock: Clock, rate: Rate | None
    ) -> None:
        super().__init__(HttpSettings(), budget, clock, Metrics())
        self.requests: list[Request] = []
        self.before: Callable[[Request], None] = lambda _: None
        self._simulator = simulator
        self._rate = rate

    async def call(
        self, request: Request, judge: Callable[[Answer], T], leaving: asyncio.Event | None = None
    ) -> T:
        self.requests.append(request)
        self.before(request)
        limited = replace(request, scope=Scope(request.scope.name, self._rate))
        return await super().call(limited, judge, leaving)

    async def _exchange(self, wire: httpx.Request, where: str) -> Answer:
        path, _, query = wire.url.raw_path.decode().partition("?")
        reply = await self._simulator.respond(wire.method, path.removeprefix(PREFIX), query)
        return _arrived(reply, where)


def _arrived(reply: Reply, where: str) -> Answer:
    match reply.delivery:
        case "abort":
            raise aiohttp.ServerDisconnectedError(where)
        case "cut":
            raise aiohttp.ClientPayloadError(where)
        case _:
            headers = httpx.Headers({"Content-Type": reply.content_type, **reply.headers})
            return Answer(reply.status, headers, reply.body)


class Shop:
    """Pancake with its pages, a topic, and pollers that come and go as processes do."""

    def __init__(
        self,
        config: WorldConfig = SMALL,
        options: PancakeOptions | None = None,
        *,
        rate: str = "off",
        pace: Pace | None = None,
        lanes: int = 4,
    ) -> None:
        self.clock = FakeClock(auto=True, epoch_ms=config.start_ms + 60_000)
        self.world = World(config)
        self.options = options or PancakeOptions(rate=None)
        self.options.user_tokens.add(TOKEN)
        self.simulator = PancakeSimulator(self.world, options=self.options, clock=self.clock)
        self.topic = Topic(self.clock)
        self.client = NearClient(self.simulator, LocalBudget(self.clock), self.clock, Rate.parse(rate))
        self.pace = pace or Pace(2.0, 60.0)
        self.pollers: dict[str, PagePoller[ScanStep]] = {}
        self._lanes = lanes
        self._metrics = Metrics()

    @property
    def page(self) -> Page:
        """The first one."""
        return next(iter(self.world.pages.values()))

    @property
    def newest_first(self) -> list[Conversation]:
        return [self.page.conversations[place[2]] for place in reversed(self.page.by_updated)]

    def calls(self, route: str, *, page_id: str | None = None) -> int:
        return self.simulator.calls.of(page_id, route).calls

    def differs(self) -> list[str]:
        """What the topic does not tell of any page as Pancake has it now."""
        return [line for page_id in self.world.pages for line in self.topic.differs(self.world, page_id)]

    def poller(self, page_id: str) -> PagePoller[ScanStep]:
        """A new process' poller of a page: it knows what the topic holds, and no more."""
        client = cast("DirectClient", self.client)
        reader = page_reader(client, self.topic, page_id, pace=self.pace)
        backoff = Backoff(1.0, random.Random(1))
        tools = PollerTools(self.topic, self.topic, backoff, self.clock, self._metrics, self._lanes)
        self.pollers[page_id] = PagePoller(page_id, reader, tools)
        return self.pollers[page_id]

    async def once(self) -> None:
        """One whole pass over every page, as ``connector poll --once`` makes it."""
        await asyncio.gather(*(self.poller(page_id).run(once=True) for page_id in self.world.pages))

    async def for_seconds(self, seconds: float) -> None:
        """Poll every page for so long, and then die."""
        running = [asyncio.create_task(self.poller(page_id).run()) for page_id in self.world.pages]
        await self.clock.sleep(seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
