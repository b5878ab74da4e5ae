"""What leases promise, asked of those in one process and of those in Redis."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from connector.budget.leases import PATIENCE as PATIENCE_OF_ONE
from connector.budget.leases import LeaseOptions, LocalLeases, RedisLeases
from connector.clock import SystemClock
from connector.model import Claim, Verdict
from connector.ports import Leases

QUICK = LeaseOptions(call_timeout=0.1, window=0.1, margin=0.1, memory=0.6)
LASTING = LeaseOptions(call_timeout=60.0)
PATIENCE = 20.0

Process = Callable[[LeaseOptions], Leases]


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def process(request: pytest.FixtureRequest) -> AsyncIterator[Process]:
    """Makes a process' hold on the leases; those in memory are one for all."""
    clock = SystemClock()
    local: dict[LeaseOptions, Leases] = {}
    made: list[Leases] = []
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""

    def new(options: LeaseOptions) -> Leases:
        if not url:
            return local.setdefault(options, LocalLeases(clock, options))
        made.append(RedisLeases(url, clock, options))
        return made[-1]

    if url:
        await warm(new(QUICK))
    yield new
    for leases in made:
        await leases.close()


async def warm(leases: Leases) -> None:
    """An empty Redis may have forgotten a lease, so it grants none at first."""
    await until(lambda: leases.claim("warm", "w", ""), Verdict.HELD)


async def until(claim: Callable[[], Awaitable[Claim]], verdict: Verdict) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await claim()).verdict is not verdict:  # noqa: ASYNC110 - no event tells that a key has ended
            await asyncio.sleep(0.02)


async def test_one_of_many_gets_the_lease(process: Process) -> None:
    many = [process(LASTING) for _ in range(8)]
    claims = await asyncio.gather(*(one.claim("p", f"n{i}", "old") for i, one in enumerate(many)))
    assert sorted(claim.verdict.value for claim in claims) == ["busy"] * 7 + ["held"]
    assert all(claim.wait > 0 for claim in claims if claim.verdict is Verdict.BUSY)


async def test_pages_have_leases_of_their_own(process: Process) -> None:
    one, other = process(LASTING), process(LASTING)
    assert (await one.claim("p", "a", "old")).verdict is Verdict.HELD
    assert (await other.claim("q", "b", "old")).verdict is Verdict.HELD


async def test_a_lease_that_is_given_back_goes_to_the_next(process: Process) -> None:
    one, other = process(LASTING), process(LASTING)
    await one.claim("p", "a", "old")
    await other.give_back("p", "b")  # not theirs to give
    assert (await other.claim("p", "b", "old")).verdict is Verdict.BUSY
    await one.give_back("p", "a")
    assert (await other.claim("p", "b", "old")).verdict is Verdict.HELD


async def test_a_lease_whose_holder_died_lapses(process: Process) -> None:
    one, other = process(QUICK), process(QUICK)
    await one.claim("p", "a", "old")
    await until(lambda: other.claim("p", "b", "old"), Verdict.HELD)
    assert await one.confirm("p", "a") is None


async def test_only_the_holder_may_go_on(process: Process) -> None:
    one, other = process(LASTING), process(LASTING)
    await one.claim("p", "a", "old")
    assert await other.confirm("p", "b") is None
    send_until = await one.confirm("p", "a")
    assert send_until is not None
    assert send_until > SystemClock().monotonic()


async def test_what_was_made_in_place_of_what_is_remembered_for_a_while(process: Process) -> None:
    one, other = process(QUICK), process(QUICK)
    await one.claim("p", "a", "old")
    await one.record("p", "a", "old", "new")
    said = [(await other.claim("p", "b", token)).verdict for token in ("old", "new", "third")]
    assert said == [Verdict.REPLACED, Verdict.SPOILT, Verdict.FOUGHT]
    assert (await other.claim("q", "b", "old")).verdict is Verdict.HELD
    await until(lambda: other.claim("p", "b", "new"), Verdict.HELD)


async def test_who_knows_of_no_other_process_is_patient_for_as_long_as_chance_says() -> None:
    leases = LocalLeases(SystemClock(), LASTING, random.Random(1))
    waits = [(await leases.claim(f"p{page}", "a", "old")).wait for page in range(200)]
    assert 0.0 <= min(waits) < 1.0
    assert PATIENCE_OF_ONE - 1.0 < max(waits) <= PATIENCE_OF_ONE


async def test_what_was_made_is_remembered_though_the_lease_was_lost(process: Process) -> None:
    one, other = process(LASTING), process(LASTING)
    await one.claim("p", "a", "old")
    await other.record("p", "late", "old", "new")
    await one.give_back("p", "a")
    assert (await other.claim("p", "b", "old")).verdict is Verdict.REPLACED
