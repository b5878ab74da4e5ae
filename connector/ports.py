"""The contracts between the engine and the world: until when each blocks, what it raises, what then."""

import asyncio
import enum
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from connector.errors import RejectedError, RetryableError
from connector.model import (
    Claim,
    Completeness,
    CursorRecord,
    DeadLetter,
    Event,
    LimitsHeard,
    Page,
    PageStatus,
    Partition,
    Polled,
    Position,
    Scope,
    ScopeUse,
    SourceBatch,
    Start,
    Turn,
)

Step = TypeVar("Step")


class Priority(enum.IntEnum):
    """Who goes first when calls are scarce."""

    LIVE = 0
    VERIFY = 1
    BACKFILL = 2
    REPLAY = 3


class RateBudget(Protocol):
    """Permission to call. All processes together stay under each scope's limit."""

    async def acquire(self, scope: Scope, priority: Priority = Priority.LIVE) -> None:
        """Return at the moment at which one call may be sent. Cancelled: the place is lost, no harm."""
        ...

    async def refused(self, scope: Scope, after: float | None, age: float = 0.0) -> None:
        """The API refused a call sent ``age`` seconds ago: nobody calls there for ``after`` seconds."""
        ...

    async def heard(self, scope: Scope, limits: LimitsHeard) -> None:
        """The API's headers spoke of its limit: keep to it, never above the configured one."""
        ...

    def snapshot(self) -> Mapping[str, ScopeUse]:
        """How each scope used so far stands."""
        ...

    async def close(self) -> None: ...


class Leases(Protocol):
    """
    Who may make a page's token: one of all processes, and once for each token that died.

    Tokens are named by marks that they cannot be found from; empty: there is none.
    """

    async def claim(self, page_id: str, nonce: str, refused: str) -> Claim:
        """Ask for the page's lease. It ends by itself, later than any call that was made under it."""
        ...

    async def confirm(self, page_id: str, nonce: str) -> float | None:
        """
        Let the lease begin anew, right before the call.

        Return until when (monotonic seconds) the call may be put on the wire: whatever becomes of it
        then is over before the lease is. None: the lease is lost.
        """
        ...

    async def record(self, page_id: str, nonce: str, refused: str, made: str) -> None:
        """Remember what was made in place of what, and give the lease back. No harm when it is lost."""
        ...

    async def give_back(self, page_id: str, nonce: str) -> None:
        """End the lease, if it is still ours. No harm when it is not."""
        ...

    async def warm_up(self) -> None:
        """Look once, so that a memory that was lost is known to be lost before a lease is needed."""
        ...

    async def close(self) -> None: ...


class Sink(Protocol):
    """The target, to a worker."""

    @property
    def dialect(self) -> str:
        """How the target is spoken to, for who reads a dead letter."""
        ...

    @property
    def width(self) -> int:
        """How many snapshots of conversations one call can carry now; 1: call ``write``. It may change."""
        ...

    async def write(self, lane: Sequence[Event], leaving: asyncio.Event) -> None:
        """
        Return once every event of one conversation is durable there. Writing again changes nothing.

        ``leaving`` is set when the partition is handed over: a call that is not on the wire yet is
        not made then (RetryableError), one that is comes home.

        Raises:
            RetryableError: call again with the same events.
            RejectedError: these events, or one of them, will never pass; nothing is known to be written.
            FatalError: stop the process, store nothing more.
        """
        ...

    async def write_many(
        self, lanes: Sequence[Sequence[Event]], leaving: asyncio.Event
    ) -> Sequence[RetryableError | RejectedError | None]:
        """
        As ``write`` for snapshots of several conversations of one page, at most ``width``, in one call.

        Returns one verdict a lane, in their order: None when it is durable, else what ``write`` would have
        raised for it.

        Raises:
            FatalError: stop the process, store nothing more.
        """
        ...


class DeadLetters(Protocol):
    """The shelf for what cannot be written."""

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        """
        Return once the broker has acknowledged all of them; only then may the offset pass.

        Raises:
            RetryableError: not all are acknowledged; put them again (one may then lie there twice).
        """
        ...


class Publisher(Protocol):
    """Kafka, to the poller."""

    async def publish(self, events: Sequence[Event]) -> None:
        """
        Return once the broker has acknowledged **all** events.

        Raises:
            RetryableError: some may be missing; publish them all again.
        """
        ...

    async def announce(self, pages: Sequence[Page]) -> None:
        """As ``publish``, for the records that name the pages there are."""
        ...

    async def save(self, cursors: Sequence[CursorRecord]) -> None:
        """Return once they would survive ``kill -9``. Raises as ``publish``."""
        ...


class Notices(Protocol):
    """What processes tell each other of pages; few records, beside those that name the pages."""

    async def hint(self, page_id: str) -> None:
        """Tell a page's owner that it has changed. Raises as ``Publisher.publish``."""
        ...

    async def report(self, statuses: Sequence[PageStatus]) -> None:
        """Tell how pages stand; who says so, this adds. Raises as ``Publisher.publish``."""
        ...


class Claims(Protocol):
    """Which partitions of cursors this process still holds, by their newest claim."""

    def held(self) -> Collection[int]:
        """Those loaded here and not released, on which no newer claim of another process was seen yet."""
        ...

    async def catch_up(self) -> None:
        """
        Return once every claim that was acknowledged before this call is known to ``held``.

        Raises:
            RetryableError: the claims cannot be read now.
        """
        ...


class CursorStore(Claims, Protocol):
    """Where the poller left off, and whether it is still the one who may say so."""

    async def load(self, partition: int) -> Sequence[CursorRecord]:
        """
        Claim a partition and return the newest record of every key in it.

        What any process was acknowledged before this call is in the answer.

        Raises:
            RetryableError: call again.
        """
        ...

    def release(self, partition: int) -> None:
        """Hold a partition no more."""
        ...

    async def close(self) -> None: ...


class Listener(Protocol):
    """Who is told of ownership. Each call is awaited inside the consumer's ``poll`` or ``close``."""

    async def assigned(self, partitions: Sequence[Partition]) -> None: ...

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | Position]:
        """Finish or abandon what is in flight; the next offsets returned are committed with the hand-over."""
        ...

    async def lost(self, partitions: Sequence[Partition]) -> None:
        """Somebody else may own them already: abandon, store nothing."""
        ...


class Consumer(Protocol):
    """
    Kafka, to the loop that owns it. Ownership changes only inside ``poll`` and ``close``.

    Never cancel a ``poll``: records that its thread took would be lost to this process.
    """

    @property
    def starts(self) -> Mapping[Partition, Start]:
        """Where each partition that is owned began; filled before ``assigned`` is called."""
        ...

    async def start(self, listener: Listener) -> None: ...

    async def poll(self, turn: Turn) -> Polled:
        """
        Do what ``turn`` says, then wait for records for at most 100 ms.

        Raises:
            FatalError: the group or a topic is gone, or an offset is out of range.
        """
        ...

    async def close(self) -> None:
        """Leave the group: revokes what is owned, commits what is stored."""
        ...


class PageReader(Protocol[Step]):
    """One page of the source: what to read next, and what a reading brought."""

    def next_step(self, now: float) -> Step | None:
        """Hand out one step that may run beside those already handed out; None when there is none now."""
        ...

    def wake_at(self) -> float | None:
        """When (monotonic seconds) a step will be due; None when another must finish first."""
        ...

    async def read(self, step: Step, leaving: asyncio.Event | None = None) -> SourceBatch:
        """
        Make the step's call. Once ``leaving`` is set, a call that is not on the wire yet is not made.

        Raises:
            RetryableError: give the step back with ``failed``; also when we are leaving.
            ParkedError: the page needs a person.
            FatalError: stop the process.
        """
        ...

    def saved(self, step: Step) -> None:
        """Everything that ``read`` returned for the step is published and its cursors are saved."""
        ...

    def failed(self, step: Step, now: float) -> None:
        """The step came to nothing; it will be handed out again."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether one whole pass, back-fill included, was saved since this reader began."""
        ...

    @property
    def holes(self) -> int:
        """How many known gaps the pass left."""
        ...

    @property
    def completeness(self) -> Completeness:
        """What is proved to be published of this page, now."""
        ...

    def hint(self, now: float) -> None:
        """Somebody says that the page looks changed: the next live scan may come sooner. Costs nothing."""
        ...


class Hints(Protocol):
    """Who is told that a page has changed. Neither call blocks, and what is told may be forgotten."""

    def knows(self, page_id: str) -> bool:
        """Whether the source has such a page, in this process or another."""
        ...

    def hint(self, page_id: str) -> None:
        """Somebody says that the page has changed; perhaps it has not."""
        ...


class PageDirectory(Protocol):
    """Which pages the source has."""

    async def pages(self) -> Sequence[Page]:
        """
        Return all of them, as the source lists them now.

        Raises:
            RetryableError: call again.
            FatalError: the credentials are refused.
        """
        ...
