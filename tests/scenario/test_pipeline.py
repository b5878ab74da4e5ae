"""
Hundreds of small worlds, each from one seed: random traffic, random faults, and what must hold in all.

A failing world names its seed; ``PIPELINE_SEED=<seed>`` plays that one alone.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from connector.codec import UndecodableError, decode_event
from connector.errors import RateLimitedError, UnavailableError, UnknownOutcomeError
from connector.model import Event, Partition
from tests.fakes.delivery import Delivery, Process, Size
from tests.fakes.events import message, snapshot
from tests.fakes.pages import events_of
from tests.fakes.polling import Polling
from tests.fakes.sink import Key, key_of

WORLDS = 300
ONE = os.environ.get("PIPELINE_SEED")
BLOCKS = [range(int(ONE), int(ONE) + 1)] if ONE else [range(n, n + 50) for n in range(0, WORLDS, 50)]


async def every(seeds: range, play: Callable[[int], object]) -> None:
    for seed in seeds:
        try:
            await play(seed)  # type: ignore[misc]
        except Exception as problem:
            raise AssertionError(f"world {seed}; play it alone with PIPELINE_SEED={seed}") from problem


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", BLOCKS, ids=str)
async def test_whatever_happens_to_the_sinks_everything_arrives(seeds: range) -> None:
    await every(seeds, lambda seed: SinkWorld(seed).play())


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", BLOCKS, ids=str)
async def test_whatever_happens_to_the_pollers_everything_is_published(seeds: range) -> None:
    await every(seeds, lambda seed: PollWorld(seed).play())


@dataclass
class Truth:
    """What was published to one partition, by offset; None where it cannot be read."""

    log: list[tuple[Key, Event] | None] = field(default_factory=list)
    committed: int = 0


class SinkWorld:
    """
    Some processes that come, go, crash and are thrown out, in front of a target with moods.

    How rough a world is belongs to its seed: in the calm ones nobody ever loses a partition.
    """

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.calm = seed % 4 == 0
        self.expels = seed % 4 == 3
        size = Size(
            window_records=dice.choice([1, 3, 10, 50]),
            window_bytes=dice.choice([2_000, 2**20]),
            lanes=dice.choice([1, 2, 8]),
            attempts=dice.randint(1, 3),
            poll_records=dice.choice([1, 4, 500]),
        )
        self.delivery = Delivery(partitions=dice.randint(1, 3), size=size)
        self.delivery.sink.latency = lambda: dice.choice([0.0, 0.0, dice.uniform(0, 0.4)])
        self.poison = {f"m{dice.randrange(12)}" for _ in range(dice.choice([0, 1, 2]))}
        self.delivery.sink.reject(*self.poison, status=dice.choice([None, 422]))
        self.running: list[Process] = []
        self.truth: dict[Partition, Truth] = {}
        self.seen = 0
        self.highest: dict[Key, tuple[int, int]] = {}
        self.floor: dict[Key, tuple[int, int]] = {}

    async def play(self) -> None:
        try:
            await self._play()
        finally:
            await self.delivery.close()

    async def _play(self) -> None:
        self._start()
        for moment in range(1, self.dice.randint(10, 40)):
            for _ in range(self.dice.choice([0, 1, 2, 8])):
                self._publish(moment)
            await self._trouble()
            await self.delivery.clock.advance(self.dice.choice([0.0, 0.1, 0.35]))
            self._check()
        assert not (self.calm and self.delivery.sink.steps_back)
        for process in self.running:
            await (self._leave(process) if self.dice.random() < 0.5 else self._crash(process))
        await self.delivery.run_once()
        self._check()
        self._check_end()

    def _publish(self, moment: int) -> None:
        conversation = f"c{self.dice.randrange(6)}"
        kind = self.dice.random()
        if kind < 0.05:
            partition = self.dice.choice(list(self.delivery.broker.logs)[: 2 * self.delivery.broker.count])
            self.delivery.broker.append(partition, b"key", self.dice.randbytes(5))
            self.truth.setdefault(partition, Truth()).log.append(None)
            return
        if kind < 0.4:
            event = snapshot(conversation, moment)
        else:
            event = message(conversation, f"m{self.dice.randrange(12)}", moment)
        partition, _ = self.delivery.broker.put(event)
        self.truth.setdefault(partition, Truth()).log.append((key_of(event), event))

    def _start(self) -> None:
        self.running.append(self.delivery.start())

    async def _trouble(self) -> None:
        kind = self.dice.random()
        if kind < 0.3:
            problem = self.dice.choice(
                [UnavailableError("no"), UnknownOutcomeError("hm"), RateLimitedError("slow", after=0.5)]
            )
            self.delivery.sink.fail(f"c{self.dice.randrange(6)}", self.dice.randint(1, 4), problem)
        elif kind < 0.35:
            self.delivery.letters.fail("put", self.dice.randint(1, 3))
        elif not self.calm and kind < 0.55:
            await self._change_owners()

    async def _change_owners(self) -> None:
        victim = self.dice.choice(self.running)
        how = self.dice.choice(["start", "leave", "crash", "expel" if self.expels else "start"])
        if how == "start" and len(self.running) < 3:
            self._start()
        elif how == "expel":
            victim.consumer.expel()
        elif how in ("leave", "crash"):
            await (self._leave(victim) if how == "leave" else self._crash(victim))
            self.running.remove(victim)
            if not self.running:
                self._start()

    async def _leave(self, process: Process) -> None:
        process.stop.set()
        await self.delivery.until(process.task.done)
        process.task.result()

    async def _crash(self, process: Process) -> None:
        assert not process.task.done()
        await process.end()

    def _check(self) -> None:
        """What must hold at every moment."""
        sink = self.delivery.sink
        for lane in sink.calls[self.seen :]:
            for event in lane:
                key = key_of(event)
                self.highest[key] = max(self.highest.get(key, (0, 0)), event.version)
        self.seen = len(sink.calls)
        shelved = {(letter.partition, letter.offset) for letter in self.delivery.shelved}
        for partition, truth in self.truth.items():
            committed = self.delivery.committed(partition.topic, partition.number)
            assert committed >= truth.committed, "an offset went back"
            for offset in range(truth.committed, committed):
                self._check_settled(partition, offset, truth.log[offset], shelved)
            truth.committed = committed
        if not self.expels:
            # A request of a thrown out owner may be on the wire yet; nobody else may overlap.
            assert sink.overlaps == 0
            for key, version in self.floor.items():
                assert sink.rows[key].version >= version, "a step back below the committed offset"

    def _check_settled(
        self,
        partition: Partition,
        offset: int,
        record: tuple[Key, Event] | None,
        shelved: set[tuple[Partition | None, int | None]],
    ) -> None:
        if (partition, offset) in shelved:
            return
        assert record is not None, f"{partition} {offset} is junk, committed and not shelved"
        key, event = record
        if event.message_id in self.poison:
            # Superseded inside its window by a newer one that is poison too.
            newer = [n for n, other in enumerate(self.truth[partition].log) if other and other[0] == key]
            assert any((partition, n) in shelved for n in newer if n > offset)
            return
        assert self.highest.get(key, (0, 0)) >= event.version, f"{partition} {offset} is lost"
        self.floor[key] = max(self.floor.get(key, (0, 0)), event.version)

    def _check_end(self) -> None:
        newest: dict[Key, Event] = {}
        for partition, truth in self.truth.items():
            assert truth.committed == len(truth.log), f"{partition} is not at its end"
            newest |= dict(record for record in truth.log if record)
        good = {key: event for key, event in newest.items() if event.message_id not in self.poison}
        assert self.delivery.sink.rows == good
        for letter in self.delivery.shelved:
            try:
                assert decode_event(letter.value).message_id in self.poison
            except UndecodableError as problem:
                assert letter.problem.reason == problem.reason  # noqa: PT017


class PollWorld:
    """Some pollers that come, go and crash, between a source and a broker with moods."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        pages = {f"p{n}": dice.randint(0, 6) for n in range(dice.randint(0, 6))}
        self.polling = Polling(pages, partitions=dice.randint(1, 3), lanes=dice.randint(1, 4))
        self.seen = 0
        self.published: set[Event] = set()

    async def play(self) -> None:
        try:
            for _ in range(self.dice.randint(1, 5)):
                await self._one_life()
            self.polling.source.recover()
            await self.polling.run_once()
            self._check()
        finally:
            await self.polling.close()
        steps = self.polling.source.steps
        assert self.published == {
            event for page, count in steps.items() for n in range(count) for event in events_of(page, n)
        }

    async def _one_life(self) -> None:
        processes = [self.polling.start() for _ in range(self.dice.randint(1, 2))]
        for process in processes:
            publisher = process.publisher
            if self.dice.random() < 0.3:
                publisher.crash_after(self.dice.choice(["publish", "save", "load", "announce"]))
            if self.dice.random() < 0.5:
                publisher.fail(self.dice.choice(["publish", "save", "load", "announce"]), 2)
        for _ in range(self.dice.randint(1, 12)):
            self._trouble()
            if self.dice.random() < 0.1 and not processes[0].crashed:
                processes[0].consumer.expel()
            await self.polling.clock.advance(self.dice.choice([0.0, 0.1, 1.0]))
            self._check()
        for process in processes:
            if self.dice.random() < 0.5 and not process.crashed:
                process.stop.set()
                await self.polling.until(process.task.done)
                process.task.result()
            else:
                await process.end()
        self._check()

    def _trouble(self) -> None:
        steps = self.polling.source.steps
        if not steps:
            return
        page = self.dice.choice(list(steps))
        kind = self.dice.random()
        if kind < 0.2:
            self.polling.source.fail(page, self.dice.randrange(6), UnavailableError("no"))
        elif kind < 0.25:
            self.polling.source.park(page)
        elif kind < 0.35:
            steps[page] += 1

    def _check(self) -> None:
        """I2: what a cursor says lies in the topics, at every moment."""
        self.published = set(self.polling.events)
        for cursor in self.polling.cursors:
            assert self.published.issuperset(events_of(cursor.page_id, int(cursor.conversation_id)))
