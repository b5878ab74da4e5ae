"""What every rate budget promises, asked of the one in memory and of the one in Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from connector.budget import LocalBudget, RedisBudget
from connector.clock import SystemClock
from connector.errors import UnavailableError
from connector.model import Rate, Scope
from connector.ports import Priority, RateBudget
from tests.unit.budget.worlds import most_in_a_window

PAGE = Scope("pancake:page:1", Rate(10, 0.5))
OTHER = Scope("pancake:page:2", Rate(10, 0.5))
SLOW = Scope("folkform:default", Rate(1, 3600.0))


class ReadingClock(SystemClock):
    """Remembers its last reading: for a caller just served, the moment at which the budget let it go."""

    last = 0.0

    def monotonic(self) -> float:
        self.last = super().monotonic()
        return self.last


@pytest.fixture
def clock() -> ReadingClock:
    return ReadingClock()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def budget(request: pytest.FixtureRequest, clock: ReadingClock) -> AsyncIterator[RateBudget]:
    kept: RateBudget = (
        LocalBudget(clock)
        if request.param == "memory"
        else RedisBudget(request.getfixturevalue("redis_url"), clock)
    )
    yield kept
    await kept.close()


async def test_no_window_holds_more_calls_than_the_limit(budget: RateBudget, clock: ReadingClock) -> None:
    sends: list[float] = []

    async def call() -> None:
        await budget.acquire(PAGE)
        sends.append(clock.last)

    await asyncio.gather(*(call() for _ in range(30)))
    assert most_in_a_window(sends, 0.5) <= 10
    assert budget.snapshot()[PAGE.name].grants == 30


async def test_after_a_refusal_nobody_calls_for_as_long_as_it_said(
    budget: RateBudget, clock: ReadingClock
) -> None:
    waiting = asyncio.create_task(budget.acquire(PAGE))
    await budget.refused(PAGE, 0.3)
    refused = clock.monotonic()
    await waiting
    assert clock.last >= refused + 0.29
    assert budget.snapshot()[PAGE.name].refusals == 1


async def test_a_blocked_scope_holds_back_no_other(budget: RateBudget) -> None:
    await budget.refused(PAGE, 3600.0)
    blocked = asyncio.create_task(budget.acquire(PAGE))
    await budget.acquire(OTHER)
    assert not blocked.done()
    blocked.cancel()


async def test_a_scope_without_a_limit_is_counted_and_let_go(budget: RateBudget) -> None:
    free = Scope("free", None)
    for _ in range(100):
        await budget.acquire(free, Priority.REPLAY)
    use = budget.snapshot()["free"]
    assert (use.limit_per_second, use.grants, use.waiting) == (None, 100, 0)


async def test_live_goes_before_the_crowd(budget: RateBudget) -> None:
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await budget.acquire(PAGE, priority)
        order.append(priority)

    crowd = [asyncio.create_task(call(Priority.BACKFILL)) for _ in range(20)]
    await budget.acquire(OTHER)
    await call(Priority.LIVE)
    served_before = len(order) - 1
    await asyncio.gather(*crowd)
    assert served_before < 20
    assert order.index(Priority.LIVE) == served_before


async def test_cancelled_callers_harm_nobody(budget: RateBudget) -> None:
    callers = [asyncio.create_task(budget.acquire(PAGE)) for _ in range(20)]
    await budget.acquire(OTHER)
    for caller in callers[::2]:
        caller.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*callers[::2])
    await asyncio.gather(*callers[1::2])
    assert budget.snapshot()[PAGE.name].waiting == 0


async def test_closing_ends_every_wait(budget: RateBudget) -> None:
    waiting = asyncio.create_task(budget.acquire(SLOW))
    await budget.acquire(OTHER)
    assert budget.snapshot()[SLOW.name].waiting == 1
    await budget.close()
    with pytest.raises(UnavailableError):
        await waiting


async def test_closing_twice_is_closing_once(budget: RateBudget) -> None:
    await budget.close()
    await budget.close()
