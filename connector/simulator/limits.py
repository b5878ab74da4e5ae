"""How many calls a page has left: the window, what else eats of it, and what a refusal says (5, 6)."""

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Protocol

from connector.simulator.calls import SECOND, Window
from connector.simulator.options import PancakeOptions

ABSURD = ("31536000", "1e9", "-5", "soon", "", "0", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT",
          "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 21 Oct 2015")  # fmt: skip


class Counter(Protocol):
    """What a limiter remembers of one page; ``at`` is monotonic seconds and never goes back."""

    def full(self, at: float, rate: int) -> bool:
        """Whether a call that arrives now is one too many."""
        ...

    def take(self, at: float, rate: int) -> None: ...


class Sliding:
    """Any second, wherever it begins."""

    def __init__(self) -> None:
        self._held: deque[float] = deque()

    def full(self, at: float, rate: int) -> bool:
        while self._held and self._held[0] <= at - SECOND:
            self._held.popleft()
        return len(self._held) >= rate

    def take(self, at: float, _: int) -> None:
        self._held.append(at)


class Fixed:
    """Seconds that begin when the server's do: twice the rate passes around their border."""

    def __init__(self, phase: float) -> None:
        self._phase = phase
        self._second = 0
        self._used = 0

    def full(self, at: float, rate: int) -> bool:
        second = int((at + self._phase) // SECOND)
        if second != self._second:
            self._second, self._used = second, 0
        return self._used >= rate

    def take(self, *_: float) -> None:
        self._used += 1


class Bucket:
    """Holds one second's tokens and is filled evenly: a burst, then as many as come in."""

    def __init__(self) -> None:
        self._level: float | None = None
        self._filled = 0.0

    def full(self, at: float, rate: int) -> bool:
        level = rate if self._level is None else self._level + (at - self._filled) * rate
        self._level, self._filled = min(float(rate), level), at
        return self._level < 1.0

    def take(self, _: float, rate: int) -> None:
        # What is taken though it was not there is owed, but never more than one second's tokens.
        self._level = max(-float(rate), (self._level or 0.0) - 1.0)


class Budget:
    """One page's calls: ours (``own``) as they were sent, and how many of them were over the limit."""

    def __init__(self, page_id: str, seed: int) -> None:
        self.own = Window()
        self.over = 0
        self._page_id = page_id
        self._others = random.Random(f"{seed}/{page_id}/foreign")
        self._next: float | None = None
        self._shut_until = 0.0
        phase = random.Random(f"{seed}/{page_id}/phase").random()
        self._counters: dict[str, Counter] = {"sliding": Sliding(), "fixed": Fixed(phase), "bucket": Bucket()}

    def arrive(self, at: float, options: PancakeOptions) -> bool:
        """Count one call of ours; return whether it is over the limit."""
        self.own.arrive(at)
        if options.foreign_rate > 0:
            self._foreign(at, options)
        refused = self._one(at, options)
        if refused and options.penalty > 0:
            self._shut_until = at + options.penalty
        self.over += refused
        return refused

    def _rate(self, options: PancakeOptions) -> int | None:
        return options.page_rates.get(self._page_id, options.rate)

    def _one(self, at: float, options: PancakeOptions) -> bool:
        rate = self._rate(options)
        if rate is None:
            return False
        counter = self._counters[options.window]
        refused = counter.full(at, rate) or at < self._shut_until
        if not refused or options.refused_count:
            counter.take(at, rate)
        return refused

    def _foreign(self, until: float, options: PancakeOptions) -> None:
        rate = self._rate(options)
        # What somebody else did more than a second ago is in no window any more.
        due = until - SECOND if self._next is None else max(self._next, until - SECOND)
        while due <= until:
            if rate is not None:
                # It tries until it gets through, so what it does is always taken from what is left for us.
                counter = self._counters[options.window]
                counter.full(due, rate)
                counter.take(due, rate)
            due += self._others.expovariate(options.foreign_rate)
        self._next = due


def retry_after(options: PancakeOptions, epoch_ms: int, rng: random.Random) -> dict[str, str]:
    """The headers of a refusal."""
    match options.retry_after:
        case "none":
            return {}
        case "seconds":
            return {"Retry-After": str(options.retry_after_seconds)}
        case "absurd":
            return {"Retry-After": rng.choice(ABSURD)}
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC) + timedelta(seconds=options.retry_after_seconds)
    return {"Retry-After": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}
