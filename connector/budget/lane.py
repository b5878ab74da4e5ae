"""One scope inside one process: who waits, the few moments held for them, and how late we wake up."""

import asyncio

from connector.budget.line import Line
from connector.budget.pace import MOST_EXTRA, SECOND, BudgetOptions, Pace
from connector.budget.slots import Slots, Wish, Yield
from connector.clock import Clock
from connector.errors import UnavailableError
from connector.model import Rate
from connector.ports import Priority

HEADROOM = 1.25
FADE = 0.97
# Microseconds. Where moments are as far apart, one is enough to be on time; a second one, reserved for
# a lower class, would only stand before a live call of another process.
SPARSE = SECOND // 20
RETRY = 10  # spacings; a class that yields asks again at least so often


class Lateness:
    """
    The highest of the recent latenesses, fading.

    A process whose clock or Redis answers slower than its moments allow would lose every one of them.
    It asks for moments with more room behind them instead, and pays for the room.
    """

    def __init__(self) -> None:
        self._peak = 0.0

    def beyond(self, allowed: float) -> float:
        return min(MOST_EXTRA, max(0.0, self._peak * HEADROOM - allowed))

    def saw(self, late: float) -> None:
        self._peak = max(late, self._peak * FADE)


class Lane:
    """
    Moments are reserved by tasks of the lane and go to whoever is next when they open.

    So a live call that comes last takes the very next moment, and the places of cancelled callers
    are of use to others. At most ``ahead`` moments are held at once.
    """

    def __init__(self, name: str, slots: Slots, clock: Clock, options: BudgetOptions) -> None:
        self.line = Line(options.patience)
        self.lost = 0
        self._name = name
        self._slots = slots
        self._known = slots.known(name)
        self._clock = clock
        self._options = options
        self._held: set[asyncio.Task[None]] = set()
        self._yields: dict[Priority, asyncio.Task[None]] = {}
        self._yielded = 0
        self._late = Lateness()
        self._rate: Rate | None = None
        self._pace = Pace(0, 0, 0, 0, 0, 0, 0)

    async def acquire(self, rate: Rate, priority: Priority) -> None:
        self._take(rate)
        first = False
        while True:
            place = self.line.join(priority, first=first)
            self._hold_moments()
            try:
                closes = await place
            finally:
                self.line.leave(priority, place)
            if await self._leave(closes):
                return
            # We woke up, or the loop came to us, after the moment: a call now could be one too many.
            self.lost += 1
            first = True

    async def close(self) -> None:
        self.line.fail(UnavailableError("the rate budget is closed"))
        held = [*self._held, *self._yields.values()]
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _leave(self, closes: float) -> bool:
        """Let a call go, a whole period after the one that would make it too many."""
        apart = self._pace.apart / SECOND
        while True:
            now = self._clock.monotonic()
            if now > closes:
                return False
            if (early := self._known.departures.earliest(self._pace.calls, apart) - now) <= 0:
                self._known.departures.note(now, apart)
                return True
            await self._clock.sleep(early)

    def _take(self, rate: Rate) -> None:
        if rate != self._rate:
            self._rate = rate
            self._pace = Pace.of(rate, self._options)
            self._late = Lateness()

    def _hold_moments(self) -> None:
        while len(self._held) < min(self._most(), len(self.line)):
            best = self.line.best()
            if best is None or best in self._yields:
                return
            task = asyncio.create_task(self._moment(best))
            self._held.add(task)
            task.add_done_callback(self._used)

    def _most(self) -> int:
        modest = self._known.shared and self._pace.spacing > SPARSE and self.line.best() != Priority.LIVE
        return 1 if modest else self._pace.ahead

    def _used(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        if task.cancelled():
            return
        if isinstance(error := task.exception(), Exception):
            self.line.fail(error)
        self._hold_moments()

    async def _moment(self, priority: Priority) -> None:
        assert self._rate is not None
        extra = self._late.beyond(self._pace.late(self._known.processes) / SECOND)
        wish = Wish(priority, len(self._held) - 1, extra)
        slot = await self._slots.reserve(self._name, self._rate, wish)
        if isinstance(slot, Yield):
            self._yield(priority, slot.until)
            return
        self._yielded = 0
        await self._slots.until(slot.opens)
        now = self._clock.monotonic()
        if self._known.blocked > now:
            return
        self._late.saw(now - slot.due)
        self.line.serve(slot.closes)

    def _yield(self, priority: Priority, until: float) -> None:
        # While a better class keeps waiting elsewhere, we look ever more seldom: each look is a question.
        now = self._clock.monotonic()
        longest = max(until - now, RETRY * self._pace.stretched(self._known.level) / SECOND)
        nap = min((until - now) * 2**self._yielded, longest)
        self._yielded += 1
        self._yields[priority] = asyncio.create_task(self._nap(priority, now + nap))

    async def _nap(self, priority: Priority, until: float) -> None:
        await self._slots.until(until)
        del self._yields[priority]
        self._hold_moments()
