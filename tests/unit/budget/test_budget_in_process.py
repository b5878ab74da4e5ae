import asyncio

import pytest

from connector.budget import LocalBudget
from connector.budget.budget import ScheduledBudget
from connector.budget.gcra import Answer, Ask
from connector.budget.lane import Lateness
from connector.budget.local import MemorySchedule
from connector.budget.pace import BudgetOptions
from connector.errors import UnavailableError
from connector.model import Rate, Scope
from connector.ports import Priority
from tests.fakes.clock import FakeClock, settle
from tests.unit.budget.worlds import PLAIN, TroubledSchedule, World, most_in_a_window

PAGE = Scope("pancake:page:1", Rate(5, 1.0))
FREE = Scope("free", None)


class LeapingClock(FakeClock):
    """Once, a moment passes unseen: the loop was busy when the sleeper should have woken."""

    leap = 0.0

    async def sleep(self, seconds: float) -> None:
        leap, self.leap = self.leap, 0.0
        await super().sleep(seconds + leap)


async def test_calls_leave_one_spacing_apart_and_the_first_after_one() -> None:
    world = World()
    moments = []
    for _ in range(4):
        await world.budget.acquire(PAGE)
        moments.append(world.now())
    assert moments == pytest.approx([0.2, 0.4, 0.6, 0.8], abs=1e-5)
    await world.budget.close()


async def test_a_live_call_takes_the_next_moment_however_many_wait() -> None:
    world = World()
    order: list[str] = []

    async def call(name: str, priority: Priority) -> None:
        await world.budget.acquire(PAGE, priority)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(call(f"backfill {number}", Priority.BACKFILL))
        await world.clock.sleep(0.5)
        group.create_task(call("live", Priority.LIVE))
    assert order.index("live") == 2
    assert [name for name in order if name != "live"] == [f"backfill {number}" for number in range(50)]
    await world.budget.close()


async def test_a_process_holds_two_moments_however_many_wait() -> None:
    clock = FakeClock()
    schedule = TroubledSchedule(clock)
    budget = ScheduledBudget(schedule, clock, PLAIN)
    waiting = [asyncio.create_task(budget.acquire(PAGE, Priority.BACKFILL)) for _ in range(300)]
    await clock.advance(0.25)  # the first of them was served, at the beginning of the schedule
    schedule.asks.clear()
    await clock.advance(0.1)
    assert not schedule.asks
    await clock.advance(0.1)
    assert len(schedule.asks) == 1
    assert budget.snapshot()[PAGE.name].waiting == 298
    await budget.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_one_question_per_grant() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    world.schedule.asks.clear()
    await asyncio.gather(*(world.budget.acquire(PAGE) for _ in range(100)))
    assert len(world.schedule.asks) == 100
    await world.budget.close()


async def test_cancelled_callers_leave_their_moments_to_the_others() -> None:
    world = World()
    first, second = (asyncio.create_task(world.budget.acquire(PAGE)) for _ in range(2))
    await world.clock.sleep(0.1)
    first.cancel()
    await second
    assert world.now() == pytest.approx(0.2, abs=1e-5)
    assert world.budget.snapshot()[PAGE.name].waiting == 0
    await world.budget.close()


async def test_a_moment_slept_through_is_reserved_again_instead_of_used_late() -> None:
    clock = LeapingClock(auto=True)
    budget = LocalBudget(clock)
    await budget.acquire(PAGE)
    slept_through = clock.monotonic() + 0.2
    clock.leap = 5.0
    await budget.acquire(PAGE)
    assert clock.monotonic() == pytest.approx(slept_through + 5.0, abs=0.01)
    assert budget.lost(PAGE) == 1
    assert budget.snapshot()[PAGE.name].grants == 2
    await budget.close()


async def test_one_that_wakes_late_and_alone_leaves_late_and_keeps_its_distance_from_then_on() -> None:
    clock = LeapingClock(auto=True)
    budget = LocalBudget(clock)
    for _ in range(5):
        await budget.acquire(PAGE)
    clock.leap = 0.15
    sends = []
    for _ in range(12):
        await budget.acquire(PAGE)
        sends.append(clock.monotonic())
    assert budget.lost(PAGE) == 0
    assert most_in_a_window(sends, 1.005) <= 5
    await budget.close()


async def test_one_that_joins_leaves_room_for_a_call_that_is_late_because_it_believed_itself_alone() -> None:
    clock = LeapingClock(auto=True)
    schedule = TroubledSchedule(clock)
    here, there = (ScheduledBudget(schedule, clock, BudgetOptions()) for _ in range(2))
    sends: list[float] = []

    async def call(budget: ScheduledBudget) -> None:
        await budget.acquire(PAGE)
        sends.append(clock.monotonic())

    for _ in range(6):
        await call(here)
    clock.leap = 0.24
    late = asyncio.create_task(call(here))
    while clock.leap:  # noqa: ASYNC110 - it sleeps when it sleeps
        await asyncio.sleep(0)
    await asyncio.gather(*(call(there) for _ in range(10)))
    await late
    assert most_in_a_window(sends, 1.0) <= 5
    await here.close()
    await there.close()


async def test_a_process_that_always_wakes_late_still_gets_moments() -> None:
    class SlowClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.1 if seconds > 0 else 0)

    budget = LocalBudget(SlowClock(auto=True))
    for _ in range(200):
        await budget.acquire(PAGE)
    assert budget.lost(PAGE) <= 20
    await budget.close()


def test_the_room_asked_for_follows_the_lateness_and_fades() -> None:
    late = Lateness()
    assert late.beyond(0.02) == 0
    late.saw(0.08)
    assert late.beyond(0.02) == pytest.approx(0.08)
    for _ in range(100):
        late.saw(0.0)
    assert late.beyond(0.02) == 0
    late.saw(60.0)
    assert late.beyond(0.02) == 0.25


async def test_a_refusal_stops_the_scope_for_as_long_as_the_api_said() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    await world.budget.refused(PAGE, 7.0)
    await world.budget.acquire(PAGE)
    assert world.now() == pytest.approx(7.2, abs=1e-4)
    await world.budget.close()


async def test_a_moment_reserved_before_the_refusal_is_not_used() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    call = asyncio.create_task(world.budget.acquire(PAGE))
    await world.clock.sleep(0.1)
    await world.budget.refused(PAGE, 3.0)
    await call
    assert world.now() >= 3.3
    await world.budget.close()


async def test_many_refusals_at_once_stop_the_scope_once_for_two_spacings() -> None:
    world = World()
    await asyncio.gather(*(world.budget.refused(PAGE, None) for _ in range(50)))
    await world.clock.sleep(0.5)
    await world.budget.refused(PAGE, None, age=0.5)
    await world.budget.acquire(PAGE)
    assert world.now() == pytest.approx(0.5, abs=1e-4)
    assert world.budget.snapshot()[PAGE.name].refusals == 51
    await world.budget.close()


async def test_a_refusal_soon_after_the_first_stops_the_scope_for_a_period() -> None:
    world = World()
    await world.budget.refused(PAGE, None)
    await world.clock.sleep(0.5)
    await world.budget.refused(PAGE, None, age=0.1)
    await world.budget.acquire(PAGE)
    assert world.now() == pytest.approx(1.5, abs=1e-4)
    await world.budget.close()


async def test_a_longer_wish_extends_the_block() -> None:
    world = World()
    await world.budget.refused(PAGE, 1.0)
    await world.budget.refused(PAGE, 4.0)
    await world.budget.refused(PAGE, 2.0)
    await world.budget.acquire(PAGE)
    assert world.now() == pytest.approx(4.0, abs=1e-4)
    await world.budget.close()


async def test_another_process_learns_of_the_block_with_its_next_question() -> None:
    world = World(processes=2)
    here, there = world.budgets
    await here.refused(PAGE, 30.0)
    await there.acquire(PAGE)
    assert world.now() >= 30.0
    await here.close()
    await there.close()


async def test_a_block_that_the_schedule_forgot_is_told_again() -> None:
    world = World(processes=2)
    here, there = world.budgets
    await here.refused(PAGE, 60.0)
    waiting = asyncio.create_task(here.acquire(PAGE))
    await world.clock.sleep(1.0)
    world.schedule.forget()
    await world.clock.sleep(6.0)
    await there.acquire(PAGE)
    assert world.now() >= 59.0
    await waiting
    await here.close()
    await there.close()


async def test_a_scope_without_a_limit_waits_for_nothing_but_its_refusals() -> None:
    world = World()
    await world.budget.acquire(FREE)
    assert world.now() == 0
    await world.budget.refused(FREE, 3.0)
    await world.budget.acquire(FREE)
    assert world.now() == pytest.approx(3.0)
    use = world.budget.snapshot()[FREE.name]
    assert (use.limit_per_second, use.grants, use.refusals) == (None, 2, 1)
    await world.budget.close()


async def test_a_new_rate_counts_from_the_last_call() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    slower = Scope(PAGE.name, Rate(1, 10.0))
    await world.budget.acquire(slower)
    assert world.now() == pytest.approx(10.2, abs=1e-4)
    assert world.budget.snapshot()[PAGE.name].limit_per_second == 0.1
    await world.budget.close()


async def test_closing_ends_every_wait() -> None:
    budget = LocalBudget(FakeClock())
    waiting = [asyncio.create_task(budget.acquire(PAGE)) for _ in range(5)]
    await settle()
    await budget.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(end, UnavailableError) for end in ends)
    with pytest.raises(UnavailableError):
        await budget.acquire(PAGE)


async def test_a_flaw_in_the_schedule_reaches_the_callers() -> None:
    class Flawed(MemorySchedule):
        async def ask(self, name: str, ask: Ask) -> Answer:
            raise KeyError(name, ask)

    clock = FakeClock(auto=True)
    budget = ScheduledBudget(Flawed(clock), clock, PLAIN)
    with pytest.raises(KeyError):
        await budget.acquire(PAGE)
    await budget.close()
