"""Schedules that forget, fall silent and answer slowly, and clocks that wake people late."""

import random
from collections.abc import Sequence

from connector.budget.budget import ScheduledBudget
from connector.budget.gcra import Answer, Ask, ScheduleLostError, State
from connector.budget.local import MemorySchedule
from connector.budget.pace import BudgetOptions
from tests.fakes.clock import FakeClock

# Spacing is the period divided by the calls.
PLAIN = BudgetOptions(jitter_share=0.0, jitter_floor=0.0, lateness=0.0)


class LateClock(FakeClock):
    """Every sleep takes up to ``worst`` seconds longer than asked."""

    def __init__(self, random_: random.Random, worst: float) -> None:
        super().__init__(auto=True)
        self._random = random_
        self._worst = worst

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self._random.uniform(0, self._worst) if seconds > 0 else 0)


class TroubledSchedule(MemorySchedule):
    """A schedule in memory that has Redis' troubles, on a clock of its own so that answers take time."""

    def __init__(
        self, clock: FakeClock, *, slowness: float = 0.0, random_: random.Random | None = None
    ) -> None:
        super().__init__(clock)
        self._fake = clock
        self._random = random_ or random.Random(0)
        self._slowness = slowness
        self.away = False
        self.lose_replies = 0
        self._kept: dict[str, State] = {}
        self.asks: list[tuple[float, Ask]] = []

    async def ask(self, name: str, ask: Ask) -> Answer:
        self.asks.append((self._fake.monotonic(), ask))
        await self._travel()
        if self.away:
            raise ScheduleLostError("ConnectionError")
        answer = await super().ask(name, ask)
        await self._travel()
        if self.lose_replies:
            self.lose_replies -= 1
            raise ScheduleLostError("TimeoutError")
        return answer

    def forget(self) -> None:
        self._states.clear()

    def keep(self) -> None:
        """Remember how it stands, as a replica would that then falls behind."""
        self._kept = dict(self._states)

    def fail_over(self) -> None:
        self._states = self._kept

    async def _travel(self) -> None:
        if self._slowness:
            await FakeClock.sleep(self._fake, self._random.uniform(0, self._slowness))


class World:
    """Some processes on one schedule and one clock that moves by itself."""

    def __init__(self, processes: int = 1, options: BudgetOptions = PLAIN) -> None:
        self.clock = FakeClock(auto=True)
        self.options = options
        self.schedule = TroubledSchedule(self.clock)
        self.budgets = [ScheduledBudget(self.schedule, self.clock, options) for _ in range(processes)]

    @property
    def budget(self) -> ScheduledBudget:
        return self.budgets[0]

    def now(self) -> float:
        """Seconds since the world began."""
        return round(self.clock.monotonic() - 1000.0, 6)


def most_in_a_window(sends: Sequence[float], period: float) -> int:
    """The most sends that any window of one period holds; two microseconds are rounding."""
    ordered = sorted(sends)
    return max(
        (sum(start <= each < start + period - 2e-6 for each in ordered) for start in ordered), default=0
    )
