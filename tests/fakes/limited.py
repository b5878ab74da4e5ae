"""Processes that are behind, on the Pancake simulator's own limiter and a clock that moves by itself."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.budget.budget import ScheduledBudget
from connector.budget.pace import BudgetOptions
from connector.model import Rate, Scope
from connector.ports import Priority
from connector.simulator.limits import Budget
from connector.simulator.options import PancakeOptions
from tests.unit.budget.worlds import LateClock, TroubledSchedule

FIVE = Rate(5, 1.0)


@dataclass(frozen=True)
class Limited:
    """``truth``: the limit as it is; ``changes``: seconds from the beginning, and what it is from then on."""

    rate: Rate = FIVE
    truth: PancakeOptions = field(default_factory=PancakeOptions)
    changes: Sequence[tuple[float, Mapping[str, Any]]] = ()
    calls: int = 2_000
    processes: int = 1
    lanes: int = 4
    late: float = 0.002  # seconds by which a sleeper wakes up late, at worst
    travel: float = 0.002  # seconds that a call is on its way to the limiter, at worst
    answer: tuple[float, float] = (0.05, 0.3)
    away: tuple[float, float] = (0.0, 0.0)  # while the shared schedule is
    seed: int = 1


@dataclass(frozen=True)
class Ran:
    """When calls arrived (seconds from the first), and which of them were refused."""

    arrivals: Sequence[tuple[float, bool]]

    @property
    def seconds(self) -> float:
        return self.arrivals[-1][0]

    @property
    def refused(self) -> int:
        return sum(refused for _, refused in self.arrivals)

    def passed(self, begin: float = 0.0, end: float = float("inf")) -> int:
        return sum(begin <= at < end and not refused for at, refused in self.arrivals)

    def used(self, limit: float, begin: float = 0.0, end: float | None = None) -> float:
        """The share of a true ``limit`` a second that was passed."""
        end = self.seconds if end is None else end
        return self.passed(begin, end) / (limit * (end - begin))

    def refused_per_10_000(self) -> float:
        return 10_000 * self.refused / len(self.arrivals)


def run(story: Limited, options: BudgetOptions | None = None) -> Ran:
    return asyncio.run(_run(story, options or BudgetOptions()))


async def _run(story: Limited, options: BudgetOptions) -> Ran:
    rng = random.Random(story.seed)
    clock = LateClock(rng, story.late)
    schedule = TroubledSchedule(clock, slowness=0.001, random_=rng)
    budgets = [ScheduledBudget(schedule, clock, options) for _ in range(story.processes)]
    limiter, scope, truth = Budget("page", story.seed), Scope("page", story.rate), story.truth
    changes, arrivals, began = list(story.changes), list[tuple[float, bool]](), clock.monotonic()

    async def call(budget: ScheduledBudget) -> None:
        nonlocal truth
        await budget.acquire(scope, Priority.BACKFILL)
        left = clock.monotonic()
        await clock.sleep(rng.uniform(0, story.travel))
        now = clock.monotonic()
        while changes and now >= began + changes[0][0]:
            truth = replace(truth, **changes.pop(0)[1])
        schedule.away = story.away[0] <= now - began < story.away[1]
        refused = limiter.arrive(now, truth)
        arrivals.append((now, refused))
        await clock.sleep(rng.uniform(*story.answer))
        if refused:
            await budget.refused(scope, None, clock.monotonic() - left)

    async def lane(budget: ScheduledBudget) -> None:
        while len(arrivals) < story.calls:
            await call(budget)

    async with asyncio.TaskGroup() as group:
        for budget in budgets * story.lanes:
            group.create_task(lane(budget))
    for budget in budgets:
        await budget.close()
    first = arrivals[0][0]
    return Ran([(at - first, refused) for at, refused in arrivals])
