"""Records → the fewest writes: by conversation, the newest of each key only."""

from collections import deque
from collections.abc import Mapping
from typing import Final

from connector.engine.versions import outdated, stamp
from connector.model import Origin, Record

# What a person waits for first. As the budget's classes, which are the target's business.
RANKS: Final[Mapping[Origin, int]] = {
    Origin.LIVE: 0,
    Origin.RECONCILE: 1,
    Origin.BACKFILL: 2,
    Origin.REPLAY: 3,
}
LAST: Final = max(RANKS.values())


def rank_of(record: Record) -> int:
    """Who waits for a record: the lower the sooner; for one that holds no event, nobody."""
    return LAST if record.event is None else RANKS[record.event.origin]


class Batch:
    """
    What goes out together of one conversation: the newest record of each key, in offset order.

    ``starts``: the pieces of the prefix that are settled with it. ``count`` and ``size``: of all records
    that it stands for, superseded ones included. ``again``: it is sent although the target has it.
    """

    __slots__ = ("again", "count", "rank", "records", "size", "starts")

    def __init__(self, *starts: int) -> None:
        self.starts = list(starts)
        self.again = False
        self.records: dict[bytes | None, Record] = {}
        self.count = 0
        self.size = 0
        self.rank = LAST

    def add(self, record: Record) -> None:
        """Take a record that lies behind all the others."""
        self.count += 1
        self.size += record.size
        self.rank = min(self.rank, rank_of(record))
        held = self.records.get(record.key)
        if held is not None:
            if held.event is not None and record.event is not None and outdated(record, stamp(held)):
                return
            # Taken out first, so that the records stay in offset order.
            del self.records[record.key]
        self.records[record.key] = record


class Waiting:
    """What one conversation still has to send: batches of at most ``most`` records each."""

    __slots__ = ("_batches", "_most")

    def __init__(self, most: int) -> None:
        self._batches: deque[Batch] = deque()
        self._most = most

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def rank(self) -> int:
        return min(batch.rank for batch in self._batches)

    def open_batch(self) -> Batch | None:
        """The batch that takes the next record; None when a new one must be begun."""
        last = self._batches[-1] if self._batches else None
        # What is only sent again settles nothing: a record that joined it would be committed unwritten.
        return last if last is not None and not last.again and len(last.records) < self._most else None

    def begin(self, *starts: int) -> Batch:
        self._batches.append(Batch(*starts))
        return self._batches[-1]

    def take(self) -> Batch:
        return self._batches.popleft()
