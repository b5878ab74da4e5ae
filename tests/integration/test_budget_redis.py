"""The shared budget on a real Redis, which is killed, emptied, frozen and brought back."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import pytest
from redis import Redis
from redis.crc import key_slot

from connector.budget import BudgetOptions, RedisBudget
from connector.clock import SystemClock
from connector.model import Rate, Scope
from tests.services.ports import free_port
from tests.services.redis import RedisServer
from tests.unit.budget.worlds import most_in_a_window

pytestmark = pytest.mark.integration

RATE = Rate(20, 1.0)
SCOPE = Scope("pancake:page:1", RATE)
QUICK = BudgetOptions(probe_every=0.2)
PATIENCE = 60


class Process:
    """One budget with its own connection and name, as a process would have it, and when it sent."""

    def __init__(self, url: str) -> None:
        self.clock = ReadingClock()
        self.budget = RedisBudget(url, self.clock, QUICK)
        self.sends: list[float] = []

    async def call(self) -> None:
        await self.budget.acquire(SCOPE)
        self.sends.append(self.clock.last)

    @property
    def degraded(self) -> bool:
        return self.budget.snapshot()[SCOPE.name].degraded


class ReadingClock(SystemClock):
    """Remembers its last reading: for a caller just served, the moment at which the budget let it go."""

    last = 0.0

    def monotonic(self) -> float:
        self.last = super().monotonic()
        return self.last


@pytest.fixture
async def start(redis_url: str) -> AsyncIterator[Callable[[], Process]]:
    async with AsyncExitStack() as stack:

        def start() -> Process:
            process = Process(redis_url)
            stack.push_async_callback(process.budget.close)
            return process

        yield start


@pytest.fixture
async def fleet(start: Callable[[], Process]) -> AsyncIterator[list[Process]]:
    """Three processes that know of each other and call whenever they may."""
    processes = [start() for _ in range(3)]
    for process in processes * 2:
        await process.call()

    async def forever(process: Process) -> None:
        while True:
            await process.call()

    callers = [asyncio.create_task(forever(process)) for process in processes for _ in range(3)]
    yield processes
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the condition is true when it is true
            await asyncio.sleep(0.01)


async def more(fleet: list[Process], calls: int) -> None:
    """Return when each process has sent so many calls more."""
    goals = [len(process.sends) + calls for process in fleet]
    await until(lambda: all(len(p.sends) >= goal for p, goal in zip(fleet, goals, strict=True)))


def limit_held(fleet: list[Process]) -> bool:
    return most_in_a_window([send for process in fleet for send in process.sends], RATE.period) <= RATE.calls


async def test_processes_share_one_limit(fleet: list[Process]) -> None:
    await more(fleet, 15)
    assert limit_held(fleet)


async def test_a_killed_redis_slows_the_processes_down_and_stops_none(
    fleet: list[Process], redis_server: RedisServer
) -> None:
    await more(fleet, 5)
    await asyncio.to_thread(redis_server.kill)
    await until(lambda: all(process.degraded for process in fleet))
    await more(fleet, 5)
    await asyncio.to_thread(redis_server.restart)
    await until(lambda: not any(process.degraded for process in fleet))
    await more(fleet, 10)
    assert limit_held(fleet)


async def test_a_frozen_redis_is_no_different(fleet: list[Process], redis_server: RedisServer) -> None:
    await more(fleet, 5)
    redis_server.pause()
    try:
        await until(lambda: all(process.degraded for process in fleet))
        await more(fleet, 5)
    finally:
        redis_server.resume()
    await until(lambda: not any(process.degraded for process in fleet))
    await more(fleet, 10)
    assert limit_held(fleet)


async def test_silence_is_not_met_with_insistence(
    start: Callable[[], Process], redis_server: RedisServer
) -> None:
    process = start()
    await process.call()
    with Redis.from_url(redis_server.url) as client:
        before = client.info("stats")["total_connections_received"]
        redis_server.pause()
        try:
            call = asyncio.create_task(process.call())
            await until(lambda: process.degraded)
        finally:
            redis_server.resume()
        await call
        assert client.info("stats")["total_connections_received"] - before <= 4


async def test_an_emptied_redis_grants_no_burst(fleet: list[Process], redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        for _ in range(4):
            await more(fleet, 3)
            await asyncio.to_thread(client.flushall)
            await asyncio.to_thread(client.script_flush)
        await more(fleet, 10)
    assert not any(process.degraded for process in fleet)
    assert limit_held(fleet)


async def test_a_process_that_starts_without_redis_calls_on_a_share() -> None:
    process = Process(f"redis://127.0.0.1:{free_port()}/0")
    async with asyncio.timeout(PATIENCE):
        await process.call()
    assert process.degraded
    await process.budget.close()


async def test_a_grant_costs_little_more_than_one_question(fleet: list[Process], redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        before, granted = questions(client), sum(len(process.sends) for process in fleet)
        await more(fleet, 40)
        asked = questions(client) - before
        granted = sum(len(process.sends) for process in fleet) - granted
    reserved = sum(BudgetOptions().ahead for _ in fleet)
    assert asked <= 1.1 * granted + reserved


async def test_a_refusal_met_by_one_process_stops_the_other(start: Callable[[], Process]) -> None:
    here, there = start(), start()
    await here.call()
    await here.budget.refused(SCOPE, 0.5)
    refused = here.clock.monotonic()
    await there.call()
    assert there.sends[0] >= refused + 0.45


async def test_what_is_kept_shares_a_cluster_slot_expires_and_tells_nothing(
    start: Callable[[], Process], redis_url: str
) -> None:
    await start().call()
    with Redis.from_url(redis_url, decode_responses=True) as client:
        keys = client.keys("*")
        assert sorted(keys) == ["rl:{pancake:page:1}", "rl:{pancake:page:1}:seen"]
        assert len({key_slot(key.encode()) for key in keys}) == 1
        assert all(client.ttl(key) > 0 for key in keys)
        fields = client.hgetall("rl:{pancake:page:1}")
        names = {name.rstrip("0123") for name in fields}
        memory = {"cuts", "top", "base", "passed", "streak", "cap"}
        assert names == {"at", "block", "seen", "cut", "wait", "due", "who"} | memory
        assert all(re.fullmatch(r"-?\d*", value) for name, value in fields.items() if name[:3] != "who")


def questions(client: "Redis") -> int:
    with suppress(KeyError):
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])
    return 0
