"""Time comes in through this door, so that tests can turn it by hand."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that only ever goes forward, one that people agree on."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; for measuring and waiting."""
        ...

    def epoch_ms(self) -> int:
        """UTC milliseconds since 1970; for stamps that other machines read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once, but not before other tasks ran, when they are not positive."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class Deadline:
    """One budget of time for a whole hand-over: every step takes what is left of it."""

    clock: Clock
    at: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> "Deadline":
        return cls(clock, clock.monotonic() + seconds)

    def left(self) -> float:
        """Seconds that remain, never below zero."""
        return max(0.0, self.at - self.clock.monotonic())
