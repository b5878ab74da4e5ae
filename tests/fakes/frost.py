"""A process that is stopped in the middle of whatever it does, and goes on as if nothing had happened."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from connector.model import CursorRecord, Page, Polled, SourceBatch, Turn
from tests.fakes.broker import FakeBroker, FakeConsumer, FakePublisher
from tests.fakes.clock import FakeClock
from tests.fakes.pages import FakeReader, FakeSource


class Frost:
    """As SIGSTOP and SIGCONT: while it lasts, nothing of the process comes through any of its doors."""

    def __init__(self) -> None:
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def frozen(self) -> bool:
        return not self._thawed.is_set()

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    async def pass_door(self) -> None:
        await self._thawed.wait()


class FrostClock:
    """The process' own view of the common clock."""

    def __init__(self, clock: FakeClock, frost: Frost) -> None:
        self._clock = clock
        self._frost = frost

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def epoch_ms(self) -> int:
        return self._clock.epoch_ms()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._frost.pass_door()


class FrostConsumer(FakeConsumer):
    """A group's member that stops in front of its broker, or with what it was given in its hands."""

    def __init__(
        self, frosts: Sequence[Frost], broker: FakeBroker, group: str, topics: Sequence[str]
    ) -> None:
        super().__init__(broker, group, topics, from_end=True)
        self._frosts = frosts

    async def poll(self, turn: Turn) -> Polled:
        await self._pass_doors()
        polled = await super().poll(turn)
        await self._pass_doors()
        return polled

    async def _pass_doors(self) -> None:
        while any(frost.frozen for frost in self._frosts):
            for frost in self._frosts:
                await frost.pass_door()


class FrostPublisher(FakePublisher):
    """Stops with its records handed over and not yet sent, or sent and not yet known to be."""

    def __init__(self, frost: Frost, broker: FakeBroker, owner: str) -> None:
        super().__init__(broker, owner=owner)
        self.decided: Callable[[str, Sequence[Any]], None] = _nobody
        self._frost = frost

    async def catch_up(self) -> None:
        await super().catch_up()
        self.decided("caught up", ())
        await self._frost.pass_door()

    async def _deliver(self, call: str, outgoing: Sequence[Any]) -> None:
        self.decided(call, outgoing)
        await self._frost.pass_door()
        await super()._deliver(call, outgoing)
        await self._frost.pass_door()


class FrostReader(FakeReader):
    """Stops in front of the source, or with its answer."""

    def __init__(self, frost: Frost, source: FakeSource, page: Page, cursors: Sequence[CursorRecord]) -> None:
        super().__init__(source, page.id, source.done_by(page, cursors))
        self._frost = frost

    async def read(self, step: int, leaving: asyncio.Event | None = None) -> SourceBatch:
        await self._frost.pass_door()
        batch = await super().read(step, leaving)
        await self._frost.pass_door()
        return batch


def _nobody(_call: str, _records: Sequence[Any]) -> None:
    """Notes nothing."""
