"""One partition: one batch in flight, each conversation in order, the next offset only after the work."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from connector.clock import Clock, Deadline
from connector.engine.backoff import Backoff
from connector.engine.packing import Lane, Prefix, pack
from connector.errors import RejectedError, RetryableError
from connector.leaving import unless
from connector.model import DeadLetter, Partition, Problem, Record
from connector.ports import DeadLetters, Sink
from connector.telemetry import DEAD_LETTERS, DELIVERED, FRESHNESS_SECONDS, REFUSALS, RETRIES, WRITES, Metrics

log = structlog.get_logger("connector.sink")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one worker takes at once, and how often it tries."""

    window_records: int
    item_attempts: int


@dataclass(frozen=True, slots=True)
class Tools:
    """What all workers of a process share. ``lanes`` bounds how many conversations are written at once."""

    sink: Sink
    dead_letters: DeadLetters
    lanes: asyncio.Semaphore
    backoff: Backoff
    clock: Clock
    metrics: Metrics


class PartitionWorker:
    """
    Delivers the records of one partition.

    ``next_offset`` is the offset to commit: everything below it is delivered or shelved. It only ever
    grows; None until the first record is settled.
    """

    def __init__(self, partition: Partition, tools: Tools, limits: Limits) -> None:
        self.partition = partition
        self.next_offset: int | None = None
        self.held_records = 0
        self.held_bytes = 0
        self._tools = tools
        self._limits = limits
        self._places = 0
        self._waiting: deque[Record] = deque()
        self._news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"worker {partition}")

    @property
    def failure(self) -> BaseException | None:
        """What ended the worker, if something did that must end the process."""
        if not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    @property
    def idle(self) -> bool:
        return not self.held_records

    def offer(self, record: Record) -> None:
        """Take a record; the caller pauses the partition when too much is held."""
        self._waiting.append(record)
        self.held_records += 1
        self.held_bytes += record.size
        self._news.set()

    async def drain(self, deadline: Deadline) -> int | None:
        """
        Begin nothing new, let what is on the wire come home, and return the next offset.

        What has not come home at the deadline is abandoned: the next owner writes it again.
        """
        self._leaving.set()
        self._news.set()
        await asyncio.wait([self._task], timeout=deadline.left())
        await self.abandon()
        return self.next_offset

    async def abandon(self) -> None:
        """Stop at once. ``next_offset`` stays where the finished work has put it."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._leaving.is_set():
            await self._news.wait()
            self._news.clear()
            while self._waiting and not self._leaving.is_set():
                await self._deliver(self._take())

    def _take(self) -> Sequence[Record]:
        # Everything that gathered while the last batch was out: the slower the target, the wider the
        # window and the fewer the calls.
        count = min(len(self._waiting), self._limits.window_records)
        return [self._waiting.popleft() for _ in range(count)]

    async def _deliver(self, batch: Sequence[Record]) -> None:
        packed = pack(batch)
        prefix = Prefix(packed, batch[-1].next_offset)
        try:
            async with asyncio.TaskGroup() as group:
                for record in packed.unreadable:
                    group.create_task(self._shelve_unreadable(record, prefix))
                for lane in packed.lanes:
                    if not await unless(self._leaving, self._enter()):
                        break
                    group.create_task(self._lane(lane, prefix))
        except ExceptionGroup as problems:
            # One sentence instead of a tree: the first that went wrong is what the operator must see.
            raise problems.exceptions[0] from None
        finally:
            # A lane that is cancelled before its first step never comes to give its place back.
            while self._places:
                self._exit()
        if prefix.complete:
            self.held_records -= len(batch)
            self.held_bytes -= sum(record.size for record in batch)

    async def _lane(self, lane: Lane, prefix: Prefix) -> None:
        try:
            if await self._write(lane.records):
                self.next_offset = prefix.settle(lane.first_offset)
                self._measure(lane)
        finally:
            self._exit()

    async def _enter(self) -> None:
        await self._tools.lanes.acquire()
        self._places += 1

    def _exit(self) -> None:
        self._places -= 1
        self._tools.lanes.release()

    async def _shelve_unreadable(self, record: Record, prefix: Prefix) -> None:
        problem = record.problem or Problem("no_event", "the record holds no event")
        if await self._shelve(record, problem):
            self.next_offset = prefix.settle(record.offset)

    async def _write(self, records: Sequence[Record]) -> bool:
        """Write or shelve every record; False when the partition left before that was done."""
        events = [record.event for record in records if record.event]
        tries = refusals = 0
        while not self._leaving.is_set():
            try:
                await self._tools.sink.write(events, self._leaving)
            except RetryableError as problem:
                tries += 1
                await self._pause(tries, problem)
            except RejectedError as problem:
                self._tools.metrics.count(REFUSALS, self.partition.topic)
                if len(records) > 1:
                    # Only the culprit is shelved: halves find it in log2 steps, and its neighbours pass.
                    middle = len(records) // 2
                    return await self._write(records[:middle]) and await self._write(records[middle:])
                refusals += 1
                if problem.status is None or refusals >= self._limits.item_attempts:
                    why = Problem(problem.reason, str(problem), problem.status, refusals)
                    return await self._shelve(records[0], why)
            else:
                self._tools.metrics.count(WRITES, self.partition.topic)
                return True
        return False

    async def _shelve(self, record: Record, problem: Problem) -> bool:
        letter = DeadLetter(
            record.key or b"",
            record.value or b"",
            problem,
            self._tools.clock.epoch_ms(),
            record.partition,
            record.offset,
        )
        tries = 0
        while not self._leaving.is_set():
            try:
                await self._tools.dead_letters.put([letter])
            except RetryableError as failed:
                tries += 1
                await self._pause(tries, failed)
            else:
                self._tools.metrics.count(DEAD_LETTERS, problem.reason)
                log.warning(
                    "dead letter",
                    partition=str(record.partition),
                    offset=record.offset,
                    reason=problem.reason,
                    problem=problem.message,
                )
                return True
        return False

    async def _pause(self, tries: int, problem: RetryableError) -> None:
        if self._leaving.is_set():
            return
        self._tools.metrics.count(RETRIES, self.partition.topic)
        if tries & (tries - 1) == 0:
            log.warning("write repeated", partition=str(self.partition), tries=tries, problem=str(problem))
        await unless(self._leaving, self._tools.clock.sleep(self._tools.backoff.wait(tries, problem)))

    def _measure(self, lane: Lane) -> None:
        topic = self.partition.topic
        self._tools.metrics.count(DELIVERED, topic, by=lane.count)
        seen = [record.event.observed_at for record in lane.records if record.event]
        age = (self._tools.clock.epoch_ms() - min(seen)) / 1000
        self._tools.metrics.observe(FRESHNESS_SECONDS, age, topic)
