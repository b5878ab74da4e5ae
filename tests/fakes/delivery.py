"""The sink's side on fakes: a broker, a target, and as many processes as a story needs."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connector.codec import decode_dead_letter
from connector.engine.backoff import Backoff
from connector.engine.book import Reach
from connector.engine.desk import Rules
from connector.engine.flood import FloodLimits
from connector.engine.runner import Bounds, SinkRunner
from connector.engine.trial import Patience
from connector.engine.worker import Tools
from connector.kafka.partitioner import partition_of
from connector.model import DeadLetter, Event, Partition
from connector.telemetry import Metrics
from tests.fakes.broker import FakeBroker, FakeConsumer, FakePublisher
from tests.fakes.clock import FakeClock
from tests.fakes.sink import FakeSink

LONGEST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much a process takes; ``drain`` in real seconds: a hand-over waits for calls, not for the clock."""

    window_records: int = 100
    window_bytes: int = 2**20
    lanes: int = 8
    attempts: int = 3
    doubts: int = 4
    ahead: int = 1000
    remembered: int = 10_000
    in_row: int = 1000
    share: float = 1.0
    quarantine: float = 5.0
    drain: float = 30.0
    poll_records: int = 500


class MortalRunner(SinkRunner):
    """A runner that knows all partitions that it ever had: a crash ends what is being handed over too."""

    mortal: set[Partition]

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        await super().assigned(partitions)
        self.mortal |= set(partitions)

    async def die(self) -> None:
        await self.worker.abandon(list(self.mortal))
        self.worker.close()


class Process:
    """One sink process."""

    def __init__(self, delivery: "Delivery", *, once: bool) -> None:
        size = delivery.size
        topics = delivery.broker.topics
        self.consumer = FakeConsumer(
            delivery.broker,
            topics.sink_group,
            [topics.conversations, topics.messages],
            ends=True,
            poll_records=size.poll_records,
        )
        self.metrics = Metrics()
        tools = Tools(
            delivery.sink, delivery.letters, Backoff(2.0, random.Random(0)), delivery.clock, self.metrics
        )
        rules = Rules(
            size.lanes,
            Reach(size.window_records, size.ahead),
            Patience(size.attempts, size.doubts),
            FloodLimits(size.in_row, size.share),
            size.remembered,
        )
        bounds = Bounds(size.window_bytes, size.drain, size.quarantine)
        self.runner = MortalRunner(self.consumer, tools, rules, bounds)
        self.runner.mortal = set()
        self.stop = asyncio.Event()
        self.crashed = self.ended = False
        self.task = asyncio.create_task(self.runner.run(self.stop, once=once))

    async def end(self) -> None:
        """What is left of it in this process of ours; as ``kill -9`` if it has not ended by itself."""
        if self.ended:
            return
        self.ended = True
        # Its calls end before anybody else can own their partitions.
        await self.runner.die()
        if not self.task.done():
            self.consumer.crash()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.runner.die()
        self.metrics.close()


class Delivery:
    """Everything that outlives a process: the topics, the target, the clock."""

    def __init__(self, *, partitions: int = 1, size: Size | None = None) -> None:
        self.size = size or Size()
        self.clock = FakeClock()
        self.broker = FakeBroker(self.clock, partitions=partitions)
        self.sink = FakeSink(self.clock)
        self.letters = FakePublisher(self.broker)
        self.sink.crash = self.letters.crash = self.crash
        self.processes: list[Process] = []

    def publish(self, *events: Event) -> None:
        for event in events:
            self.broker.put(event)

    def conversation(self, number: int) -> str:
        """The id of some conversation that lives in partition ``number``."""
        ids = (f"c{n}" for n in itertools.count())
        return next(name for name in ids if partition_of(name, self.broker.count) == number)

    def start(self, *, once: bool = False) -> Process:
        process = Process(self, once=once)
        self.processes.append(process)
        return process

    async def run_once(self) -> None:
        """A process that delivers what is there; it may crash. Raises what it raises, if it did not."""
        process = self.start(once=True)
        await self.until(process.task.done)
        if not process.crashed:
            process.task.result()

    def crash(self) -> None:
        """Kill the process that runs; in a story with several, call ``consumer.crash`` of the right one."""
        self.processes[-1].crashed = True
        self.processes[-1].consumer.crash()

    async def until(self, condition: Callable[[], object], within: float = LONGEST_SECONDS) -> None:
        """Let time pass until ``condition`` holds."""
        end = self.clock.monotonic() + within
        await self.clock.advance(0.0)
        while not condition():
            assert self.clock.monotonic() < end, f"not within {within} s"
            await self.clock.advance(0.1)

    async def close(self) -> None:
        for process in self.processes:
            await process.end()

    def committed(self, topic: str | None = None, number: int = 0) -> int:
        topics = self.broker.topics
        group = self.broker.group(topics.sink_group, [topics.conversations, topics.messages])
        return group.committed.get(Partition(topic or topics.messages, number), 0)

    @property
    def shelved(self) -> list[DeadLetter]:
        return [decode_dead_letter(s.value) for s in self.broker.records(self.broker.topics.dead_letters)]
