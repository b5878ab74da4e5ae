"""When calls of one scope really left this process: what the limit counts, whatever was planned."""

import math
from collections import deque


class Departures:
    """The last calls, as far back as they can matter. Seconds of the local clock."""

    def __init__(self) -> None:
        self._left: deque[float] = deque()

    def note(self, now: float, apart: float) -> None:
        """One call leaves; forget those from more than ``apart`` ago."""
        while self._left and self._left[0] < now - apart:
            self._left.popleft()
        self._left.append(now)

    def earliest(self, calls: int, apart: float, held: int = 0) -> float:
        """When the next call may leave that has ``held`` others before it, at ``calls`` in ``apart``."""
        back = calls - held
        if back < 1 or len(self._left) < back:
            return -math.inf
        return self._left[-back] + apart
