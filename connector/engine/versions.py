"""Which state of a key is newer, and what this process wrote of each key last."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from connector.model import Record

DAY_MS = 86_400_000
NEVER_BELIEVED = -1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a state of a key is known by: the source's clock, ours, and its content."""

    updated_at: int
    observed_at: int
    content: bytes


def stamp(record: Record) -> Stamp:
    """The stamp of a record that holds an event."""
    event = record.event
    assert event is not None
    # Pancake shows dates far in the future now and then. One of them would be the newest for ever.
    future = event.updated_at > record.timestamp + DAY_MS > DAY_MS
    return Stamp(NEVER_BELIEVED if future else event.updated_at, event.observed_at, event.content_hash)


def outdated(record: Record, held: Stamp) -> bool:
    """
    Whether ``record`` is an older state than ``held``, which lies before it in the topic.

    The source's clock decides where it tells. Where it does not (messages have no ``updated_at``) the
    later record is the newer one, but for a read that was published late: it was observed earlier by
    less than it then waited. The wait is measured on one clock, the one that made both stamps, so
    pollers whose clocks differ do not put out each other's edits.
    """
    mine = stamp(record)
    if mine.updated_at != held.updated_at and NEVER_BELIEVED not in (mine.updated_at, held.updated_at):
        return mine.updated_at < held.updated_at
    return 0 < held.observed_at - mine.observed_at <= record.timestamp - mine.observed_at


def short(key: bytes | None) -> bytes:
    """A key in 12 bytes; two of a billion keys are the same with a chance of 1 in 10^11."""
    return blake2b(key or b"", digest_size=12).digest()


class Versions:
    """What was written last of each key, the most recent ``room()`` of them."""

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._held: dict[bytes, Stamp] = {}

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes | None) -> Stamp | None:
        return self._held.get(short(key))

    def note(self, key: bytes | None, written: Stamp) -> None:
        """It is in the target."""
        name = short(key)
        self._held.pop(name, None)
        self._held[name] = written
        while len(self._held) > self._room():
            del self._held[next(iter(self._held))]
