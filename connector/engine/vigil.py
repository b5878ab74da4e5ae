"""
A process that stood still may have lost its partitions without knowing.

While it stood, the group gave them away; when it wakes, whatever was about to be sent would go out before
anybody tells it. So after a pause nothing is sent until the broker has taken a commit, which it does from
nobody but the owner.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from connector.clock import Clock

# Together with a call's deadline below the session timeout: what was begun in time is over before anybody
# else can begin.
LONGEST_PAUSE: Final = 3.0


class Vigil:
    """``awake`` unless more than ``longest`` seconds passed between two looks, until it is ``confirmed``."""

    def __init__(self, clock: Clock, longest: float = LONGEST_PAUSE) -> None:
        self.slept = False
        self._clock = clock
        self._longest = longest
        self._looked = self._now()

    def look(self) -> bool:
        """To be called every second or so. Returns whether it slept since the last look."""
        slept = self._pause() > self._longest
        self.slept = self.slept or slept
        self._looked = self._now()
        return slept

    @property
    def awake(self) -> bool:
        return not self.slept and self._pause() <= self._longest

    def confirmed(self) -> None:
        self.slept = False

    def _pause(self) -> float:
        # A machine that sleeps stops the first of the two clocks.
        return max(now - looked for now, looked in zip(self._now(), self._looked, strict=True))

    def _now(self) -> tuple[float, float]:
        return self._clock.monotonic(), self._clock.epoch_ms() / 1000


class Tenure(asyncio.Event):
    """
    How a call sees that it must not go out: its partition is handed over, or may be somebody else's.

    ``wait`` wakes for the former only; whoever has waited for anything looks at ``is_set`` again.
    """

    def __init__(self, sure: Callable[[], bool]) -> None:
        super().__init__()
        self._sure = sure

    def is_set(self) -> bool:
        return super().is_set() or not self._sure()
