"""A window of records → the fewest writes: by conversation, the newest of each key only."""

from collections.abc import Sequence
from dataclasses import dataclass

from connector.model import Event, Record


@dataclass(frozen=True, slots=True)
class Lane:
    """
    What the window holds of one conversation.

    ``records``: the newest record of each key, in offset order, never empty. ``first_offset``: the
    lowest offset that is settled with it, records that a newer one superseded included. ``count``:
    how many records that is.
    """

    records: tuple[Record, ...]
    first_offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A window, cut. ``unreadable`` are records that hold no event."""

    lanes: tuple[Lane, ...]
    unreadable: tuple[Record, ...]


def pack(window: Sequence[Record]) -> Packed:
    """
    Cut a window of one partition, in offset order, into lanes; those that began first come first.

    Settling lanes in this order moves the contiguous prefix soonest.
    """
    newest: dict[str, dict[bytes | None, tuple[Record, Event]]] = {}
    first: dict[str, int] = {}
    count: dict[str, int] = {}
    unreadable: list[Record] = []
    for record in window:
        event = record.event
        if event is None:
            unreadable.append(record)
            continue
        lane = event.conversation_id
        first.setdefault(lane, record.offset)
        count[lane] = count.get(lane, 0) + 1
        keys = newest.setdefault(lane, {})
        held = keys.get(record.key)
        # Equal versions: the later offset, which is what a reader of the topic would keep.
        if held is None or event.version >= held[1].version:
            keys[record.key] = (record, event)
    lanes = (
        Lane(
            tuple(sorted((record for record, _ in keys.values()), key=lambda record: record.offset)),
            first[name],
            count[name],
        )
        for name, keys in newest.items()
    )
    return Packed(tuple(lanes), tuple(unreadable))


class Prefix:
    """How far a window is settled without a gap: the only place that says which offset may be committed."""

    def __init__(self, packed: Packed, end: int) -> None:
        """``end``: the next offset behind the whole window."""
        starts = [lane.first_offset for lane in packed.lanes]
        self._starts = sorted([*starts, *(record.offset for record in packed.unreadable)])
        self._at = 0
        self._settled: set[int] = set()
        self._end = end

    @property
    def complete(self) -> bool:
        return self._at == len(self._starts)

    def settle(self, first_offset: int) -> int:
        """
        The next offset, now that the part of the window that began at ``first_offset`` is settled.

        Everything below it is settled; it never goes back.
        """
        self._settled.add(first_offset)
        while not self.complete and self._starts[self._at] in self._settled:
            self._at += 1
        return self._end if self.complete else self._starts[self._at]
