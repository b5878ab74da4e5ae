"""The poller's side on fakes: a broker, a source, and as many processes as a story needs."""

import asyncio
import random
from collections.abc import Callable, Sequence

from connector.codec import decode_cursor, decode_dead_letter, decode_event, decode_status, encode_cursor
from connector.engine.backoff import Backoff
from connector.engine.fleet import Fleet, Pace, Source
from connector.engine.poller import PollerTools
from connector.kafka.partitioner import partition_of
from connector.model import CursorRecord, DeadLetter, Event, PageStatus, Partition
from connector.telemetry import Metrics
from tests.fakes.broker import FakeBroker, Stored
from tests.fakes.clock import FakeClock
from tests.fakes.frost import Frost, FrostClock, FrostConsumer, FrostPublisher, FrostReader
from tests.fakes.pages import FakeDirectory, FakeSource

LONGEST_SECONDS = 3600.0
PAGES_INTERVAL = 60.0


class PollerProcess:
    """One poller process."""

    def __init__(self, polling: "Polling", *, once: bool) -> None:
        topics = polling.broker.topics
        self.frost = frost = Frost()
        self.deafness = Frost()  # of the consumer alone
        self.name = f"process {len(polling.processes)}"
        self.consumer = FrostConsumer(
            (frost, self.deafness), polling.broker, topics.poller_group, [topics.pages]
        )
        self.publisher = FrostPublisher(frost, polling.broker, self.name)
        self.publisher.sight = polling.sight
        clock = FrostClock(polling.clock, frost)
        self.publisher.crash = self.crash
        self.metrics = Metrics()
        tools = PollerTools(
            self.publisher, self.publisher, Backoff(2.0, random.Random(0)), clock, self.metrics, polling.lanes
        )
        source = Source(
            polling.directory,
            self.publisher,
            self.publisher,
            lambda page_id: partition_of(page_id, polling.broker.count),
            lambda page, cursors: FrostReader(frost, polling.source, page, cursors),
        )
        self.fleet = Fleet(self.consumer, source, tools, Pace(PAGES_INTERVAL, polling.drain))
        self.stop = asyncio.Event()
        self.crashed = self.ended = False
        self.task = asyncio.create_task(self.fleet.run(self.stop, once=once))

    def crash(self) -> None:
        """As ``kill -9``."""
        self.crashed = True
        self.consumer.crash()

    async def end(self) -> None:
        """What is left of it in this process of ours; as ``kill -9`` if it has not ended by itself."""
        if self.ended:
            return
        self.ended = True
        if not self.task.done():
            self.crash()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.fleet.lost(self.consumer.group.partitions)
        self.metrics.close()


class Polling:
    """Everything that outlives a process: the topics, the source, the clock."""

    def __init__(
        self, pages: dict[str, int], *, partitions: int = 1, lanes: int = 2, drain: float = 30.0
    ) -> None:
        """``pages``: how many calls each page needs; ``drain`` in real seconds."""
        self.clock = FakeClock()
        self.broker = FakeBroker(self.clock, partitions=partitions)
        self.source = FakeSource(pages)
        self.directory = FakeDirectory(list(pages))
        self.lanes = lanes
        self.drain = drain
        self.sight = 0.0  # seconds until a claim is seen by who does not ask
        self.processes: list[PollerProcess] = []

    def start(self, *, once: bool = False) -> PollerProcess:
        process = PollerProcess(self, once=once)
        self.processes.append(process)
        return process

    async def run_once(self) -> PollerProcess:
        """A process that reads one pass; it may crash. Raises what it raises, if it did not."""
        process = self.start(once=True)
        await self.until(process.task.done)
        if not process.crashed:
            process.task.result()
        return process

    def claim(self, page_id: str, owner: str = "a stranger") -> None:
        """Let somebody who is no member of the group claim a page's partition."""
        number = partition_of(page_id, self.broker.count)
        value = encode_cursor(CursorRecord("", "", b""), owner=owner, saved_at=self.clock.epoch_ms())
        self.broker.append(Partition(self.broker.topics.cursors, number), b"claim", value)

    async def until(self, condition: Callable[[], object], within: float = LONGEST_SECONDS) -> None:
        """Let time pass until ``condition`` holds."""
        end = self.clock.monotonic() + within
        await self.clock.advance(0.0)
        while not condition():
            assert self.clock.monotonic() < end, f"not within {within} s"
            await self.clock.advance(0.5)

    async def close(self) -> None:
        for process in self.processes:
            await process.end()

    @property
    def events(self) -> list[Event]:
        """Everything published."""
        return [decode_event(stored.value) for stored in self.broker.records(self.broker.topics.messages)]

    @property
    def cursors(self) -> Sequence[CursorRecord]:
        """Everything saved, claims left out."""
        read = [decode_cursor(stored.value) for stored in self.broker.records(self.broker.topics.cursors)]
        return [cursor for cursor in read if cursor.page_id]

    @property
    def announced(self) -> list[Stored]:
        """The records that name pages."""
        return [
            stored
            for stored in self.broker.records(self.broker.topics.pages)
            if b"\0" not in (stored.key or b"")
        ]

    @property
    def statuses(self) -> list[PageStatus]:
        """What was said of how pages stand, in order."""
        pages = self.broker.records(self.broker.topics.pages)
        return [decode_status(stored.value) for stored in pages if (stored.key or b"").endswith(b"\0status")]

    @property
    def shelved(self) -> list[DeadLetter]:
        return [decode_dead_letter(s.value) for s in self.broker.records(self.broker.topics.dead_letters)]
