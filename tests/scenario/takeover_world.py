"""Pollers that join, leave, die, freeze, go deaf and come back over one topic, as a seed decides."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from connector.codec import cursor_owner, decode_cursor, decode_event
from connector.errors import UnavailableError
from connector.kafka.partitioner import partition_of
from connector.model import Partition
from tests.fakes.polling import PollerProcess, Polling

SESSION_SECONDS = 15.0
MOST_PROCESSES = 4
ACTS = 25
SIGHTS = (0.0, 0.3, 2.0, 1e9)  # of a watcher; the last never sees a claim by itself
NAPS = (0.5, 2.0, 5.0, 20.0, 60.0)
LONG_NAP = 3.0
SLOWEST_SECONDS = 3.0  # of a call


class BrokenPromiseError(AssertionError):
    """Something was written that must not be."""


class TakeoverWorld:
    """One story: what happens, and after each record whether it was right to write it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.history: list[str] = []
        pages = {f"p{n}": self.dice.randrange(1, 12) for n in range(self.dice.randrange(1, 7))}
        self.polling = Polling(pages, partitions=self.dice.randrange(1, 4), lanes=2, drain=0.0)
        self.polling.sight = self.dice.choice(SIGHTS)
        self.polling.source.answer = lambda: self.polling.clock.sleep(self.dice.uniform(0.0, SLOWEST_SECONDS))
        self.alive: list[PollerProcess] = []
        self.most = 0
        self._claims: dict[int, list[tuple[str, float]]] = defaultdict(list)
        self._thawed: dict[str, float] = {}
        self._published: set[str] = set()
        self._append = self.polling.broker.append
        self.polling.broker.append = self._written  # type: ignore[method-assign]

    async def run(self) -> None:
        """All acts, and then peace until everything is published."""
        self.start()
        for _ in range(ACTS):
            await self._act()
            await self._pass(self.dice.choice((0.0, 0.1, 1.0, 5.0, 12.0)))
        await self._peace()

    def start(self) -> None:
        if len(self.alive) < MOST_PROCESSES:
            process = self.polling.start()
            process.publisher.decided = lambda call, records: self._decided(process, call, records)
            self.alive.append(process)
            self._note(f"{process.name} starts")

    async def _act(self) -> None:
        acts = (self.start, self._kill, self._leave, self._freeze, self._deafen, self._stranger)
        faults = (self._freeze, self._break_kafka, self._break_source, self._relist, self._grow)
        done = self.dice.choice((*acts, *faults))()
        if done is not None:
            await done

    async def _pass(self, seconds: float) -> None:
        await self.polling.clock.advance(seconds)
        for process in self.alive:
            if process.task.done() and not process.crashed:
                process.task.result()

    def _one(self) -> PollerProcess | None:
        return self.dice.choice(self.alive) if self.alive else None

    async def _kill(self) -> None:
        if process := self._one():
            self._note(f"{process.name} dies")
            self.alive.remove(process)
            process.frost.freeze()
            await process.end()

    async def _leave(self) -> None:
        if (process := self._one()) and not process.frost.frozen and not process.deafness.frozen:
            self._note(f"{process.name} leaves")
            self.alive.remove(process)
            process.stop.set()
            await self.polling.until(process.task.done)
            process.task.result()

    async def _freeze(self) -> None:
        if process := self._one():
            nap = self.dice.choice(NAPS)
            self._note(f"{process.name} freezes for {nap} s")
            process.frost.freeze()
            await self._nap(process, nap)
            process.frost.thaw()
            if nap > LONG_NAP:
                self._thawed[process.name] = self.polling.clock.monotonic()

    async def _deafen(self) -> None:
        """The group hears nothing of it, and it hears nothing of the group, but it goes on."""
        if process := self._one():
            nap = self.dice.choice(NAPS)
            self._note(f"{process.name} is deaf for {nap} s")
            process.deafness.freeze()
            await self._nap(process, nap)
            process.deafness.thaw()

    async def _nap(self, process: PollerProcess, seconds: float) -> None:
        await self._pass(min(seconds, SESSION_SECONDS))
        if seconds > SESSION_SECONDS:
            process.consumer.expel()
            self.start()
            await self._pass(seconds - SESSION_SECONDS)

    def _stranger(self) -> None:
        page = self.dice.choice(list(self.polling.source.steps))
        self._note(f"a stranger claims the partition of {page}")
        self.polling.claim(page)

    def _break_kafka(self) -> None:
        if process := self._one():
            call = self.dice.choice(("publish", "put", "save", "load", "catch_up", "announce", "report"))
            times = self.dice.randrange(1, 4)
            self._note(f"{call} of {process.name} fails {times} times")
            process.publisher.fail(call, times)

    def _break_source(self) -> None:
        page = self.dice.choice(list(self.polling.source.steps))
        step = self.dice.randrange(self.polling.source.steps[page])
        self._note(f"{page}-{step} fails")
        self.polling.source.fail(page, step, *[UnavailableError("no")] * self.dice.randrange(1, 4))
        if self.dice.random() < 0.3:
            self.polling.source.park(page)

    def _relist(self) -> None:
        page = self.dice.choice(list(self.polling.source.steps))
        listed = self.polling.directory.listed
        (listed.remove if page in listed else listed.append)(page)
        self._note(f"the list is {listed}")

    def _grow(self) -> None:
        page = self.dice.choice(list(self.polling.source.steps))
        self.polling.source.steps[page] += self.dice.randrange(3, 12)
        self._note(f"{page} has {self.polling.source.steps[page]} steps")

    async def _peace(self) -> None:
        self._note("peace")
        self.polling.source.recover()
        self.polling.directory.listed = list(self.polling.source.steps)
        for process in self.polling.processes:
            process.publisher.recover()
        self.start()
        wanted = {f"{page}-{n}" for page, steps in self.polling.source.steps.items() for n in range(steps)}
        await self.polling.until(lambda: wanted <= self._published, within=7200.0)

    def _decided(self, process: PollerProcess, call: str, records: Sequence[Any]) -> None:
        """Somebody hands records to his producer: may he, by all that he can know?"""
        if call not in {"publish", "save"} or process not in self.alive:
            return
        now = self.polling.clock.monotonic()
        for record in records:
            if call == "publish":
                page_id = decode_event(record.value).page_id
            else:
                page_id = decode_cursor(record.value).page_id
            owner, at = self._claims[partition_of(page_id, self.polling.broker.count)][-1]
            if owner == process.name:
                continue
            if now - at > self.polling.sight + 0.001 or at < self._thawed.get(process.name, 0.0):
                raise BrokenPromiseError(
                    f"{process.name} writes for {page_id}, which {owner} claimed at {at}"
                )

    def _written(self, partition: Partition, key: bytes | None, value: bytes | None) -> int:
        topics = self.polling.broker.topics
        if partition.topic == topics.messages:
            self._published.add(decode_event(value).conversation_id)
        elif partition.topic == topics.cursors and key == b"claim":
            claim = (cursor_owner(value), self.polling.clock.monotonic())
            self._claims[partition.number].append(claim)
        elif partition.topic == topics.cursors:
            cursor = decode_cursor(value)
            name = f"{cursor.page_id}-{cursor.conversation_id}"
            if name not in self._published:
                raise BrokenPromiseError(f"a cursor says that {name} is published, and it is not")
        return self._append(partition, key, value)

    def _note(self, what: str) -> None:
        self.history.append(f"{self.polling.clock.monotonic():9.1f} {what}")
