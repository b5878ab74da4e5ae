"""The budget of one process by itself: for the demo, for tests, and wherever there is no Redis."""

import math

from connector.budget.budget import ScheduledBudget
from connector.budget.gcra import Answer, Ask, State, step
from connector.budget.pace import SECOND, BudgetOptions
from connector.clock import Clock


class MemorySchedule:
    """Schedules in this process's memory; several budgets may share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, State] = {}

    async def ask(self, name: str, ask: Ask) -> Answer:
        now = math.floor(self._clock.monotonic() * SECOND)
        self._states[name], answer = step(self._states.get(name), now, ask)
        return answer

    async def close(self) -> None: ...


class LocalBudget(ScheduledBudget):
    """Keeps the limit for this process; a second process would double it."""

    def __init__(self, clock: Clock, options: BudgetOptions | None = None) -> None:
        super().__init__(MemorySchedule(clock), clock, options or BudgetOptions())
