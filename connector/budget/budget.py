"""The budget that both twins are: lanes on top of a schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from connector.budget.gcra import Schedule
from connector.budget.lane import Lane
from connector.budget.learnt import FULL
from connector.budget.pace import BudgetOptions
from connector.budget.slots import Slots
from connector.clock import Clock
from connector.errors import UnavailableError
from connector.model import LimitsHeard, Rate, Scope, ScopeUse
from connector.ports import Priority

LEAST_CAP = FULL // 1000  # a header that allows less is not believed to that

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Count:
    """What was asked of one scope."""

    scope: Scope
    grants: int = 0
    refusals: int = 0
    told: int = FULL
    waited: list[float] = field(default_factory=lambda: [0.0] * len(Priority))


class ScheduledBudget:
    """A ``RateBudget`` on any schedule."""

    def __init__(self, schedule: Schedule, clock: Clock, options: BudgetOptions) -> None:
        self._schedule = schedule
        self._clock = clock
        self._options = options
        self._slots = Slots(schedule, clock, options)
        self._lanes: dict[str, Lane] = {}
        self._counts: dict[str, Count] = {}
        self._closed = False

    async def acquire(self, scope: Scope, priority: Priority = Priority.LIVE) -> None:
        """
        Return at the moment at which one call may be sent. Cancelled: the place is lost, no harm.

        A scope without a rate waits only for the end of a refusal that this process was told of.

        Raises:
            UnavailableError: the budget is closed.
        """
        if self._closed:
            raise UnavailableError("the rate budget is closed")
        count = self._count(scope)
        if scope.rate is None:
            await self._slots.until(self._slots.known(scope.name).blocked)
        else:
            began = self._clock.monotonic()
            await self._lane(scope.name).acquire(scope.rate, priority)
            count.waited[priority] += self._clock.monotonic() - began
        count.grants += 1

    async def refused(self, scope: Scope, after: float | None, age: float = 0.0) -> None:
        """
        Stop the scope for ``after`` seconds, kept within 0.1 s and 5 min, and cut its learnt limit.

        None: two spacings, or one period (at most 5 s) when the last cut did not help. ``age``: seconds
        since the refused call left; one that left before the last cut could help makes no other. Blocks do
        not add up: the one that ends last counts, and None during a block changes nothing.
        """
        self._count(scope).refusals += 1
        await self._slots.refused(scope.name, scope.rate, after, self._clock.monotonic() - age)

    async def heard(self, scope: Scope, limits: LimitsHeard) -> None:
        """Keep to what the API's headers say: a lower limit; nothing before the reset when none is left."""
        count = self._count(scope)
        cap = _cap(scope.rate, limits)
        if cap not in (0, count.told):
            count.told = cap
            if cap < FULL:
                log.warning("the API allows less than configured", scope=scope.name, share=cap / FULL)
        shut = limits.reset or 0.0 if limits.remaining == 0 else 0.0
        await self._slots.heard(scope.name, scope.rate, cap, shut)

    def snapshot(self) -> Mapping[str, ScopeUse]:
        """How each scope used so far stands."""
        return {name: self._use(name, count) for name, count in self._counts.items()}

    def lost(self, scope: Scope) -> int:
        """How many moments passed before this process woke up; each cost one call's room, and no more."""
        lane = self._lanes.get(scope.name)
        return lane.lost if lane else 0

    async def close(self) -> None:
        """End every wait with ``UnavailableError``, and let the schedule go."""
        self._closed = True
        for lane in self._lanes.values():
            await lane.close()
        await self._schedule.close()

    def _count(self, scope: Scope) -> Count:
        count = self._counts.setdefault(scope.name, Count(scope))
        count.scope = scope
        return count

    def _lane(self, name: str) -> Lane:
        if name not in self._lanes:
            self._lanes[name] = Lane(name, self._slots, self._clock, self._options)
        return self._lanes[name]

    def _use(self, name: str, count: Count) -> ScopeUse:
        rate = count.scope.rate
        lane = self._lanes.get(name)
        return ScopeUse(
            limit_per_second=rate.per_second if rate else None,
            grants=count.grants,
            refusals=count.refusals,
            waiting=len(lane.line) if lane else 0,
            degraded=rate is not None and self._slots.outage.began is not None,
            learnt_per_second=rate.per_second * self._slots.known(name).level / FULL if rate else None,
            waiting_by_class=lane.line.waiting() if lane else (),
            waited_by_class=tuple(count.waited),
        )


def _cap(rate: Rate | None, limits: LimitsHeard) -> int:
    """Millionths of the rate; 0 for no news."""
    if rate is None or limits.limit is None:
        return 0
    allowed = limits.limit / (limits.period or rate.period)
    return min(FULL, max(LEAST_CAP, round(FULL * allowed / rate.per_second)))
