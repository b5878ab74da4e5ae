"""Eight pollers' tokens over a real Redis and the simulator: killed, raced, emptied, and never told."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from redis import Redis

from connector.budget.leases import LeaseOptions, RedisLeases
from connector.clock import SystemClock
from connector.errors import ParkedError, RetryableError
from connector.model import Claim, Verdict
from connector.simulator.faults import Rule
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World
from tests.services.redis import RedisServer
from tests.unit.pancake.office import QUICK, SMALL, FastClock, Office, opened

pytestmark = pytest.mark.integration

POLLERS = 8
PATIENCE = 60.0
LASTING = LeaseOptions(call_timeout=60.0)


@pytest.fixture
def simulator() -> PancakeSimulator:
    return PancakeSimulator(World(SMALL), options=PancakeOptions(rate=None, latency=(0.0, 0.05)))


@pytest.fixture
async def open_office(
    simulator: PancakeSimulator, redis_url: str
) -> AsyncIterator[Callable[[], Awaitable[Office]]]:
    """Starts pollers: each an account with its own hold on Redis, all before one simulator."""
    url = await simulator.start()
    async with AsyncExitStack() as stack:
        clock = FastClock()

        async def start() -> Office:
            leases = RedisLeases(redis_url, clock, QUICK)
            stack.push_async_callback(leases.close)
            return await stack.enter_async_context(
                opened(before=(simulator, url), clock=clock, leases=leases)
            )

        yield start
    await simulator.stop()


async def eventually(call: Callable[[], Awaitable[object]]) -> None:
    """As a poller does: again, until it is let through."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await call()
            except (RetryableError, ParkedError):
                await asyncio.sleep(0.1)
            else:
                return


async def killed_at_times(office: Office, dice: random.Random) -> None:
    """A poller that dies a few times before it comes through; a new one takes its place."""
    for _ in range(dice.randint(0, 3)):
        task = asyncio.create_task(eventually(office.call))
        done, _ = await asyncio.wait([task], timeout=dice.uniform(0.0, 1.0))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if done:
            break
    await eventually(office.call)


@pytest.mark.parametrize("seed", range(3))
async def test_eight_pollers_make_one_token_for_each_that_died_whatever_kills_them(
    open_office: Callable[[], Awaitable[Office]], simulator: PancakeSimulator, seed: int
) -> None:
    dice = random.Random(seed)
    offices = [await open_office() for _ in range(POLLERS)]
    page_id = offices[0].page_ids[0]
    await asyncio.gather(*(office.account.pages() for office in offices))
    simulator.faults.add(Rule("reset", route="generate", after=True, probability=0.3, seed=seed))
    simulator.faults.add(Rule("truncate", route="pages", probability=0.1, seed=seed))
    for expiries in range(1, 4):
        simulator.expire_token(page_id)
        await asyncio.gather(*(killed_at_times(office, dice) for office in offices))
        assert simulator.regenerations(page_id) <= expiries
        simulator.kill_token(page_id)
        await asyncio.gather(*(killed_at_times(office, dice) for office in offices))
        assert simulator.regenerations(page_id) <= expiries
    assert simulator.regenerations(page_id) > 0
    assert {await office.account.token(page_id) for office in offices} == {
        SecretStr(simulator.token(page_id))
    }


async def test_nothing_in_redis_gives_a_token_away(
    open_office: Callable[[], Awaitable[Office]], simulator: PancakeSimulator, redis_url: str
) -> None:
    office = await open_office()
    await office.account.pages()
    tokens = {simulator.token(page_id) for page_id in office.page_ids} | {"sim-user-token"}
    for page_id in office.page_ids:
        simulator.expire_token(page_id)
    await asyncio.gather(eventually(lambda: office.call(0)), eventually(lambda: office.call(1)))
    tokens |= {simulator.token(page_id) for page_id in office.page_ids}
    held = dump(redis_url)
    assert "custody" in held
    assert office.page_ids[0] in held
    parts = {part for token in tokens for part in token.split(".") if len(part) > 20} | tokens
    assert not [part for part in parts if part in held]


def dump(url: str) -> str:
    """All keys of a Redis with all that they hold."""
    with Redis.from_url(url, decode_responses=True) as client:
        read = {"string": client.get, "hash": client.hgetall, "zset": lambda key: client.zrange(key, 0, -1)}
        return "\n".join(f"{key} {read[client.type(key)](key)}" for key in client.scan_iter())


async def claims(url: str, options: LeaseOptions = LASTING) -> Claim:
    leases = RedisLeases(url, SystemClock(), options)
    try:
        return await leases.claim("p", "n", "old")
    finally:
        await leases.close()


async def test_a_redis_that_has_forgotten_grants_nothing_while_an_older_lease_may_hold(
    redis_url: str,
) -> None:
    claim = await claims(redis_url)
    assert claim.verdict is Verdict.BUSY
    assert 0 < claim.wait <= LASTING.terms.lease / 1000
    with Redis.from_url(redis_url) as client:
        client.delete("connector:{custody}:cold")  # the time has passed
        assert (await claims(redis_url)).verdict is Verdict.HELD
        client.flushall()
    assert (await claims(redis_url)).verdict is Verdict.BUSY


async def test_a_redis_that_took_over_from_another_is_as_one_that_has_forgotten(redis_url: str) -> None:
    await claims(redis_url)
    with Redis.from_url(redis_url) as client:
        client.delete("connector:{custody}:cold")
        client.set("connector:{custody}:run", "of the server before")
    assert (await claims(redis_url)).verdict is Verdict.BUSY


async def test_a_redis_that_must_not_be_asked_who_it_is_grants_leases_all_the_same(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", ">pw", "~*", "+@all", "-info")
        narrow = redis_url.replace("redis://", "redis://narrow:pw@")
        try:
            assert (await claims(narrow)).verdict is Verdict.BUSY
            client.delete("connector:{custody}:cold")
            assert (await claims(narrow)).verdict is Verdict.HELD
        finally:
            client.execute_command("ACL", "DELUSER", "narrow")


async def test_without_redis_nobody_is_told_that_the_lease_is_theirs(
    redis_url: str, redis_server: RedisServer
) -> None:
    if not redis_server.ours:
        pytest.skip("the Redis of TEST_REDIS_URL is not ours to stop")
    await claims(redis_url)
    redis_server.stop()
    try:
        assert (await claims(redis_url)).verdict is Verdict.AWAY
    finally:
        redis_server.restart()
    assert (await claims(redis_url)).verdict is Verdict.BUSY
