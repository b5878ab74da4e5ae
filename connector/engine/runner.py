"""The sink's loop: poll, hand to workers, pause what is full, store what is safe."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from connector.clock import Deadline
from connector.engine.worker import Limits, PartitionWorker, Tools
from connector.model import Partition, Polled, Turn
from connector.ports import Consumer
from connector.telemetry import CONSUMED, OWNERSHIP

LOW_WATER = 0.5

log = structlog.get_logger("connector.sink")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the process holds (bytes), and how long a hand-over may take (seconds)."""

    window_bytes: int
    drain: float


class SinkRunner:
    """Owns the workers of the partitions that this process has; a Listener of its consumer."""

    def __init__(self, consumer: Consumer, tools: Tools, limits: Limits, bounds: Bounds) -> None:
        self.workers: dict[Partition, PartitionWorker] = {}
        self.beat = tools.clock.monotonic()
        self.ready = False
        self._consumer = consumer
        self._tools = tools
        self._limits = limits
        self._bounds = bounds
        self._paused: frozenset[Partition] = frozenset()
        self._stored: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._failing = False

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> None:
        """
        Deliver until ``stop`` is set, or with ``once`` until the ends met at first are delivered.

        Raises:
            FatalError: nothing more is stored; what was delivered stays delivered.
        """
        await self._consumer.start(self)
        try:
            while not stop.is_set() and not (once and self._drained()):
                polled = await self._consumer.poll(self._turn())
                self._hand_out(polled)
                self.beat = self._tools.clock.monotonic()
                self._raise_failures()
        except BaseException:
            self._failing = True
            raise
        finally:
            self.ready = False
            await self._consumer.close()

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self.workers[partition] = PartitionWorker(partition, self._tools, self._limits)
        self._note("assigned", partitions)
        self.ready = True

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        deadline = Deadline.after(self._tools.clock, 0.0 if self._failing else self._bounds.drain)
        workers = self._forget(partitions)
        offsets = await asyncio.gather(*(worker.drain(deadline) for worker in workers))
        self._note("revoked", partitions)
        if self._failing:
            return {}
        settled = zip(workers, offsets, strict=True)
        return {worker.partition: offset for worker, offset in settled if offset is not None}

    async def lost(self, partitions: Sequence[Partition]) -> None:
        # Somebody else may have them by now: whatever finishes here must not move their offsets.
        await asyncio.gather(*(worker.abandon() for worker in self._forget(partitions)))
        self._note("lost", partitions)

    def _turn(self) -> Turn:
        store = {
            partition: worker.next_offset
            for partition, worker in self.workers.items()
            if worker.next_offset is not None and worker.next_offset != self._stored.get(partition)
        }
        self._stored |= store
        full, roomy = self._fullness()
        pause, resume = full - self._paused, roomy & self._paused
        self._paused = (self._paused | pause) - resume
        return Turn(store, frozenset(pause), frozenset(resume))

    def _fullness(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        # Pausing throws away what the client fetched ahead, so there is room between the two marks.
        share = self._bounds.window_bytes // max(1, len(self.workers))
        records = 2 * self._limits.window_records
        filled = {p: max(w.held_bytes / share, w.held_records / records) for p, w in self.workers.items()}
        full = frozenset(partition for partition, part in filled.items() if part >= 1)
        roomy = frozenset(partition for partition, part in filled.items() if part <= LOW_WATER)
        return full, roomy

    def _hand_out(self, polled: Polled) -> None:
        for record in polled.records:
            self.workers[record.partition].offer(record)
        # Once per poll: one call per record was a tenth of the loop's time.
        for topic, count in Counter(record.partition.topic for record in polled.records).items():
            self._tools.metrics.count(CONSUMED, topic, by=count)
        for partition, end in polled.ends.items():
            self._ends.setdefault(partition, end)

    def _drained(self) -> bool:
        return self.ready and all(map(self._at_end, self.workers.values()))

    def _at_end(self, worker: PartitionWorker) -> bool:
        end = self._ends.get(worker.partition)
        # Where records keep coming a worker may never be idle, and the end is behind it all the same.
        return end is not None and (worker.idle or (worker.next_offset or 0) >= end)

    def _raise_failures(self) -> None:
        for worker in self.workers.values():
            if (failure := worker.failure) is not None:
                raise failure

    def _forget(self, partitions: Sequence[Partition]) -> Sequence[PartitionWorker]:
        self._paused -= frozenset(partitions)
        for partition in partitions:
            self._stored.pop(partition, None)
            self._ends.pop(partition, None)
        return [self.workers.pop(partition) for partition in partitions if partition in self.workers]

    def _note(self, change: str, partitions: Sequence[Partition]) -> None:
        self._tools.metrics.count(OWNERSHIP, change, by=len(partitions))
        if partitions:
            log.info("ownership", change=change, partitions=[str(partition) for partition in partitions])
