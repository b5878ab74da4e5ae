"""Where the moments come from: the shared schedule, or this process's own share while that is away."""

import asyncio
import math
import uuid
from dataclasses import dataclass, replace

from connector.budget.gcra import Answer, Ask, Schedule, ScheduleLostError
from connector.budget.outage import Outage
from connector.budget.pace import SECOND, BudgetOptions, Pace
from connector.clock import Clock
from connector.model import Rate

CONCURRENT_ASKS = 8
RESTATE_EVERY = 5.0  # seconds; a block that Redis forgot is known to it again after so long
FORGET_AFTER = 60.0  # seconds; so long a process that is not seen any more still counts
HOLD = 1.5  # probes; after so long every process that waits for a moment has found Redis again


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment, in seconds of the local clock: not before ``opens``, not after ``closes``."""

    due: float  # the earliest reading of the moment; how late we are is counted from here
    opens: float
    closes: float


@dataclass(slots=True)
class Known:
    """What this process last heard of one scope; moments in seconds of the local clock."""

    processes: int
    counted: float = -math.inf  # when there were so many
    heard: float = -math.inf
    ahead: float = -math.inf  # how far the schedule reaches
    blocked: float = -math.inf
    own: float = -math.inf  # the next moment of our own share
    own_since: float = -math.inf  # the outage that it belongs to


class Slots:
    def __init__(self, schedule: Schedule, clock: Clock, options: BudgetOptions) -> None:
        self.outage = Outage(options.probe_every)
        self._schedule = schedule
        self._clock = clock
        self._options = options
        self._member = uuid.uuid4().hex
        self._known: dict[str, Known] = {}
        # Thousands of pages must not become thousands of connections; in an outage those
        # that queue here find the door shut instead of each waiting for its own timeout.
        self._gate = asyncio.Semaphore(CONCURRENT_ASKS)

    async def reserve(self, name: str, rate: Rate, extra: float) -> Slot:
        """Return a moment, at the latest when it opens, with ``extra`` seconds of room beyond the jitter."""
        pace = Pace.of(rate, self._options)
        known = self.known(name)
        late = math.ceil(extra * SECOND)
        while True:
            if known.blocked > self._clock.monotonic():
                await self._sit_out(name, known, pace)
                continue
            slot = await self._shared(name, known, pace, late) or await self._own(known, pace, late)
            if slot:
                return slot

    async def block(self, name: str, rate: Rate | None, seconds: float, *, soft: bool) -> None:
        """Stop the scope, here at once and for the others if the schedule answers."""
        known = self.known(name)
        now = self._clock.monotonic()
        if known.blocked > now and (soft or known.blocked >= now + seconds):
            return
        known.blocked = now + seconds
        if rate is not None:
            await self._ask(name, known, Pace.of(rate, self._options), block=seconds, soft=soft)

    def known(self, name: str) -> Known:
        if name not in self._known:
            self._known[name] = Known(self._options.assumed_processes)
        return self._known[name]

    async def until(self, moment: float) -> None:
        while (left := moment - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _shared(self, name: str, known: Known, pace: Pace, late: int) -> Slot | None:
        heard = await self._ask(name, known, pace, cost=pace.spacing + late)
        if heard is None:
            return None
        sent, received, answer = heard
        if not answer.granted:
            return None
        wait = answer.wait / SECOND
        # The schedule's clock stood somewhere between our question and its answer: the moment
        # is surely there after the one, and surely not older than counted from the other.
        return Slot(sent + wait, received + wait, sent + wait + (pace.jitter + late) / SECOND)

    async def _sit_out(self, name: str, known: Known, pace: Pace) -> None:
        await self.until(min(known.blocked, self._clock.monotonic() + RESTATE_EVERY))
        left = known.blocked - self._clock.monotonic() - pace.jitter / SECOND
        if left > 0:
            await self._ask(name, known, pace, block=left)

    async def _own(self, known: Known, pace: Pace, late: int) -> Slot | None:
        """Wait for the next moment of our own share; None when the schedule is worth a look first."""
        began = self.outage.began
        if began is None:
            return None
        self._begin_own(known, pace, began)
        await self.until(min(known.own, self.outage.probe_at))
        now = self._clock.monotonic()
        if self.outage.began != began or known.own > now or known.blocked > now:
            return None
        known.own = now + (pace.alone(known.processes, self._options.own_share) + late) / SECOND
        known.ahead = max(known.ahead, known.own)
        return Slot(now, now, now + (pace.jitter + late) / SECOND)

    def _begin_own(self, known: Known, pace: Pace, began: float) -> None:
        if known.own_since == began:
            return
        known.own_since = began
        # Others may hold moments of the schedule after the last that we know, and may find out
        # about the outage only when they ask next.
        patience = self._options.probe_every if known.processes > 1 else 0.0
        begin = max(known.ahead, began + patience)
        known.own = max(known.own, begin + pace.cold(known.processes) / SECOND)

    async def _ask(
        self, name: str, known: Known, pace: Pace, *, cost: int = 0, block: float = 0.0, soft: bool = False
    ) -> tuple[float, float, Answer] | None:
        async with self._gate:
            sent = self._clock.monotonic()
            if not self.outage.admit(sent):
                return None
            hold = self._hold(known, pace)
            ask = self._question(known, pace, sent)
            ask = replace(ask, cost=cost, block=max(hold, math.ceil(block * SECOND)), soft=soft and not hold)
            try:
                answer = await self._schedule.ask(name, ask)
            except ScheduleLostError as error:
                self.outage.failed(self._clock.monotonic(), error)
                return None
        received = self._clock.monotonic()
        self.outage.answered(sent, received)
        self._count(known, answer.processes, received)
        known.ahead = max(known.ahead, sent + answer.ahead / SECOND)
        if not answer.granted and answer.wait:
            known.blocked = max(known.blocked, received + answer.wait / SECOND)
        return sent, received, answer

    def _hold(self, known: Known, pace: Pace) -> int:
        """Back from an outage: the others may live on their own shares until they have found Redis too."""
        if known.processes == 1 or known.heard > self.outage.last or self.outage.last == -math.inf:
            return 0
        return math.ceil(HOLD * self._options.probe_every * SECOND) + pace.spacing * known.processes

    def _count(self, known: Known, processes: int, now: float) -> None:
        # After an outage or a flush the others have not been seen again yet, but they are there.
        if known.heard < self.outage.last:
            known.counted = now
        strangers = known.heard == -math.inf or now - known.counted > FORGET_AFTER
        if strangers or processes >= known.processes:
            known.processes, known.counted = processes, now
        known.heard = now

    def _question(self, known: Known, pace: Pace, now: float) -> Ask:
        """Say what we know, so that a schedule that was flushed, restarted or failed over grants no burst."""
        strangers = 1 if known.heard == -math.inf else known.processes
        # Less the jitter: the same distance, told a slower way, must not push the schedule.
        reach = known.ahead - now if known.ahead > now else 0.0
        return Ask(
            self._member, known=max(0, math.floor(reach * SECOND) - pace.jitter), cold=pace.cold(strangers)
        )
