"""When so much is refused that something else must be wrong."""

from collections import deque
from dataclasses import dataclass

from connector.errors import FatalError

# Below that many a share says nothing.
FEWEST = 100
ADVICE = (
    "look at the newest dead letters (docs/OPERATIONS.md): many refusals have one cause. Once it is cured "
    "start again: what was not shelved is where it was. To let them pass, raise SINK__REJECTS_IN_ROW or "
    "SINK__REJECT_SHARE"
)


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """``in_row`` conversations, or ``share`` of the last ``window``, with something refused are too many."""

    in_row: int
    share: float
    window: int = 500


class Flood:
    """Counts conversations, not records: one that has no customer shelves all its messages, rightly."""

    def __init__(self, limits: FloodLimits) -> None:
        self._limits = limits
        self._last: deque[bool] = deque(maxlen=limits.window)
        self._bad = 0
        self._row = 0

    def settled(self, *, refused: bool) -> None:
        """A batch is settled; ``refused``: something of it was shelved."""
        if len(self._last) == self._last.maxlen:
            self._bad -= self._last[0]
        self._last.append(refused)
        self._bad += refused
        self._row = self._row + 1 if refused else 0

    def check(self) -> None:
        """
        Ask before something is shelved.

        Raises:
            FatalError: too much was; nothing more must go to the shelf.
        """
        seen, share = len(self._last), self._bad / max(1, len(self._last))
        if self._row >= self._limits.in_row:
            raise FatalError(f"{self._row} conversations in a row were refused", advice=ADVICE)
        if seen >= FEWEST and share > self._limits.share:
            raise FatalError(f"{share:.0%} of the last {seen} conversations were refused", advice=ADVICE)
