"""How large a body may be: what is configured, or less once larger ones did not come through."""

import structlog

log = structlog.get_logger("connector.folkform")
SMALLEST = 64 * 1024
# Below this a lost answer says nothing of the size.
LARGE = 2**20
LOST_IN_A_ROW = 3


class Room:
    """
    Bytes for a body of several messages; it only shrinks.

    A proxy in between may allow less than FolkForm; and over a slow line a large body does not arrive
    within the 15 s that the server reads for (contracts B1), however often it is sent.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lost = 0

    def refused(self, size: int) -> None:
        """A body of ``size`` was answered with 413."""
        self._shrink(size, SMALLEST)

    def lost(self, size: int) -> None:
        """No answer came to a body of ``size``."""
        if size <= LARGE:
            return
        self._lost += 1
        if self._lost >= LOST_IN_A_ROW:
            self._lost = 0
            self._shrink(size, LARGE)

    def passed(self, size: int) -> None:
        """A body of ``size`` was taken."""
        if size > LARGE:
            self._lost = 0

    def _shrink(self, size: int, floor: int) -> None:
        # Calls that were under way with the old limit must not halve it again.
        smaller = max(floor, size // 2)
        if smaller < self.limit:
            self.limit = smaller
            log.warning("smaller bodies", bytes=smaller)
