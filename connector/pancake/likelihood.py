"""
How soon the next live scan of a page is worth its call. Pure: what scans found goes in, a moment comes out.

While a page is not looked at, changes gather unseen at some rate λ, and each of them waits for the next
scan. Scanning every T seconds costs 1/T calls and λT/2 seconds of waiting a second; for the same number
of calls over all pages and hours the waiting is least when T grows as 1/√λ.

λ is what is usual at this hour plus the echo of what was found lately. Usual starts as a Vietnamese
business day (contracts/background.md C4: 08 to 10 h hold a third of a day, the night next to nothing) and
becomes the page's own as hours are watched. The echo is a self-exciting process: a message draws an answer.
"""

import math
from collections.abc import Sequence
from itertools import chain, repeat

from connector.pancake.bucket import Bucket

HOURS = 24
VIETNAM = 7 * 3600  # seconds ahead of UTC, all year
BUSY = 1 / 40  # changes a second; a page as busy as that is scanned at the fastest
ECHO = 0.7  # the share of changes that are drawn by another one shortly before
ECHO_SECONDS = 90.0
PRIOR_RATE = 1 / 150  # changes a second of a page nothing is known of: 4,000 a day over six pages
PRIOR_SECONDS = 1800.0  # how long a page is watched until its own rate weighs as much
HOUR_SECONDS = 2 * 3600.0  # how long one hour of the day is watched until it weighs as much as the rest
FADES = 0.5 ** (1 / (7 * HOURS))  # per hour: what was learnt a week ago counts half
LOOKS = 2  # scans that a hint brings forward: the list may lag behind the webhook
LOOK_SECONDS = 1.0  # between them, or the fastest pace where that is faster
AT_ONCE = 1 / 4  # of that: since the scan before, for the first of them
HINTS, HINT_SECONDS = 5, 20.0  # wrong hints that are believed at once, and how often one more


def _business_day() -> Sequence[float]:
    """The share of each hour, 1 on average; rough on purpose, the page's own takes over."""
    night, evening = repeat(0.1, 6), (1.2, 1.0, 1.0, 1.0, 1.0, 0.6, 0.3)
    weights = list(chain(night, (0.5, 1.2, 2.4, 2.4, 2.4, 1.6, 1.2, 1.6, 1.6, 1.6, 1.6), evening))
    return [weight * HOURS / sum(weights) for weight in weights]


DAY = _business_day()


class Likelihood:
    """What may be expected of one page. Times are monotonic seconds."""

    def __init__(self, fastest: float, slowest: float, *, epoch: float = 0.0) -> None:
        """
        ``fastest``, ``slowest``: seconds between two live scans that are never gone below or above.

        ``epoch``: the UTC second at which the monotonic clock stood at zero.
        """
        self._fastest = fastest
        self._slowest = max(fastest, slowest)
        self._epoch = epoch
        self._changes = [0.0] * HOURS
        self._seconds = [0.0] * HOURS
        self._level = PRIOR_RATE
        self._echo = 0.0
        self._scanned_at: float | None = None
        self._looks = 0
        self._hints = Bucket(HINTS, HINT_SECONDS)

    def found(self, now: float, changes: int) -> None:
        """A live scan has ended, and found so many conversations changed."""
        before, self._scanned_at = self._scanned_at, now
        if self._looks:
            self._looks -= 1
            if changes:
                # A true hint is never too much: the call was worth it.
                self._hints.give_back()
                self._looks = min(self._looks, 1)
        if before is not None:
            # What the first scan meets has gathered over nobody knows how long.
            self._learn(before, now, changes)

    def hinted(self, now: float) -> None:
        """Somebody says that the page has changed; believed as long as that costs little when it is false."""
        if not self._looks and self._hints.take(now):
            self._looks = LOOKS

    def due_at(self, last_scan_at: float, now: float) -> float:
        """When the next live scan is worth its call; may lie behind ``now``."""
        if not self._looks:
            return last_scan_at + self._wait(self.rate(now))
        look = min(self._fastest, LOOK_SECONDS)
        return last_scan_at + (look * AT_ONCE if self._looks == LOOKS else look)

    def rate(self, now: float) -> float:
        """Changes a second that are expected."""
        hour = self._hour(now)
        usual = (self._level * DAY[hour] * HOUR_SECONDS + self._changes[hour]) / (
            HOUR_SECONDS + self._seconds[hour]
        )
        quiet = now - self._scanned_at if self._scanned_at is not None else 0.0
        return (1 - ECHO) * usual + ECHO / ECHO_SECONDS * self._echo * math.exp(
            -max(0.0, quiet) / ECHO_SECONDS
        )

    def _wait(self, rate: float) -> float:
        return min(self._slowest, max(self._fastest, self._fastest * math.sqrt(BUSY / rate)))

    def _learn(self, before: float, now: float, changes: int) -> None:
        hour, seconds = self._hour(now), max(0.0, now - before)
        if hour != self._hour(before):
            self._fade(FADES ** max(1.0, seconds / 3600))
        self._changes[hour] += changes
        self._seconds[hour] += seconds
        watched = sum(share * spent for share, spent in zip(DAY, self._seconds, strict=True))
        self._level = (PRIOR_RATE * PRIOR_SECONDS + sum(self._changes)) / (PRIOR_SECONDS + watched)
        ago = seconds / ECHO_SECONDS
        # They came somewhere in between: spread evenly, so that those of a long silence are not all news.
        self._echo = self._echo * math.exp(-ago) + changes * (-math.expm1(-ago) / ago if ago else 1.0)

    def _fade(self, by: float) -> None:
        self._changes = [changes * by for changes in self._changes]
        self._seconds = [seconds * by for seconds in self._seconds]

    def _hour(self, now: float) -> int:
        return int((self._epoch + now + VIETNAM) // 3600) % HOURS
