"""Between a pause and the next write stands a look at the claims, and a pause in between counts too."""

import asyncio
import random
from collections.abc import Callable, Collection

from connector.engine.backoff import Backoff
from connector.engine.guard import PAUSE_SECONDS, Guard
from connector.errors import UnavailableError
from tests.fakes.clock import FakeClock


class Desk:
    """The Claims port over a set; ``meanwhile`` happens while somebody looks."""

    def __init__(self, *held: int) -> None:
        self.mine = set(held)
        self.looks = 0
        self.meanwhile: list[Callable[[], None]] = []

    def held(self) -> Collection[int]:
        return self.mine

    async def catch_up(self) -> None:
        self.looks += 1
        await asyncio.sleep(0)
        if self.meanwhile:
            self.meanwhile.pop(0)()


def built(*held: int) -> tuple[Guard, Desk, FakeClock]:
    desk, clock = Desk(*held), FakeClock(auto=True)
    return Guard(desk, clock, Backoff(1.0, random.Random(0))), desk, clock


async def test_without_a_pause_nobody_looks(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1)
    for _ in range(10):
        await clock.advance(PAUSE_SECONDS)
        assert await guard.holds(1, leaving)
        assert not await guard.holds(2, leaving)
    assert desk.looks == 0


async def test_after_a_pause_one_look_serves_everybody(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1, 2)
    await clock.advance(PAUSE_SECONDS + 1)
    assert await asyncio.gather(*(guard.holds(n % 2 + 1, leaving) for n in range(20))) == [True] * 20
    assert desk.looks == 1
    assert await guard.holds(1, leaving)
    assert desk.looks == 1


async def test_a_pause_that_the_loop_noticed_first_is_none_the_less_one(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1)
    await clock.advance(PAUSE_SECONDS + 1)
    guard.turn()
    desk.meanwhile.append(desk.mine.clear)
    assert not await guard.holds(1, leaving)


async def test_a_pause_during_the_look_whoever_notices_it_asks_for_another(leaving: asyncio.Event) -> None:
    for noticed in (True, False):
        guard, desk, clock = built(1)
        await clock.advance(PAUSE_SECONDS + 1)

        def pause(guard: Guard = guard, clock: FakeClock = clock, *, noticed: bool = noticed) -> None:
            clock.jump(PAUSE_SECONDS + 1)
            if noticed:
                guard.turn()

        desk.meanwhile += [pause, desk.mine.clear]
        assert not await guard.holds(1, leaving)
        assert desk.looks == 2


async def test_a_machine_that_slept_was_paused_too(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1)
    clock.suspend(PAUSE_SECONDS + 1)
    desk.meanwhile.append(desk.mine.clear)
    assert not await guard.holds(1, leaving)


async def test_a_clock_that_is_put_back_is_no_pause(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1)
    clock.suspend(-3600.0)
    assert await guard.holds(1, leaving)
    assert desk.looks == 0


async def test_a_look_that_fails_is_repeated_until_it_is_known(leaving: asyncio.Event) -> None:
    guard, desk, clock = built(1)

    def fail() -> None:
        raise UnavailableError("no")

    desk.meanwhile += [fail, fail]
    await clock.advance(PAUSE_SECONDS + 1)
    assert await guard.holds(1, leaving)
    assert desk.looks == 3


async def test_who_leaves_does_not_wait_for_a_look(leaving: asyncio.Event) -> None:
    guard, _, clock = built(1)
    await clock.advance(PAUSE_SECONDS + 1)
    leaving.set()
    assert not await guard.holds(1, leaving)
