"""A real Redis behind a bad network: slow, silent, an old copy, without its clock; what is learnt stays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from redis import Redis

from connector.budget import BudgetOptions, RedisBudget
from connector.clock import SystemClock
from connector.model import LimitsHeard, Rate, Scope
from tests.services.proxy import Proxy
from tests.services.redis import RedisServer
from tests.unit.budget.worlds import most_in_a_window

pytestmark = pytest.mark.integration

RATE = Rate(20, 1.0)
SCOPE = Scope("pancake:page:1", RATE)
QUICK = BudgetOptions(probe_every=0.2)
PATIENCE = 60


class ReadingClock(SystemClock):
    """Remembers its last reading; may be ahead of the machine's on the wall."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.last = 0.0
        self._ahead_ms = round(ahead * 1000)

    def monotonic(self) -> float:
        self.last = super().monotonic()
        return self.last

    def epoch_ms(self) -> int:
        return super().epoch_ms() + self._ahead_ms


class Process:
    """One budget with its own connection, as a process would have it, and when it sent."""

    def __init__(self, url: str, ahead: float = 0.0) -> None:
        self.clock = ReadingClock(ahead)
        self.budget = RedisBudget(url, self.clock, QUICK)
        self.sends: list[float] = []

    async def call(self) -> None:
        await self.budget.acquire(SCOPE)
        self.sends.append(self.clock.last)

    async def calls(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(number):
                await self.call()

    def degraded(self) -> bool:
        return self.budget.snapshot()[SCOPE.name].degraded

    @property
    def learnt(self) -> float:
        return self.budget.snapshot()[SCOPE.name].learnt_per_second or 0.0


Start = Callable[..., Process]


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(port_of(redis_url)) as proxy:
        yield proxy


@pytest.fixture
async def start(proxy: Proxy) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        def start(url: str = "", ahead: float = 0.0) -> Process:
            process = Process(url or f"redis://127.0.0.1:{proxy.port}/0", ahead)
            stack.push_async_callback(process.budget.close)
            return process

        yield start


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port
    return port


def limit_held(*processes: Process) -> bool:
    return most_in_a_window([send for each in processes for send in each.sends], RATE.period) <= RATE.calls


async def both(here: Process, there: Process, calls: int) -> None:
    await asyncio.gather(here.calls(calls), there.calls(calls))


async def test_a_redis_that_is_two_seconds_slow_slows_nobody_to_that(start: Start, proxy: Proxy) -> None:
    here, there = start(), start()
    await both(here, there, 8)
    proxy.delay = 2.0
    await both(here, there, 6)
    assert here.degraded()
    assert there.degraded()
    proxy.delay = 0.0
    while here.degraded() or there.degraded():
        await both(here, there, 1)
    await both(here, there, 8)
    assert limit_held(here, there)


async def test_a_reply_that_is_lost_costs_moments_and_grants_none_twice(start: Start, proxy: Proxy) -> None:
    here, there = start(), start()
    await both(here, there, 8)
    for _ in range(2):
        proxy.deaf = True
        while not here.degraded():
            await here.call()
        proxy.deaf = False
        while here.degraded() or there.degraded():
            await both(here, there, 1)
    await both(here, there, 8)
    assert limit_held(here, there)


async def test_a_failover_to_a_copy_that_is_behind_grants_no_burst_and_forgets_nothing(
    start: Start, proxy: Proxy, redis_url: str
) -> None:
    here = start()
    await here.calls(5)
    with RedisServer() as other:
        copied(redis_url, other.url)
        await here.budget.refused(SCOPE, None)
        learnt = here.learnt
        await here.calls(5)
        await proxy.lead_to(port_of(other.url))
        await here.calls(20)
        fresh = start()
        await fresh.call()
        assert limit_held(here, fresh)
        assert learnt == 12.0
        assert learnt <= fresh.learnt < 20.0


async def test_an_emptied_redis_is_told_what_was_learnt(start: Start, redis_url: str) -> None:
    here = start()
    await here.call()
    await here.budget.refused(SCOPE, None)
    await here.budget.heard(SCOPE, LimitsHeard(limit=15))
    with Redis.from_url(redis_url) as client:
        client.flushall()
    await here.call()
    fresh = start()
    await fresh.call()
    assert 12.0 <= fresh.learnt <= 15.0


async def test_a_redis_that_refuses_its_clock_to_scripts_goes_by_the_callers_furthest_ahead(
    start: Start, redis_url: str
) -> None:
    without_time = f"redis://timeless:secret@127.0.0.1:{port_of(redis_url)}/0"
    with Redis.from_url(redis_url) as client:
        client.acl_setuser(
            "timeless", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-time"]
        )
        try:
            here, there = start(without_time), start(without_time, ahead=600.0)
            await both(here, there, 15)
        finally:
            client.acl_deluser("timeless")
    assert not here.degraded()
    assert not there.degraded()
    assert limit_held(here, there)


def copied(source: str, target: str) -> None:
    with Redis.from_url(source) as old, Redis.from_url(target) as new:
        for key in old.keys("*"):
            new.restore(key, 600_000, old.dump(key) or b"")
