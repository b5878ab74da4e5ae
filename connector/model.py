"""The words of the program: frozen values, no I/O, no vendor."""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """What an event tells about."""

    CONVERSATION = "conversation"  # a snapshot of one conversation
    MESSAGE = "message"  # one message, as it was when read
    THREAD = "thread"  # what a conversation's message list says beside its messages
    VANISHED = "vanished"  # whether a conversation is no longer at the source; its snapshot stays


class Origin(enum.StrEnum):
    """Why an event was read."""

    LIVE = "live"
    BACKFILL = "backfill"
    RECONCILE = "reconcile"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something seen at the source. It knows no Kafka.

    ``payload`` is the source's JSON object exactly as it was received. Times are UTC milliseconds,
    0 where the source gives none. Ids are never empty, except ``message_id`` of a conversation or a
    thread, and ``customer_id`` where the source names no customer.
    """

    kind: Kind
    page_id: str
    page_username: str
    conversation_id: str
    customer_id: str
    message_id: str
    inserted_at: int
    updated_at: int
    observed_at: int
    content_hash: bytes
    origin: Origin
    payload: bytes

    @property
    def version(self) -> tuple[int, int]:
        """
        Grows with every newer state of the same key.

        The source's own clock decides before ours: a slow reader's old snapshot must lose even
        when it was read late.
        """
        return self.updated_at, self.observed_at


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


@dataclass(frozen=True, slots=True)
class Record:
    """
    What one Kafka record held, and where it stood.

    ``event`` is None when the bytes could not be read as one; ``problem`` then says why, and the
    record is shelved in its turn so that the order of the others holds.
    """

    partition: Partition
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    event: Event | None
    problem: "Problem | None" = None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def next_offset(self) -> int:
        """The offset to commit once this record is safe; nobody else adds one."""
        return self.offset + 1

    @property
    def size(self) -> int:
        """Bytes held in memory for it, about."""
        return len(self.value or b"") + len(self.key or b"") + 200


@dataclass(frozen=True, slots=True)
class Problem:
    """
    Why a record cannot be delivered: a fixed word to group by, and a sentence without secrets.

    ``answer`` is what the target said, cut, without secrets; it may quote the record. ``dialect``: how
    it was spoken to.
    """

    reason: str
    message: str
    status: int | None = None
    tries: int = 1
    answer: str = ""
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    What was shelved: its bytes, where it came from, and why.

    ``partition``, ``offset`` and ``timestamp`` (of the record) are None when it never was a record (an
    object of the source without an id has no place in a topic). ``first_at``: when it was first tried,
    0 when unknown; ``failed_at``: when it was given up; UTC milliseconds. ``trace_id``: of the work that
    gave it up, empty without traces.
    """

    key: bytes
    value: bytes
    problem: Problem
    failed_at: int
    partition: Partition | None = None
    offset: int | None = None
    timestamp: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    first_at: int = 0
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A Facebook, Zalo, TikTok … page of the source; ``username`` is never empty."""

    id: str
    username: str
    name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class CursorRecord:
    """
    Where reading one page (``conversation_id`` empty) or one conversation of it has come to.

    ``state`` belongs to the source; nobody else reads it.
    """

    page_id: str
    conversation_id: str
    state: bytes


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """
    What one step brought: publish all the events, shelve the rejected, and only then save the cursors.

    ``asked``: the source was asked for it, so it answers.
    """

    events: tuple[Event, ...] = ()
    rejected: tuple[DeadLetter, ...] = ()
    cursors: tuple[CursorRecord, ...] = ()
    asked: bool = True


RATE = re.compile(r"(?P<calls>\d+)/(?P<period>\d+(?:\.\d+)?)s")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``calls`` in any window of ``period`` seconds."""

    calls: int
    period: float

    @classmethod
    def parse(cls, text: str) -> "Rate | None":
        """
        Read ``5/1s`` or ``100/60s``; ``off`` is None.

        Raises:
            ValueError: anything else.
        """
        if text == "off":
            return None
        found = RATE.fullmatch(text)
        if not found or not int(found["calls"]) or not float(found["period"]):
            raise ValueError("a rate is written <calls>/<seconds>s, for example 5/1s or 100/60s, or off")
        return cls(int(found["calls"]), float(found["period"]))

    @property
    def per_second(self) -> float:
        return self.calls / self.period


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose limit a call counts against: ``pancake:page:123``, ``folkform:default``. No rate: no limit."""

    name: str
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class ScopeUse:
    """How one scope of the budget stands in this process."""

    limit_per_second: float | None
    grants: int
    refusals: int
    waiting: int
    degraded: bool
    learnt_per_second: float | None = None
    waiting_by_class: tuple[int, ...] = ()
    waited_by_class: tuple[float, ...] = ()  # seconds


@dataclass(frozen=True, slots=True)
class LimitsHeard:
    """What an API's headers say of its limit; None where they do not. Seconds."""

    limit: int | None = None
    period: float | None = None
    remaining: int | None = None
    reset: float | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """
    What is committed of a partition: everything below ``offset`` is settled.

    Nothing from ``reach`` on was written, or will be before the next commit;
    ``reach`` None: as far as is usual. ``unanswered``: a call was on the wire when the partition was
    handed over, and may still be carried out.
    """

    offset: int
    reach: int | None = None
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where an owner begins: at ``offset``, in a partition that ended at ``end`` then.

    ``reach`` and ``unanswered`` as the last owner committed them (see Position); None: it said nothing.
    """

    offset: int
    end: int
    reach: int | None = None
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Polled:
    """
    One turn at the consumer: records in offset order per partition.

    ``ends`` names partitions whose end was met, and the offset there (only when asked for).
    ``committed`` is what the broker has acknowledged since the last turn.
    """

    records: tuple[Record, ...] = ()
    ends: Mapping[Partition, int] = field(default_factory=dict)
    committed: Mapping[Partition, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """
    What the consumer's thread shall do before it looks for records again.

    ``store``: commit it soon. ``rewind``: read these again from the offset on. ``declare``: commit it now,
    though the offset has not moved.
    """

    store: Mapping[Partition, int | Position] = field(default_factory=dict)
    pause: frozenset[Partition] = frozenset()
    resume: frozenset[Partition] = frozenset()
    rewind: Mapping[Partition, int] = field(default_factory=dict)
    declare: Mapping[Partition, Position] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hole:
    """Known to be missing, and why: a conversation, or with an empty id a part of the list."""

    conversation_id: str
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class Backfill:
    """
    What of a page's history is still to be read.

    ``listed`` conversations were found so far, ``owed`` of them are not read; ``list_ended``: there are
    no others. ``calls_left`` belong to the owed ones, at ``pace`` calls a second as measured.
    """

    since: int = 0
    list_ended: bool = False
    listed: int = 0
    owed: int = 0
    calls_left: int = 0
    pace: float = 0.0

    @property
    def done(self) -> bool:
        return self.list_ended and not self.owed

    @property
    def share(self) -> float:
        """Of what is listed, the part that is read: between 0 and 1; exact once the list has ended."""
        if not self.listed:
            return float(self.list_ended)
        return (self.listed - self.owed) / self.listed

    @property
    def seconds_left(self) -> float | None:
        """None while nothing was measured, or while the list still grows."""
        if self.done:
            return 0.0
        return self.calls_left / self.pace if self.list_ended and self.pace > 0 else None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """
    The slow full walks: ``since`` when one is under way (0: none), when the last whole one ended.

    ``found``: what differed from what was published although it was older than the watermark;
    ``healed``: how much of that is published now; ``vanished``: conversations no longer there.
    """

    since: int = 0
    ended: int = 0
    found: int = 0
    healed: int = 0
    vanished: int = 0


@dataclass(frozen=True, slots=True)
class Completeness:
    """
    What is proved to be published of one page. Times are UTC milliseconds, 0 for never.

    All that the source showed at ``proved_until`` is published, but for the ``holes`` and for what the
    back-fill owes. ``scanning_since``: a scan that has not come through yet. ``holes`` are the oldest
    few of ``holes_open``. ``rereads`` are conversations that will be looked at again, though nothing
    is known to be missing.
    """

    page_id: str
    proved_until: int = 0
    scanning_since: int = 0
    holes: tuple[Hole, ...] = ()
    holes_open: int = 0
    rereads: int = 0
    backfill: Backfill = Backfill()
    reconcile: Reconciled = Reconciled()

    @property
    def complete(self) -> bool:
        """Whether nothing is known to be left out."""
        return self.proved_until > 0 and self.backfill.done and not self.holes_open


@dataclass(frozen=True, slots=True)
class PageStatus:
    """
    How a page stood at ``written_at`` (UTC ms), by the word of its owner.

    ``parked``: what a person must do before it can be read, since when; empty: nothing.
    """

    completeness: Completeness
    written_at: int
    owner: str
    parked: str = ""
    parked_since: int = 0


class Verdict(enum.Enum):
    """What is said to one who wants to make a page's token."""

    HELD = "held"
    """The lease is yours."""
    BUSY = "busy"
    """Somebody else has it, or may have had it when the memory of it was lost."""
    REPLACED = "replaced"
    """In place of the refused token one was made a short while ago."""
    SPOILT = "spoilt"
    """The refused token is the one that was made a short while ago."""
    FOUGHT = "fought"
    """One was made a short while ago, and neither it nor the one before it is refused, but a third."""
    AWAY = "away"
    """Nobody can tell."""


@dataclass(frozen=True, slots=True)
class Claim:
    """
    The answer to one who wants to make a page's token.

    ``wait``: with HELD, how long to be patient before the list is read; else how long this may last.
    """

    verdict: Verdict
    wait: float = 0.0
