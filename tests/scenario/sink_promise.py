"""What the sinks promise, looked at after every step (reliability: I1, I3, I4, I6, and G1 to G4)."""

from collections import Counter
from collections.abc import Mapping, Sequence

from connector.model import Event, Partition, Position, Record
from tests.fakes.sink import Key, key_of

Log = Sequence[Record | None]


class Promise:
    """A target where the last arrival wins, and a shelf; both remember."""

    def __init__(self) -> None:
        self.rows: dict[Key, Event] = {}
        self.shelved: list[tuple[Partition, int]] = []
        self._on_the_wire: Counter[Key] = Counter()
        self._checked: dict[Partition, int] = {}

    def begin(self, lane: Sequence[Record]) -> None:
        """A call for one conversation goes out: never two at once."""
        place = _place(lane[0].event)
        self._on_the_wire[place] += 1
        assert self._on_the_wire[place] == 1, f"two calls for {place} at once"

    def end(self, lane: Sequence[Event]) -> None:
        self._on_the_wire[_place(lane[0])] -= 1

    def write(self, lane: Sequence[Event]) -> None:
        """G4: the version that the target holds never goes down."""
        for event in lane:
            held = self.rows.get(key_of(event))
            assert held is None or held.version <= event.version, f"a step back of {key_of(event)}"
            self.rows[key_of(event)] = event

    def shelve(self, record: Record, never: set[str]) -> None:
        """I6: what can pass is not shelved."""
        assert record.event is None or _name(record.event) in never, f"{record.offset} would have passed"
        self.shelved.append((record.partition, record.offset))

    def hold(
        self, logs: Mapping[Partition, Log], committed: Mapping[Partition, Position], never: set[str]
    ) -> None:
        """G1, I3: everything below a committed offset is in the target, superseded there, or shelved."""
        shelved = set(self.shelved)
        for partition, position in committed.items():
            seen = self._checked.get(partition, 0)
            assert position.offset >= seen, "an offset went back"
            for offset in range(seen, position.offset):
                record = logs[partition][offset]
                if record is not None and (partition, offset) not in shelved:
                    self._settled(record, logs[partition], shelved, never)
            self._checked[partition] = position.offset

    def kept(
        self, logs: Mapping[Partition, Log], committed: Mapping[Partition, Position], never: set[str]
    ) -> None:
        """I14, at the end: the target is the newest of each key, and everything is committed."""
        newest: dict[Key, Event] = {}
        for partition, log in logs.items():
            assert committed[partition].offset == len(log), f"{partition} is not at its end"
            for record in log:
                event = record.event if record is not None else None
                if event is not None and event.version >= newest.get(key_of(event), event).version:
                    newest[key_of(event)] = event
        assert self.rows == {key: event for key, event in newest.items() if _name(event) not in never}

    def _settled(
        self, record: Record, log: Log, shelved: set[tuple[Partition, int]], never: set[str]
    ) -> None:
        event = record.event
        assert event is not None, f"junk at {record.offset} is committed and not shelved"
        if _name(event) in never:
            # Superseded by a newer one that was shelved in its place.
            newer = (
                o for o in log if o and o.event and o.key == record.key and o.event.version >= event.version
            )
            assert any((other.partition, other.offset) in shelved for other in newer)
            return
        held = self.rows.get(key_of(event))
        assert held is not None, f"{record.partition} {record.offset} is lost"
        assert held.version >= event.version, f"{record.partition} {record.offset} is older there"


def _name(event: Event) -> str:
    return event.message_id or event.conversation_id


def _place(event: Event | None) -> Key:
    assert event is not None
    return event.kind, event.conversation_id, ""
