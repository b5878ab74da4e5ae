"""A Kafka in memory: topics, partitions, offsets, groups, and the ports of ours that speak to it."""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.clock import Clock
from connector.codec import (
    UndecodableError,
    cursor_key,
    cursor_owner,
    decode_event,
    encode_cursor,
    encode_dead_letter,
    encode_event,
    encode_hint,
    encode_page,
    encode_status,
    event_key,
    hint_key,
    status_key,
)
from connector.errors import ContractError, UnavailableError
from connector.kafka.config import Topics
from connector.kafka.cursors import Found
from connector.kafka.partitioner import partition_of
from connector.model import (
    CursorRecord,
    DeadLetter,
    Event,
    Kind,
    Page,
    PageStatus,
    Partition,
    Polled,
    Position,
    Problem,
    Record,
    Start,
    Turn,
)
from connector.ports import Listener

POLL_SECONDS = 0.1
POLL_RECORDS = 500


@dataclass(frozen=True, slots=True)
class Stored:
    """One record of a log."""

    key: bytes | None
    value: bytes | None
    timestamp: int


@dataclass(slots=True)
class Group:
    """
    Who takes part, who owns what, who shall own it, and how far each partition is committed.

    Two steps, as with cooperative rebalancing: a partition is free only once its owner gave it up.
    """

    partitions: Sequence[Partition]
    committed: dict[Partition, int] = field(default_factory=dict)
    positions: dict[Partition, Position] = field(default_factory=dict)
    members: "list[FakeConsumer]" = field(default_factory=list)
    owners: "dict[Partition, FakeConsumer]" = field(default_factory=dict)
    wanted: "dict[Partition, FakeConsumer]" = field(default_factory=dict)

    def join(self, member: "FakeConsumer") -> None:
        self.members.append(member)
        self._assign()

    def leave(self, member: "FakeConsumer") -> None:
        """Also what the broker does with a member that it has not heard of for too long."""
        self.members = [other for other in self.members if other is not member]
        self.owners = {p: owner for p, owner in self.owners.items() if owner is not member}
        self._assign()

    def _assign(self) -> None:
        """Evenly, and nobody loses more than the balance asks for."""
        quota = math.ceil(len(self.partitions) / max(1, len(self.members)))
        kept: Counter[int] = Counter()
        wanted = {}
        for partition in self.partitions:
            owner = self.owners.get(partition)
            if owner is not None and kept[id(owner)] < quota:
                kept[id(owner)] += 1
                wanted[partition] = owner
        for partition in self.partitions:
            if partition not in wanted and self.members:
                least = min(self.members, key=lambda member: kept[id(member)])
                kept[id(least)] += 1
                wanted[partition] = least
        self.wanted = wanted


class FakeBroker:
    """Every topic of ours, with the same number of partitions each."""

    def __init__(self, clock: Clock, *, partitions: int = 1) -> None:
        self.topics = Topics()
        self.clock = clock
        self.count = partitions
        self.logs: dict[Partition, list[Stored]] = {}
        self.begins: dict[Partition, int] = defaultdict(int)
        self._groups: dict[tuple[str, tuple[str, ...]], Group] = {}
        names = (self.topics.conversations, self.topics.messages, self.topics.pages)
        for topic in (*names, self.topics.cursors, self.topics.dead_letters):
            for partition in self.partitions(topic):
                self.logs[partition] = []

    def partitions(self, *topics: str) -> list[Partition]:
        return [Partition(topic, number) for topic in topics for number in range(self.count)]

    def append(self, partition: Partition, key: bytes | None, value: bytes | None) -> int:
        """Write one record and return its offset."""
        log = self.logs[partition]
        log.append(Stored(key, value, self.clock.epoch_ms()))
        return len(log) - 1

    def put(self, event: Event) -> tuple[Partition, int]:
        """Write an event where it belongs."""
        snapshot = event.kind in {Kind.CONVERSATION, Kind.VANISHED}
        topic = self.topics.conversations if snapshot else self.topics.messages
        partition = Partition(topic, partition_of(event.conversation_id, self.count))
        return partition, self.append(partition, event_key(event), encode_event(event))

    def records(self, topic: str) -> list[Stored]:
        """All that a topic holds, partition by partition."""
        return [stored for partition in self.partitions(topic) for stored in self.logs[partition]]

    def group(self, name: str, topics: Sequence[str]) -> Group:
        wanted = (name, tuple(topics))
        if wanted not in self._groups:
            self._groups[wanted] = Group(self.partitions(*topics))
        return self._groups[wanted]


class FakeConsumer:
    """
    The Consumer port on a FakeBroker.

    What is stored is committed at the next poll, as by the real client's timer: a crash in between
    forgets it.
    """

    def __init__(
        self,
        broker: FakeBroker,
        group: str,
        topics: Sequence[str],
        *,
        from_end: bool = False,
        ends: bool = False,
        poll_records: int = POLL_RECORDS,
    ) -> None:
        self.owned: set[Partition] = set()
        self.paused: set[Partition] = set()
        self.turns: list[Turn] = []
        self.group = broker.group(group, topics)
        self._broker = broker
        self._from_end = from_end
        self._ends = ends
        self._poll_records = poll_records
        self.starts: dict[Partition, Start] = {}
        self._stored: dict[Partition, int | Position] = {}
        self._acknowledged: dict[Partition, Position] = {}
        self._positions: dict[Partition, int] = {}
        self._met: set[Partition] = set()
        self._listener: Listener
        self._told = self._dead = False

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        self.group.join(self)

    async def poll(self, turn: Turn) -> Polled:
        if self._dead:
            raise UnavailableError("this consumer has crashed")
        self._commit()
        self.turns.append(turn)
        self._store(turn.store)
        self.paused = (self.paused | (turn.pause & self.owned)) - turn.resume
        self._positions |= {p: offset for p, offset in turn.rewind.items() if p in self.owned}
        self._store({p: said for p, said in turn.declare.items() if p not in turn.store})
        given = await self._rebalance()
        # The first records of a partition take a fetch: never in the poll that gave it.
        polled = self._read(self.owned - self.paused - given)
        await self._broker.clock.sleep(0.0 if polled.records or given else POLL_SECONDS)
        return polled

    async def close(self) -> None:
        if self._dead:
            return
        await self._lose()
        await self._revoke(set(self.owned))
        self.group.leave(self)
        self._dead = True

    def crash(self) -> None:
        """As ``kill -9`` of the process: nobody is told, and nothing is committed any more."""
        self._dead = True
        self.owned.clear()
        self.group.leave(self)

    def expel(self) -> None:
        """The broker has not heard of us for too long; we shall learn of it at our next poll."""
        self.group.leave(self)

    def _store(self, offsets: Mapping[Partition, int | Position]) -> None:
        for partition, offset in offsets.items():
            if partition in self.owned:
                self._stored[partition] = offset

    def _commit(self) -> None:
        for partition, offset in self._stored.items():
            if self.group.owners.get(partition) is self:
                position = Position(offset) if isinstance(offset, int) else offset
                self.group.committed[partition] = position.offset
                self.group.positions[partition] = self._acknowledged[partition] = position
        self._stored.clear()

    async def _rebalance(self) -> set[Partition]:
        await self._lose()
        if self not in self.group.members:
            self._told = False
            self.group.join(self)
        await self._revoke({p for p in self.owned if self.group.wanted.get(p) is not self})
        mine = {p for p, member in self.group.wanted.items() if member is self}
        given = {p for p in mine - self.owned if p not in self.group.owners}
        await self._assign(given)
        return given

    async def _lose(self) -> None:
        gone = {p for p in self.owned if self.group.owners.get(p) is not self}
        if gone:
            self._forget(gone)
            await self._listener.lost(sorted(gone, key=str))

    async def _revoke(self, taken: set[Partition]) -> None:
        if not taken:
            return
        self._store(await self._listener.revoked(sorted(taken, key=str)))
        self._commit()
        self._forget(taken)
        for partition in taken:
            if self.group.owners.get(partition) is self:
                del self.group.owners[partition]

    async def _assign(self, given: set[Partition]) -> None:
        if self._told and not given:
            return
        self._told = True
        for partition in given:
            self.group.owners[partition] = self
            end = len(self._broker.logs[partition])
            begin = self.group.committed.get(partition, self._broker.begins[partition])
            self._positions[partition] = end if self._from_end else begin
            last = self.group.positions.get(partition, Position(begin, begin))
            self.starts[partition] = Start(begin, end, last.reach, last.unanswered)
        self.owned |= given
        await self._listener.assigned(sorted(given, key=str))

    def _forget(self, partitions: set[Partition]) -> None:
        self.owned -= partitions
        self.paused -= partitions
        self._met -= partitions
        for partition in partitions:
            self._stored.pop(partition, None)
            self._acknowledged.pop(partition, None)

    def _read(self, partitions: set[Partition]) -> Polled:
        records: list[Record] = []
        ends: dict[Partition, int] = {}
        for partition in sorted(partitions, key=str):
            log, at = self._broker.logs[partition], self._positions[partition]
            if at < self._broker.begins[partition]:
                raise ContractError(f"{partition}: offset {at} is gone", advice="move it knowingly")
            upto = min(len(log), at + self._poll_records - len(records))
            records += [_record(partition, offset, log[offset]) for offset in range(at, upto)]
            self._positions[partition] = upto
            if upto > at:
                self._met.discard(partition)
            if self._ends and upto == len(log) and partition not in self._met:
                self._met.add(partition)
                ends[partition] = upto
        committed, self._acknowledged = self._acknowledged, {}
        return Polled(tuple(records), ends, committed)


def _record(partition: Partition, offset: int, stored: Stored) -> Record:
    event, problem = None, None
    try:
        event = decode_event(stored.value)
    except UndecodableError as why:
        problem = Problem(why.reason, str(why))
    return Record(partition, offset, stored.timestamp, stored.key, stored.value, event, problem)


@dataclass(frozen=True, slots=True)
class _Outgoing:
    partition: Partition
    key: bytes
    value: bytes


class FakePublisher:
    """
    Publisher, DeadLetters and CursorStore on a FakeBroker; calls go by their method's name.

    ``acknowledged`` are the calls that came to an end, in order, with how many records each wrote.
    """

    def __init__(self, broker: FakeBroker, *, owner: str = "fake") -> None:
        self.acknowledged: list[tuple[str, int]] = []
        self.tries: Counter[str] = Counter()
        self.crash: Callable[[], None] = _nobody
        self._broker = broker
        self._owner = owner
        self._failures: dict[str, list[Exception]] = defaultdict(list)
        self._crashes: set[str] = set()
        self._gates: dict[str, asyncio.Event] = {}
        self._claims: dict[int, int] = {}
        self.sight: float = 0.0  # seconds until a claim is seen by who watches; ``catch_up`` sees all

    def fail(self, call: str, times: int = 1, error: Exception | None = None) -> None:
        """Let the next ``times`` of ``call`` write only half of their records and raise."""
        self._failures[call] += [error or UnavailableError("the broker does not answer")] * times

    def recover(self) -> None:
        """Nothing fails any more."""
        self._failures.clear()

    def hold(self, call: str) -> asyncio.Event:
        """Let ``call`` wait for its acknowledgement until the event returned is set."""
        return self._gates.setdefault(call, asyncio.Event())

    def crash_after(self, call: str) -> None:
        """Let the process die once ``call`` has written, before anybody hears of it."""
        self._crashes.add(call)

    async def publish(self, events: Sequence[Event]) -> None:
        topics = self._broker.topics
        await self._deliver(
            "publish",
            [
                _Outgoing(
                    self._place(
                        topics.conversations
                        if event.kind in {Kind.CONVERSATION, Kind.VANISHED}
                        else topics.messages,
                        event.conversation_id,
                    ),
                    event_key(event),
                    encode_event(event),
                )
                for event in events
            ],
        )

    async def announce(self, pages: Sequence[Page]) -> None:
        now = self._broker.clock.epoch_ms()
        topic = self._broker.topics.pages
        await self._deliver(
            "announce",
            [
                _Outgoing(self._place(topic, page.id), page.id.encode(), encode_page(page, observed_at=now))
                for page in pages
            ],
        )

    async def hint(self, page_id: str) -> None:
        value = encode_hint(page_id, hinted_at=self._broker.clock.epoch_ms())
        place = self._place(self._broker.topics.pages, page_id)
        await self._deliver("hint", [_Outgoing(place, hint_key(page_id), value)])

    async def report(self, statuses: Sequence[PageStatus]) -> None:
        topic = self._broker.topics.pages
        await self._deliver(
            "report",
            [
                _Outgoing(
                    self._place(topic, status.completeness.page_id),
                    status_key(status.completeness.page_id),
                    encode_status(replace(status, owner=self._owner)),
                )
                for status in statuses
            ],
        )

    async def save(self, cursors: Sequence[CursorRecord]) -> None:
        topic = self._broker.topics.cursors
        await self._deliver(
            "save",
            [
                _Outgoing(self._place(topic, cursor.page_id), cursor_key(cursor), self._encoded(cursor))
                for cursor in cursors
            ],
        )

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        topic = self._broker.topics.dead_letters
        await self._deliver(
            "put",
            [
                _Outgoing(
                    self._place(topic, letter.key.decode(errors="replace"))
                    if letter.partition is None
                    else Partition(topic, letter.partition.number % self._broker.count),
                    letter.key,
                    encode_dead_letter(letter),
                )
                for letter in letters
            ],
        )

    async def load(self, partition: int) -> Sequence[CursorRecord]:
        claimed = Partition(self._broker.topics.cursors, partition)
        claim = _Outgoing(claimed, b"claim", self._encoded(CursorRecord("", "", b"")))
        await self._deliver("load", [claim])
        offsets = [at for at, stored in enumerate(self._broker.logs[claimed]) if stored.value == claim.value]
        self._claims[partition] = offsets[-1]
        found = Found()
        for stored in self._broker.logs[claimed]:
            found.note(stored.key or b"", stored.value)
        return list(found.decoded())

    def held(self) -> Collection[int]:
        self._look(self._broker.clock.epoch_ms() - round(self.sight * 1000))
        return frozenset(self._claims)

    async def catch_up(self) -> None:
        asked_at = self._broker.clock.epoch_ms()
        await self._deliver("catch_up", [])
        self._look(asked_at)

    def release(self, partition: int) -> None:
        self._claims.pop(partition, None)

    async def close(self) -> None:
        self._claims.clear()

    def _look(self, upto: float) -> None:
        """Lose what others claimed behind us, as far as it was written up to a moment."""
        for number in list(self._claims):
            log = self._broker.logs[Partition(self._broker.topics.cursors, number)]
            while (at := self._claims[number] + 1) < len(log) and log[at].timestamp <= upto:
                self._claims[number] = at
                if log[at].key == b"claim" and _owner(log[at].value) != self._owner:
                    del self._claims[number]
                    break

    def _encoded(self, cursor: CursorRecord) -> bytes:
        return encode_cursor(cursor, owner=self._owner, saved_at=self._broker.clock.epoch_ms())

    def _place(self, topic: str, ordering_key: str) -> Partition:
        return Partition(topic, partition_of(ordering_key, self._broker.count))

    async def _deliver(self, call: str, outgoing: Sequence[_Outgoing]) -> None:
        self.tries[call] += 1
        await asyncio.sleep(0)
        problem = self._failures[call].pop(0) if self._failures[call] else None
        for record in outgoing[: len(outgoing) // 2 if problem else None]:
            self._broker.append(record.partition, record.key, record.value)
        if problem is not None:
            raise problem
        if outgoing and call in self._crashes:
            self._crashes.discard(call)
            self.crash()
            raise CrashError
        if call in self._gates:
            await self._gates[call].wait()
        self.acknowledged.append((call, len(outgoing)))


def _owner(value: bytes | None) -> str:
    try:
        return cursor_owner(value)
    except UndecodableError:
        return "nobody we know"


class CrashError(Exception):
    """The process is dead; what still runs of it here can do no harm."""


def _nobody() -> None:
    """Dies for no one."""
