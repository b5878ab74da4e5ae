"""One scope inside one process: who waits, the few moments held for them, and how late we wake up."""

import asyncio

from connector.budget.line import Line
from connector.budget.pace import MOST_EXTRA, BudgetOptions
from connector.budget.slots import Slots
from connector.clock import Clock
from connector.errors import UnavailableError
from connector.model import Rate
from connector.ports import Priority

HEADROOM = 1.25
FADE = 0.97


class Lateness:
    """
    The highest of the recent latenesses, fading.

    A process whose clock or Redis answers slower than the jitter allows would lose every moment.
    It asks for moments with ``extra`` room behind them instead, and pays for the room.
    """

    def __init__(self, jitter: float) -> None:
        self._jitter = jitter
        self._peak = 0.0

    @property
    def extra(self) -> float:
        return min(MOST_EXTRA, max(0.0, self._peak * HEADROOM - self._jitter))

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
        self._clock = clock
        self._options = options
        self._held: set[asyncio.Task[None]] = set()
        self._late = Lateness(0.0)
        self._rate: Rate | None = None

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
            if self._clock.monotonic() <= closes:
                return
            # We woke up, or the loop came to us, after the moment: a call now could be one too many.
            self.lost += 1
            first = True

    async def close(self) -> None:
        self.line.fail(UnavailableError("the rate budget is closed"))
        held = list(self._held)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    def _take(self, rate: Rate) -> None:
        if rate != self._rate:
            self._rate = rate
            self._late = Lateness(self._options.jitter(rate))

    def _hold_moments(self) -> None:
        while len(self._held) < min(self._options.ahead, len(self.line)):
            task = asyncio.create_task(self._moment())
            self._held.add(task)
            task.add_done_callback(self._used)

    def _used(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        if task.cancelled():
            return
        if isinstance(error := task.exception(), Exception):
            self.line.fail(error)
        self._hold_moments()

    async def _moment(self) -> None:
        assert self._rate is not None
        slot = await self._slots.reserve(self._name, self._rate, self._late.extra)
        await self._slots.until(slot.opens)
        now = self._clock.monotonic()
        if self._slots.known(self._name).blocked > now:
            return
        self._late.saw(now - slot.due)
        self.line.serve(slot.closes)
