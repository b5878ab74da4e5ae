"""Where the moments come from: the shared schedule, or this process's own share while that is away."""

import asyncio
import math
import uuid
from dataclasses import dataclass, replace

from connector.budget.gcra import Answer, Ask, Refusal, Schedule, ScheduleLostError
from connector.budget.known import Known
from connector.budget.outage import Outage
from connector.budget.pace import (
    BRIEF,
    LATEST_ALONE,
    LONGEST_BLOCK,
    SECOND,
    BudgetOptions,
    Pace,
    block_seconds,
    story_seconds,
)
from connector.clock import Clock
from connector.model import Rate
from connector.ports import Priority

CONCURRENT_ASKS = 8
RESTATE_EVERY = 5.0  # seconds; a block that Redis forgot is known to it again after so long
HOLD = 1.5  # probes; after so long every process that waits for a moment has found Redis again


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment, in seconds of the local clock: not before ``opens``, not after ``closes``."""

    due: float  # the earliest reading of the moment; how late we are is counted from here
    opens: float
    closes: float


@dataclass(frozen=True, slots=True)
class Yield:
    """No moment: in another process a better class waits. Worth asking again at ``until``."""

    until: float


@dataclass(frozen=True, slots=True)
class Wish:
    """Who asks: the best class that waits here, beside how many moments ``held``, with how much room."""

    priority: Priority = Priority.LIVE
    held: int = 0
    extra: float = 0.0  # seconds beyond the lateness that the pace has room for


class Slots:
    def __init__(self, schedule: Schedule, clock: Clock, options: BudgetOptions) -> None:
        self.outage = Outage(options.probe_every)
        self._schedule = schedule
        self._clock = clock
        self._options = options
        self._member = uuid.uuid4().hex[:16]
        self._known: dict[str, Known] = {}
        # Thousands of pages must not become thousands of connections; in an outage those
        # that queue here find the door shut instead of each waiting for its own timeout.
        self._gate = asyncio.Semaphore(CONCURRENT_ASKS)

    async def reserve(self, name: str, rate: Rate, wish: Wish) -> Slot | Yield:
        """Return a moment, at the latest when it opens; or that a better class goes first."""
        pace = Pace.of(rate, self._options)
        known = self.known(name)
        while True:
            if known.blocked > self._clock.monotonic():
                await self._sit_out(name, known, pace)
                continue
            found = await self._shared(name, known, pace, wish) or await self._own(known, pace, wish)
            if found:
                return found

    async def refused(self, name: str, rate: Rate | None, after: float | None, left: float) -> None:
        """A call that left at ``left`` was refused: stop the scope, and cut its limit once for all."""
        known, now = self.known(name), self._clock.monotonic()
        soft = after is None or math.isnan(after)
        seconds = block_seconds(after, rate)
        if rate is None:
            if not (soft and known.blocked > now):
                known.blocked = max(known.blocked, now + seconds)
            return
        story = story_seconds(rate)
        first = left > known.cut_at + story
        if soft and not first and (known.blocked > now or left <= known.cut_at):
            return
        pace = Pace.of(rate, self._options)
        # The others hold moments, and what is refused may fill the window too: let it run empty.
        spacings = max(BRIEF, known.met + 1)
        brief = min(spacings * pace.stretched(known.level), round(story * SECOND))
        known.blocked = max(known.blocked, now + (brief / SECOND if soft and first else seconds))
        refusal = Refusal(max(0, round((now - left) * SECOND)), round(story * SECOND), brief)
        ask = Ask(self._member, block=math.ceil(seconds * SECOND), soft=soft, refusal=refusal)
        if await self._ask(name, known, pace, ask) is None and first:
            known.cut_alone(now)

    async def heard(self, name: str, rate: Rate | None, cap: int, shut: float) -> None:
        """The API's headers allow ``cap`` millionths of the rate (0: no word), and nothing for ``shut`` s."""
        known, now = self.known(name), self._clock.monotonic()
        until = now + min(shut, LONGEST_BLOCK)
        news = cap not in (0, known.learnt.cap)
        longer = shut > 0 and until > known.blocked + self._options.lateness
        if longer:
            known.blocked = until
        if rate is None or not (news or longer):
            return
        known.learnt = replace(known.learnt, cap=cap or known.learnt.cap)
        block = math.ceil(min(shut, LONGEST_BLOCK) * SECOND)
        await self._ask(name, known, Pace.of(rate, self._options), Ask(self._member, block=block, cap=cap))

    def known(self, name: str) -> Known:
        if name not in self._known:
            self._known[name] = Known(self._options.assumed_processes)
        return self._known[name]

    async def until(self, moment: float) -> None:
        while (left := moment - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _shared(self, name: str, known: Known, pace: Pace, wish: Wish) -> Slot | Yield | None:
        late = math.ceil(wish.extra * SECOND)
        wider = pace.extra if known.shared else 0
        ask = Ask(
            self._member, cost=pace.spacing + wider + late, extra=pace.extra - wider, rank=int(wish.priority)
        )
        heard = await self._ask(name, known, pace, ask, held=wish.held)
        if heard is None:
            return None
        sent, received, answer = heard
        wait = answer.wait / SECOND
        if answer.yields:
            return Yield(received + wait)
        if not answer.granted:
            return None
        # The schedule's clock stood somewhere between our question and its answer: the moment
        # is surely there after the one, and surely not older than counted from the other.
        closes = sent + wait + (pace.late(known.processes) + late) / SECOND
        return Slot(sent + wait, received + wait, closes)

    async def _sit_out(self, name: str, known: Known, pace: Pace) -> None:
        await self.until(min(known.blocked, self._clock.monotonic() + RESTATE_EVERY))
        left = known.blocked - self._clock.monotonic() - (pace.jitter + pace.lateness) / SECOND
        if left > 0:
            await self._ask(name, known, pace, Ask(self._member, block=math.ceil(left * SECOND)))

    async def _own(self, known: Known, pace: Pace, wish: Wish) -> Slot | None:
        """Wait for the next moment of our own share; None when the schedule is worth a look first."""
        began = self.outage.began
        if began is None:
            return None
        self._begin_own(known, pace, began)
        await self.until(min(known.own, self.outage.probe_at))
        now = self._clock.monotonic()
        if self.outage.began != began or known.own > now or known.blocked > now:
            return None
        late = math.ceil(wish.extra * SECOND)
        known.own = now + (self._alone(known, pace) + late) / SECOND
        known.ahead = max(known.ahead, known.own)
        return Slot(now, now, now + (pace.lateness + late) / SECOND)

    def _alone(self, known: Known, pace: Pace) -> int:
        return pace.alone(known.processes, self._options.own_share, known.level)

    def _begin_own(self, known: Known, pace: Pace, began: float) -> None:
        if known.own_since == began:
            return
        known.own_since = began
        # Others may hold moments of the schedule after the last that we know, and may find out
        # about the outage only when they ask next.
        patience = self._options.probe_every if known.shared else 0.0
        begin = max(known.ahead, began + patience)
        known.own = max(known.own, begin + pace.cold(known.processes, known.level) / SECOND)

    async def _ask(
        self, name: str, known: Known, pace: Pace, ask: Ask, held: int = 0
    ) -> tuple[float, float, Answer] | None:
        async with self._gate:
            sent = self._clock.monotonic()
            if not self.outage.admit(sent):
                return None
            try:
                answer = await self._schedule.ask(name, self._stated(known, pace, ask, sent, held))
            except ScheduleLostError as error:
                self.outage.failed(self._clock.monotonic(), error)
                return None
        received = self._clock.monotonic()
        self.outage.answered(sent, received)
        known.listen(sent, received, answer, self.outage.last)
        return sent, received, answer

    def _stated(self, known: Known, pace: Pace, ask: Ask, now: float, held: int) -> Ask:
        """Say what we know, so that a schedule that was flushed, restarted or failed over grants no burst."""
        hold = self._hold(known, pace)
        reach = max(known.ahead, known.departures.earliest(pace.calls, pace.apart / SECOND, held)) - now
        # Less the jitter: the same distance, told a slower way, must not push the schedule.
        far = max(0, math.floor(reach * SECOND) - pace.jitter) if reach > 0 else 0
        return replace(
            ask,
            known=far,
            cold=pace.cold(known.met, known.level),
            join=LATEST_ALONE,
            block=max(hold, ask.block),
            soft=ask.soft and not hold,
            learnt=known.learnt,
        )

    def _hold(self, known: Known, pace: Pace) -> int:
        """Back from an outage: the others may live on their own shares until they have found Redis too."""
        if not known.shared or known.heard > self.outage.last or self.outage.last == -math.inf:
            return 0
        return (
            math.ceil(HOLD * self._options.probe_every * SECOND)
            + pace.stretched(known.level) * known.processes
        )
