"""
What the last owner of a partition may have written beyond the committed offset.

The next owner would write it again in the order of the topic, and a key that was changed twice there
would show its older version once more. So it reads the stretch twice: first only to learn which record
of each key is the newest, then to deliver, and of each key nothing but that one.
"""

from collections.abc import Sequence

from connector.engine.versions import Stamp, outdated, short, stamp
from connector.model import Record


class Survey:
    """
    The newest record of each key in the offsets below ``until``; payloads are not kept.

    ``whole`` once everything there was seen.
    """

    def __init__(self, until: int) -> None:
        self.until = until
        self.whole = False
        self._newest: dict[bytes, tuple[int, Stamp | None]] = {}

    def see(self, record: Record) -> None:
        """Take the next record, in offset order."""
        if record.offset < self.until:
            self._keep(record)
        self.whole = self.whole or record.next_offset >= self.until

    def end_met(self) -> None:
        """There are no more records now: what is missing below ``until`` was compacted away."""
        self.whole = True

    def newest(self, record: Record) -> int | None:
        """The offset of the newest record of this one's key; None where the survey says nothing."""
        if record.offset >= self.until or record.event is None:
            return None
        found = self._newest.get(short(record.key))
        return found[0] if found else None

    def _keep(self, record: Record) -> None:
        name = short(record.key)
        _, held = self._newest.get(name, (0, None))
        # Unreadable bytes supersede nothing, and nothing supersedes them: each is shelved in its turn.
        if record.event is not None and not (held is not None and outdated(record, held)):
            self._newest[name] = (record.offset, stamp(record))


class Awaited:
    """Records that a newer one further on supersedes: settled with it, not before."""

    def __init__(self) -> None:
        self._starts: dict[bytes, int] = {}

    def __bool__(self) -> bool:
        return bool(self._starts)

    def add(self, record: Record) -> bool:
        """Whether it is the first of its key, so that a piece of the prefix begins with it."""
        name = short(record.key)
        if name in self._starts:
            return False
        self._starts[name] = record.offset
        return True

    def met(self, record: Record) -> Sequence[int]:
        """The pieces that are settled with ``record``, the newest of its key."""
        start = self._starts.pop(short(record.key), None)
        return () if start is None else (start,)

    def missed(self) -> Sequence[int]:
        """
        What still waits when the surveyed stretch is behind us.

        Its newest version was compacted away meanwhile, so a newer one lies further on.
        """
        starts = tuple(self._starts.values())
        self._starts.clear()
        return starts
