"""The sink's loop: poll, hand to the desk, pause what is full, store what is safe."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from connector.clock import Deadline
from connector.engine.book import Book
from connector.engine.desk import Rules
from connector.engine.window import allowances
from connector.engine.worker import Tools, Worker
from connector.model import Partition, Polled, Position, Turn
from connector.ports import Consumer
from connector.telemetry import CONSUMED, OWNERSHIP

LOW_WATER = 0.5
LOOK_SECONDS = 1.0

log = structlog.get_logger("connector.sink")


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much the process holds (bytes), and how long a hand-over may take (seconds).

    ``quarantine``: seconds that an owner waits before it writes when a call of the last one may still be
    carried out.
    """

    window_bytes: int
    drain: float
    quarantine: float


class SinkRunner:
    """Owns the partitions that this process has; a Listener of its consumer."""

    def __init__(self, consumer: Consumer, tools: Tools, rules: Rules, bounds: Bounds) -> None:
        self.worker = Worker(tools, rules)
        self.beat = tools.clock.monotonic()
        self.ready = False
        self._consumer = consumer
        self._tools = tools
        self._rules = rules
        self._bounds = bounds
        self._paused: frozenset[Partition] = frozenset()
        self._stored: dict[Partition, Position] = {}
        self._ends: dict[Partition, int] = {}
        self._not_before: dict[Partition, float] = {}
        self._failing = False

    @property
    def books(self) -> Mapping[Partition, Book]:
        return self.worker.desk.books

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> None:
        """
        Deliver until ``stop`` is set, or with ``once`` until the ends met at first are delivered.

        Raises:
            FatalError: nothing more is stored; what was delivered stays delivered.
        """
        watch = asyncio.create_task(self._watch(), name="vigil of the sink")
        try:
            await self._consumer.start(self)
            while not stop.is_set() and not (once and self._drained()):
                polled = await self._consumer.poll(self._turn())
                self._hand_out(polled)
                self.beat = self._tools.clock.monotonic()
                self._raise_failure()
        except BaseException:
            self._failing = True
            raise
        finally:
            self.ready = False
            watch.cancel()
            await self._consumer.close()
            self.worker.close()

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            start = self._consumer.starts[partition]
            self.worker.desk.assigned(partition, start)
            if start.unanswered:
                self._not_before[partition] = self._tools.clock.monotonic() + self._bounds.quarantine
        self._note("assigned", partitions)
        self.ready = True

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Position]:
        deadline = Deadline.after(self._tools.clock, 0.0 if self._failing else self._bounds.drain)
        positions = await self.worker.drain(partitions, deadline)
        self._forget(partitions)
        self._note("revoked", partitions)
        return {} if self._failing else positions

    async def lost(self, partitions: Sequence[Partition]) -> None:
        # Somebody else may have them by now: whatever finishes here must not move their offsets.
        await self.worker.abandon(partitions)
        self._forget(partitions)
        self._note("lost", partitions)

    async def _watch(self) -> None:
        """Notice when the process stood still: then its partitions may be somebody else's by now."""
        while True:
            if self.worker.vigil.look():
                log.warning("process stood still", advice="nothing is sent until the broker knows us again")
                for book in self.books.values():
                    book.doubt()
            await self._tools.clock.sleep(LOOK_SECONDS)

    def _confirm(self) -> None:
        if self.worker.vigil.slept and all(book.sure for book in self.books.values()):
            self.worker.vigil.confirmed()

    def _turn(self) -> Turn:
        store = {
            partition: position
            for partition, book in self.books.items()
            if (position := book.position) is not None and position != self._stored.get(partition)
        }
        self._stored |= store
        full, roomy = self._fullness()
        pause, resume = full - self._paused, roomy & self._paused
        self._paused = (self._paused | pause) - resume
        declare = {p: said for p, book in self.books.items() if (said := book.declaration) is not None}
        return Turn(store, frozenset(pause), frozenset(resume), self._rewinds(), declare)

    def _rewinds(self) -> Mapping[Partition, int]:
        now = self._tools.clock.monotonic()
        return {
            partition: book.rewound()
            for partition, book in self.books.items()
            if book.surveyed and now >= self._not_before.get(partition, now)
        }

    def _fullness(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        # Pausing throws away what the client fetched ahead, so there is room between the two marks.
        room = allowances(self.books, self._bounds.window_bytes)
        records = 2 * self._rules.reach.records
        filled = {p: max(b.held_bytes / room[p], b.held_records / records) for p, b in self.books.items()}
        full = frozenset(partition for partition, part in filled.items() if part >= 1)
        roomy = frozenset(partition for partition, part in filled.items() if part <= LOW_WATER)
        return full, roomy

    def _hand_out(self, polled: Polled) -> None:
        desk, now_ms = self.worker.desk, self._tools.clock.epoch_ms()
        for partition, position in polled.committed.items():
            desk.committed(partition, position, now_ms)
        self._confirm()
        # Once per poll: one call per record was a tenth of the loop's time.
        for partition, count in Counter(record.partition for record in polled.records).items():
            if not self.books[partition].surveying:
                self._tools.metrics.count(CONSUMED, partition.topic, by=count)
        for record in polled.records:
            desk.offer(record, now_ms)
        for partition, end in polled.ends.items():
            self._end_met(partition, end)
        self.worker.pump()

    def _end_met(self, partition: Partition, end: int) -> None:
        book = self.books.get(partition)
        if book is not None and book.surveying:
            book.end_met()
        else:
            self._ends.setdefault(partition, end)

    def _drained(self) -> bool:
        return self.ready and all(map(self._at_end, self.books.values()))

    def _at_end(self, book: Book) -> bool:
        end = self._ends.get(book.partition)
        # Where records keep coming there may always be something held, and the end is behind it all the same.
        return end is not None and (not book.held_records or (book.next_offset or 0) >= end)

    def _raise_failure(self) -> None:
        if self.worker.failure is not None:
            raise self.worker.failure

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._paused -= frozenset(partitions)
        for partition in partitions:
            for kept in (self._stored, self._ends, self._not_before):
                kept.pop(partition, None)

    def _note(self, change: str, partitions: Sequence[Partition]) -> None:
        self._tools.metrics.count(OWNERSHIP, change, by=len(partitions))
        if partitions:
            log.info("ownership", change=change, partitions=[str(partition) for partition in partitions])
