"""Live goes first in all processes together; what is lower keeps a small share."""

import asyncio
from collections.abc import Sequence
from itertools import chain

from connector.budget.budget import ScheduledBudget
from connector.model import Rate, Scope
from connector.ports import Priority
from tests.unit.budget.worlds import World, most_in_a_window

PAGE = Scope("pancake:page:1", Rate(5, 1.0))
ACCOUNT = Scope("folkform:default", Rate(100, 60.0))


class Crowd:
    """Callers that never stop, and when each class was let go."""

    def __init__(self, world: World, scope: Scope = PAGE) -> None:
        self.world = world
        self.scope = scope
        self.sends: dict[Priority, list[float]] = {each: [] for each in Priority}
        self._tasks: list[asyncio.Task[None]] = []

    def saturate(self, process: int, priority: Priority, callers: int = 4) -> None:
        self._tasks += [
            asyncio.create_task(self._forever(self.world.budgets[process], priority)) for _ in range(callers)
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def waits(self, process: int, calls: int, every: float) -> Sequence[float]:
        """Live calls one after the other; how long each waited, in spacings."""
        found = []
        for _ in range(calls):
            began = self.world.now()
            await self.world.budgets[process].acquire(self.scope)
            found.append(self.world.now() - began)
            await self.world.clock.sleep(every)
        return found

    async def _forever(self, budget: ScheduledBudget, priority: Priority) -> None:
        while True:
            await budget.acquire(self.scope, priority)
            self.sends[priority].append(self.world.now())

    def moments(self) -> list[float]:
        return sorted(chain.from_iterable(self.sends.values()))

    def share(self, priority: Priority) -> float:
        return len(self.sends[priority]) / sum(map(len, self.sends.values()))


async def introduced(processes: int, scope: Scope = PAGE) -> World:
    world = World(processes)
    for budget in world.budgets * 2:
        await budget.acquire(scope)
    return world


async def closed(world: World) -> None:
    for budget in world.budgets:
        await budget.close()


async def test_a_replay_in_another_process_takes_its_small_share_and_no_more() -> None:
    world = await introduced(2)
    crowd = Crowd(world)
    crowd.saturate(0, Priority.LIVE)
    crowd.saturate(1, Priority.REPLAY)
    await world.clock.sleep(400.0)
    await crowd.stop()
    assert 0.02 <= crowd.share(Priority.REPLAY) <= 0.055
    assert len(crowd.moments()) >= 0.97 * 5 * 400
    await closed(world)


async def test_each_class_below_keeps_its_share() -> None:
    world = await introduced(4)
    crowd = Crowd(world)
    for process, priority in enumerate(Priority):
        crowd.saturate(process, priority)
    await world.clock.sleep(400.0)
    await crowd.stop()
    lower = (Priority.VERIFY, Priority.BACKFILL, Priority.REPLAY)
    assert all(0.02 <= crowd.share(each) <= 0.055 for each in lower)
    await closed(world)


async def test_with_nobody_else_waiting_a_replay_takes_everything() -> None:
    world = await introduced(2)
    crowd = Crowd(world)
    crowd.saturate(0, Priority.LIVE)
    crowd.saturate(1, Priority.REPLAY)
    await world.clock.sleep(60.0)
    await crowd.stop()
    crowd.sends[Priority.REPLAY].clear()
    crowd.saturate(1, Priority.REPLAY)
    await world.clock.sleep(20.0)
    await crowd.stop()
    # At most ten spacings pass before the replay looks again.
    assert len(crowd.sends[Priority.REPLAY]) >= 5 * 20 - 13
    await closed(world)


async def test_one_process_alone_never_waits_for_its_own_better_classes() -> None:
    world = await introduced(1)
    crowd = Crowd(world)
    crowd.saturate(0, Priority.BACKFILL)
    waits = await crowd.waits(0, calls=50, every=1.0)
    await crowd.stop()
    assert max(waits) <= 0.2 + 1e-4
    moments = sorted(crowd.sends[Priority.BACKFILL])
    assert len(moments) + 50 >= 5 * (moments[-1] - moments[0]) - 2
    await closed(world)


async def test_a_live_call_waits_for_one_moment_of_each_other_process_however_busy_they_are() -> None:
    world = await introduced(4)
    crowd = Crowd(world)
    for process in (1, 2, 3):
        crowd.saturate(process, Priority.REPLAY, callers=20)
    waits = sorted(await crowd.waits(0, calls=200, every=2.0))
    await crowd.stop()
    assert waits[197] <= 5 * 0.2 + 1e-4  # p99: three moments of others, ours, and what is under way
    assert most_in_a_window(crowd.moments(), 1.0) <= 5
    await closed(world)


async def test_live_is_served_within_seconds_on_a_slow_account_that_others_saturate() -> None:
    world = await introduced(3, ACCOUNT)
    crowd = Crowd(world, ACCOUNT)
    crowd.saturate(1, Priority.REPLAY, callers=20)
    crowd.saturate(2, Priority.VERIFY, callers=20)
    waits = sorted(await crowd.waits(0, calls=100, every=5.0))
    await crowd.stop()
    assert waits[98] <= 4 * 0.6 + 1e-3
    await closed(world)


async def test_questions_stay_few_while_a_class_has_to_yield() -> None:
    world = await introduced(2)
    crowd = Crowd(world)
    crowd.saturate(0, Priority.LIVE)
    crowd.saturate(1, Priority.REPLAY)
    await world.clock.sleep(20.0)
    world.schedule.asks.clear()
    before = sum(map(len, crowd.sends.values()))
    await world.clock.sleep(200.0)
    granted = sum(map(len, crowd.sends.values())) - before
    assert len(world.schedule.asks) <= 1.15 * granted
    await crowd.stop()
    await closed(world)
