"""What was promised to be read and is not: in what order, and when again. Pure."""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator

import msgspec

from connector.pancake.state import HOLES, Owed, Reason

MESSAGES_A_CALL = 30
LAG_WAITS = (2, 10, 60)
# Seconds until a reading is repeated, first and at most; it doubles in between.
WAITS = {
    Reason.UNREADABLE: (300, 3600),
    Reason.OFFSET_IGNORED: (300, 86_400),
    Reason.CUSTOMER_REQUIRED: (3600, 86_400),
    Reason.GONE: (300, 86_400),
    Reason.DEEP: (0, 0),
}
QUEUED = frozenset({Reason.BACKFILL, Reason.MISSED})
FENCED_MS = 3_600_000  # how long a debt is repeated in the page's own record
SHOWN = 20


def postponed(reason: Reason, tries: int, now_ms: int) -> int:
    """When a reading that has come to nothing so often is tried again (UTC milliseconds)."""
    if reason is Reason.LAG:
        return now_ms + 1000 * LAG_WAITS[tries]
    first, most = WAITS[reason]
    return now_ms + 1000 * min(most, first << min(tries, 20))


def calls_for(count: int) -> int:
    """The fewest calls that bring so many messages."""
    return max(1, -(-count // MESSAGES_A_CALL))


class Debts:
    """
    Everything owed on one page.

    What the back-fill and the reconcile have listed waits in the order in which it came, a page of results
    in one ``bytes`` object: there may be a million. All others are few and have a moment of their own.
    """

    def __init__(self, owed: Iterable[tuple[str, Owed]] = ()) -> None:
        """``owed``: what a new owner found saved; the newest conversations come first."""
        self.timed: dict[str, Owed] = {}
        self.owed: Counter[Reason] = Counter()
        self.calls = 0
        self._moments: list[tuple[int, str]] = []
        self._waiting: dict[Reason, deque[bytes]] = {reason: deque() for reason in QUEUED}
        self._next: dict[Reason, deque[str]] = {reason: deque() for reason in QUEUED}
        found = sorted(owed, key=lambda pair: (-pair[1].updated_at, pair[0]))
        for name, debt in found:
            self._count(debt, 1)
            if debt.reason not in QUEUED:
                self._remember(name, debt)
        for reason in QUEUED:
            names = [name for name, debt in found if debt.reason is reason]
            for at in range(0, len(names), 60):
                self._waiting[reason].append(_packed(names[at : at + 60]))

    @property
    def holes(self) -> int:
        return sum(self.owed[reason] for reason in HOLES)

    @property
    def rereads(self) -> int:
        """Conversations that are looked at again although nothing is known to be missing."""
        return (
            self.owed[Reason.LAG] + self.owed[Reason.DEEP] + self.owed[Reason.GONE] + self.owed[Reason.MISSED]
        )

    def change(self, name: str, before: Owed | None, after: Owed | None) -> None:
        """A conversation's saved state owes something else now; ``queue`` tells those that wait in line."""
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)
        self.timed.pop(name, None)
        if after is not None and after.reason not in QUEUED:
            self._remember(name, after)

    def queue(self, reason: Reason, names: list[str]) -> None:
        """These were listed and saved as owed."""
        if names:
            self._waiting[reason].append(_packed(names))

    def take(self, reason: Reason) -> str | None:
        """The next in line, if any; it may have been paid on the way."""
        line, waiting = self._next[reason], self._waiting[reason]
        if not line and waiting:
            line.extend(waiting.popleft().decode().split("\0"))
        return line.popleft() if line else None

    def due(self, now_ms: int) -> Iterator[tuple[str, Owed]]:
        """Take those whose moment has come."""
        while self._moments and self._moments[0][0] <= now_ms:
            moment, name = heapq.heappop(self._moments)
            debt = self.timed.get(name)
            if debt is not None and debt.due == moment:
                yield name, debt

    def again(self, name: str, owed: Owed, at_ms: int) -> None:
        """It was due and cannot be begun now."""
        self._remember(name, msgspec.structs.replace(owed, due=at_ms))

    def next_moment(self) -> int | None:
        """When the next one is due."""
        while self._moments:
            moment, name = self._moments[0]
            debt = self.timed.get(name)
            if debt is not None and debt.due == moment:
                return moment
            heapq.heappop(self._moments)
        return None

    def recent(self, now_ms: int) -> dict[str, Owed]:
        """
        Those that stand in the page's own record too: the young ones, and the oldest holes to be shown.

        An owner that was frozen may still write what it knew of a conversation over what we know; as long
        as that may happen, the record that holds the watermark also holds what the watermark excepts.
        """
        young = {name: debt for name, debt in self.timed.items() if debt.since > now_ms - FENCED_MS}
        return young | dict(self._oldest_holes())

    def _oldest_holes(self) -> list[tuple[str, Owed]]:
        if not self.holes:
            return []
        holes = ((name, debt) for name, debt in self.timed.items() if debt.reason in HOLES)
        return heapq.nsmallest(SHOWN, holes, key=lambda pair: (pair[1].since, pair[0]))

    def _count(self, debt: Owed, by: int) -> None:
        self.owed[debt.reason] += by
        if debt.reason is Reason.BACKFILL:
            self.calls += by * calls_for(debt.count)

    def _remember(self, name: str, debt: Owed) -> None:
        self.timed[name] = debt
        heapq.heappush(self._moments, (debt.due, name))


def _packed(names: list[str]) -> bytes:
    # No id holds a NUL.
    return "\0".join(names).encode()
