"""How far a partition is settled without a gap: the only place that says which offset may be committed."""

from collections import deque
from collections.abc import Iterable


class Prefix:
    """
    Pieces of work, each known by the lowest offset that it settles.

    A piece is opened when its first record comes, so in the order of offsets, and settled in any order.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._settled: set[int] = set()
        self._end: int | None = None

    @property
    def next_offset(self) -> int | None:
        """Everything below it is settled; None until a record came. It never goes back."""
        return self._open[0] if self._open else self._end

    @property
    def open_pieces(self) -> int:
        """How many are not settled, nor behind one that is not."""
        return len(self._open)

    def open(self, first_offset: int) -> None:
        self._open.append(first_offset)

    def extend(self, end: int) -> None:
        """Everything below ``end`` belongs to a piece, or needs no work."""
        self._end = end

    def settle(self, starts: Iterable[int]) -> None:
        """The pieces that began there are done."""
        self._settled.update(starts)
        while self._open and self._open[0] in self._settled:
            self._settled.discard(self._open.popleft())
