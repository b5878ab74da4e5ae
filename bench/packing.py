"""
How many FolkForm calls a back-fill of production's shape takes, on a virtual clock: the engine's own desk.

The events lie in the topics as the pollers leave them: pages of thirty messages, some conversations side by
side. FolkForm's limit is the bottleneck, as it is in production: 100 calls a minute.
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.figures import Baseline, Figure, Plan, Result, at_least, at_most
from connector.app import sink_rules
from connector.engine.book import Book
from connector.engine.desk import Desk, Job
from connector.engine.runner import LOW_WATER
from connector.engine.window import allowances
from connector.kafka.partitioner import partition_of
from connector.model import Event, Kind, Origin, Partition, Position, Record, Start
from connector.settings import SinkSettings

# contracts/background.md: 47,062 conversations, 1.29 million messages, most of them short, a heavy tail.
CONVERSATIONS = 47_062
MESSAGES = 27.4
SPREAD = 1.5
PAGE = 30
SIDE_BY_SIDE = 24
PARTITIONS = 12
TARGET = 94_200
POLL_SECONDS = 0.1
POLLS_PER_CALL = 6  # 100 calls a minute
POLLED = 500
FETCHED = 100
VALUE = bytes(1200)


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of it."""

    conversations: int
    messages: int
    calls: int

    @property
    def ideal(self) -> int:
        """One call for each snapshot, one for the messages of each conversation."""
        return 2 * self.conversations


def measure(plan: Plan) -> Result:
    count = CONVERSATIONS // (200 if plan.quick else 10)
    tallies = [_drain(_logs(count, random.Random(seed))) for seed in range(plan.repeats)]
    events = [(t.messages + t.conversations) / t.calls for t in tallies]
    ideal = Baseline("an unlimited window", [(t.messages + t.conversations) / t.ideal for t in tallies])
    whole = [t.calls * CONVERSATIONS / t.conversations for t in tallies]
    return Result(
        [
            Figure("packing: events per call", "", events, at_least(0.95 * ideal.values[0]), ideal),
            Figure("packing: calls for 47,062 conversations", "", whole, at_most(TARGET)),
        ],
        [f"{t.messages:,} messages of {t.conversations:,} conversations: {t.calls:,} calls" for t in tallies],
    )


def _lengths(count: int, dice: random.Random) -> list[int]:
    middle = 3.31 - SPREAD**2 / 2  # the logarithm of 27.4, less what the tail adds to the mean
    drawn = [dice.lognormvariate(middle, SPREAD) for _ in range(count)]
    scale = MESSAGES * count / sum(drawn)
    return [max(1, round(length * scale)) for length in drawn]


def _logs(count: int, dice: random.Random) -> dict[Partition, list[Record]]:
    logs: dict[Partition, list[Record]] = {
        Partition(topic, number): []
        for topic in ("conversations", "messages")
        for number in range(PARTITIONS)
    }
    for event in _published(_lengths(count, dice)):
        topic = "conversations" if event.kind is Kind.CONVERSATION else "messages"
        log = logs[Partition(topic, partition_of(event.conversation_id, PARTITIONS))]
        key = f"{event.conversation_id}\0{event.message_id}".encode()
        log.append(Record(Partition(topic, _number(event)), len(log), 0, key, VALUE, event))
    return logs


def _number(event: Event) -> int:
    return partition_of(event.conversation_id, PARTITIONS)


def _published(lengths: Sequence[int]) -> Iterator[Event]:
    """Snapshots first; messages by pages, of so many conversations in turn."""
    waiting = [(f"1000_{number}", length) for number, length in enumerate(lengths)]
    for name, _ in waiting:
        yield _event(Kind.CONVERSATION, name, "")
    waiting.reverse()
    open_now: list[tuple[str, int, int]] = []
    while waiting or open_now:
        while waiting and len(open_now) < SIDE_BY_SIDE:
            name, length = waiting.pop()
            open_now.append((name, length, 0))
        name, length, done = open_now.pop(0)
        upto = min(length, done + PAGE)
        for number in range(done, upto):
            yield _event(Kind.MESSAGE, name, f"{name}_{number}")
        if upto < length:
            open_now.append((name, length, upto))


def _event(kind: Kind, name: str, message_id: str) -> Event:
    content = (name + message_id).encode()[-8:]
    return Event(kind, "1000", "page", name, "c", message_id, 1, 1, 1, content, Origin.BACKFILL, b"{}")


class Sink:
    """One process that owns everything: it reads, pauses and resumes as the loop does."""

    def __init__(self, logs: Mapping[Partition, Sequence[Record]]) -> None:
        self._logs = logs
        self._settings = settings = SinkSettings()
        self._desk = Desk(sink_rules(settings), lambda _tries, _problem: 1.0, lambda _book, _batch: None)
        self._at = dict.fromkeys(logs, 0)
        self._paused: set[Partition] = set()
        self._room: Mapping[Partition, float] = {}
        self._waiting: deque[Job] = deque()
        self.calls = 0
        for partition in logs:
            self._desk.assigned(partition, Start(0, 0))
            self._desk.committed(partition, Position(0, settings.ahead), 0)

    @property
    def busy(self) -> bool:
        return bool(self._waiting) or any(self._at[p] < len(log) for p, log in self._logs.items())

    def read(self) -> None:
        """One poll, and what is settled is committed."""
        left = POLLED
        self._room = allowances(self._desk.books, self._settings.window_bytes)
        for partition, book in self._desk.books.items():
            if self._may_read(partition, book):
                begin = self._at[partition]
                records = self._logs[partition][begin : begin + min(left, FETCHED)]
                for record in records:
                    self._desk.offer(record, 0)
                left -= len(records)
                self._at[partition] += len(records)
            if (position := book.position) is not None:
                self._desk.committed(partition, position, 0)

    def call(self, now: float) -> None:
        """One call gets its moment."""
        self.begin(now)
        if self._waiting:
            self.calls += 1
            job = self._waiting.popleft()
            self._desk.answered(job, [None] * len(job.lanes), now)

    def begin(self, now: float) -> None:
        while (job := self._desk.next_job(now, 0, queue=len(self._waiting))) is not None:
            self._waiting.append(job)

    def _may_read(self, partition: Partition, book: Book) -> bool:
        filled = max(
            book.held_bytes / self._room[partition], book.held_records / (2 * self._settings.window_records)
        )
        if filled >= 1:
            self._paused.add(partition)
        elif filled <= LOW_WATER:
            self._paused.discard(partition)
        return partition not in self._paused


def _drain(logs: Mapping[Partition, Sequence[Record]]) -> Tally:
    sink, ticks = Sink(logs), 0
    while sink.busy:
        ticks += 1
        sink.read()
        sink.begin(ticks * POLL_SECONDS)
        if ticks % POLLS_PER_CALL == 0:
            sink.call(ticks * POLL_SECONDS)
    snapshots = sum(len(log) for partition, log in logs.items() if partition.topic == "conversations")
    return Tally(snapshots, sum(map(len, logs.values())) - snapshots, sink.calls)
