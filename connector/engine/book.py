"""One partition: what is held of it, how far it is settled, and how far anybody may write."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from connector.engine.packing import Batch, Waiting
from connector.engine.prefix import Prefix
from connector.engine.survey import Awaited, Survey
from connector.engine.trial import Trial
from connector.engine.versions import Versions, outdated, stamp
from connector.model import Origin, Partition, Position, Problem, Record, Start


@dataclass(frozen=True, slots=True)
class Reach:
    """
    How far a partition is read and written.

    ``records``: most records in one batch; twice as many are held. ``ahead``: nothing is written so many
    offsets or more beyond the committed offset.
    """

    records: int
    ahead: int


class Lane:
    """
    One conversation of one partition: what waits, and what is on its way.

    ``junk``: it is one record that holds no event, for the shelf and never for the target.
    """

    __slots__ = ("book", "called", "junk", "parked", "queued", "trial", "waiting")

    def __init__(self, book: "Book", *, junk: bool = False) -> None:
        self.book = book
        self.junk = junk
        self.waiting = Waiting(book.reach.records)
        self.trial: Trial | None = None
        self.queued: int | None = None
        self.called = False
        self.parked = False

    @property
    def has_work(self) -> bool:
        return self.trial is not None or bool(self.waiting)

    @property
    def rank(self) -> int:
        """Who waits for it: the lower the sooner."""
        return self.trial.batch.rank if self.trial is not None else self.waiting.rank


class Book:
    """
    What this process knows of a partition that it owns.

    The last owner may have written beyond the committed offset: then the records there are surveyed
    first (``surveying``), and delivered when the reading has begun again at ``start.offset``.
    """

    def __init__(self, partition: Partition, start: Start, reach: Reach, room: Callable[[], int]) -> None:
        self.partition = partition
        self.reach = reach
        self.closed = self.leaving = False
        self.held_records = 0
        self.held_bytes = 0
        self.calls = 0
        self._start = start
        self._committed = start.offset
        # Nothing is written that the next owner would not know of: the broker must have it first.
        self._granted = start.offset if start.reach is None else start.reach
        self._said = 0
        self._proof: int | None = None
        self._prefix = Prefix()
        self._versions = Versions(room)
        self._lanes: dict[str, Lane] = {}
        self._beyond: deque[Record] = deque()
        self._awaited = Awaited()
        self._written = start.offset
        # Who began before us may have written that far; without a word of it, as far as we would.
        reached = start.offset + reach.ahead if start.reach is None else start.reach
        self._inherited = min(reached, start.end)
        self._survey = Survey(self._inherited) if self._inherited > start.offset else None
        self.surveying = self._survey is not None

    @property
    def surveyed(self) -> bool:
        """Whether the reading must begin again at the start now."""
        return self.surveying and self._survey is not None and self._survey.whole

    @property
    def twice(self) -> bool:
        """Whether what is read now, or next, was or will be read once more."""
        return self._survey is not None

    def rewound(self) -> int:
        """The next record will be the first once more. Returns the offset to read from."""
        self.surveying = False
        return self._start.offset

    def end_met(self) -> None:
        if self.surveying and self._survey is not None:
            self._survey.end_met()

    @property
    def next_offset(self) -> int | None:
        """Everything below it is settled; None until a record came."""
        if self._beyond and not self._prefix.open_pieces:
            # Compaction leaves gaps wider than anything may run ahead: what was never there is settled.
            return self._beyond[0].offset
        return self._prefix.next_offset

    @property
    def position(self) -> Position | None:
        """What to commit now: others may have to read as far as we may write until the next commit."""
        at = self.next_offset
        if at is None:
            return None
        self._said = max(self._said, self._inherited, at + self.reach.ahead)
        return Position(at, max(self._inherited, at + self.reach.ahead))

    @property
    def declaration(self) -> Position | None:
        """What to commit before more may be written, though no offset has moved."""
        # Never below what was stored: a commit that is older than the last would take it back.
        at = self._committed if self.next_offset is None else self.next_offset
        if self._proof is not None:
            return Position(at, self._proof)
        if self._granted >= self._committed + self.reach.ahead:
            return None
        return Position(at, max(self._inherited, at + self.reach.ahead))

    @property
    def sure(self) -> bool:
        """Whether it is ours as far as we can know."""
        return self._proof is None

    def doubt(self) -> None:
        """It may be somebody else's: not sure until a commit that was made from now on is acknowledged."""
        # One further than was ever said, so that no commit from before is taken for it.
        declared = (self.next_offset or self._committed) + self.reach.ahead
        self._proof = max(self._granted, self._inherited, self._said, declared) + 1

    @property
    def last_position(self) -> Position:
        """What to commit when nothing more will be written; ``unanswered``: a call never came home."""
        at = self._start.offset if self.next_offset is None else self.next_offset
        reach = max(at, self._inherited, self._written)
        return Position(at, reach, unanswered=self.calls > 0)

    def committed(self, position: Position) -> Sequence[Lane]:
        """The broker has acknowledged it. Returns lanes that may have something to send now."""
        self._committed = max(self._committed, position.offset)
        reach = position.reach or 0
        self._granted = max(self._granted, reach)
        if self._proof is not None and reach >= self._proof:
            self._said, self._proof = self._proof, None
        lanes = []
        while self._beyond and self._beyond[0].offset < self._limit:
            lane = self._enter(self._beyond.popleft())
            if lane is not None:
                lanes.append(lane)
        return lanes

    def offer(self, record: Record) -> Lane | None:
        """Take a record; returns its lane when that has something to send now."""
        if self.surveying and self._survey is not None:
            self._survey.see(record)
            return None
        self.held_records += 1
        self.held_bytes += record.size
        if self._survey is not None and record.offset >= self._survey.until:
            self._survey = None
            self._prefix.settle(self._awaited.missed())
        if record.offset >= self._limit or self._beyond:
            self._beyond.append(record)
            return None
        return self._enter(record)

    @property
    def idle(self) -> bool:
        """Whether nothing of it may be begun."""
        return self.closed or self.leaving

    @property
    def packs(self) -> bool:
        """Whether what is held makes fewer calls than records."""
        return 2 * self.held_records > 3 * len(self._lanes)

    @property
    def lanes(self) -> Iterable[Lane]:
        return self._lanes.values()

    def begin(self, lane: Lane, now_ms: int, settled: "Callable[[Book, Batch], None]") -> Trial | None:
        """
        Let a lane's next batch go out; None when it needed no call, and is settled.

        What the target holds already, or holds in a newer version, is not written.
        """
        batch = lane.waiting.take()
        records = [record for record in batch.records.values() if batch.again or self._needed(record)]
        if not records:
            self.settle(lane, batch)
            settled(self, batch)
            return None
        lane.trial = Trial(batch, records, _unreadable(records[0]))
        lane.trial.first_at = now_ms
        return lane.trial

    def again(self, record: Record) -> Lane | None:
        """A lane that sends once more what it delivered last; None when it has something newer to send."""
        if self.idle or name_of(record) in self._lanes:
            return None
        lane = self._lanes[name_of(record)] = Lane(self)
        batch = lane.waiting.begin()
        batch.add(record)
        batch.count = batch.size = 0
        batch.again = True
        return lane

    def writing(self, records: Iterable[Record]) -> None:
        """They are about to be sent."""
        self._written = max(self._written, *(record.next_offset for record in records))

    def written(self, records: Iterable[Record]) -> None:
        """They are in the target."""
        for record in records:
            self._versions.note(record.key, stamp(record))

    def settle(self, lane: Lane, batch: Batch) -> None:
        """All of the batch is delivered, superseded or on the shelf."""
        self._prefix.settle(batch.starts)
        self._let_go(batch.count, batch.size)
        lane.trial = None
        if not lane.waiting and batch.records:
            self._lanes.pop(name_of(next(iter(batch.records.values()))), None)

    @property
    def _limit(self) -> int:
        return min(self._granted, self._committed + self.reach.ahead)

    def _enter(self, record: Record) -> Lane | None:
        self._prefix.extend(record.next_offset)
        starts = self._starts(record)
        if starts is None:
            self._let_go(1, record.size)
            return None
        name = name_of(record)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self, junk=record.event is None)
        batch = lane.waiting.open_batch()
        if batch is None:
            self._prefix.open(record.offset)
            batch = lane.waiting.begin(record.offset)
        batch.add(record)
        batch.starts += starts
        return lane

    def _starts(self, record: Record) -> Sequence[int] | None:
        """Which earlier pieces are settled with a record; None when it is itself settled with a later one."""
        survey = self._survey
        if survey is None:
            return ()
        newest = survey.newest(record)
        if newest is not None and newest > record.offset:
            if self._awaited.add(record):
                self._prefix.open(record.offset)
            return None
        return self._awaited.met(record) if newest == record.offset else ()

    def _needed(self, record: Record) -> bool:
        event = record.event
        if event is None:
            return True
        held = self._versions.get(record.key)
        if held is None:
            return True
        if outdated(record, held):
            return False
        if held.content != event.content_hash or event.origin is Origin.REPLAY:
            return True
        self._versions.note(record.key, stamp(record))
        return False

    def _let_go(self, count: int, size: int) -> None:
        self.held_records -= count
        self.held_bytes -= size


def name_of(record: Record) -> str:
    """The lane that a record belongs to."""
    # What cannot be read has no conversation: a lane of its own, so that it keeps nobody waiting.
    return record.event.conversation_id if record.event else f"\0{record.offset}"


def _unreadable(record: Record) -> Problem | None:
    if record.event is not None:
        return None
    return record.problem or Problem("no_event", "the record holds no event")
