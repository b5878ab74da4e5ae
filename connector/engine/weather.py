"""One route to the target: does it fail for everybody, or only for some?"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

# An outage is when so many conversations fail, one after the other, and none passes in between.
OUTAGE_LANES: Final = 5
# Others are well when four of them passed for each that fails.
PASSES_PER_FAILURE: Final = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """When somebody began to wonder."""

    outcomes: int
    passes: int


class Weather:
    """
    Remembers whose last call failed, and how many passed.

    While the route is out, one call at a time goes and looks (``may_call``); all others wait. ``looks``:
    how often that was in vain, ``passes``: how many calls passed at all.
    """

    def __init__(self) -> None:
        self._outcomes = 0
        self.passes = 0
        self._failing: dict[Hashable, int] = {}
        self._dry = 0
        self.out = False
        self.looks = 0
        self._looking = False
        self._look_at = 0.0

    @property
    def failing(self) -> int:
        """Of how many conversations the last call failed."""
        return len(self._failing)

    def now(self) -> Moment:
        return Moment(self._outcomes, self.passes)

    def passed(self, lane: Hashable) -> None:
        self._outcomes += 1
        self.passes += 1
        self.answered(lane)

    def answered(self, lane: Hashable) -> None:
        """It was refused for what is in it: the target works, if not for this."""
        self._failing.pop(lane, None)
        self._dry = self._outcomes
        self.out = self._looking = False
        self.looks = 0

    def failed(self, lane: Hashable, look_at: float, *, looked: bool) -> None:
        """A call failed; ``looked``: it had gone to look. The next may do so at ``look_at``."""
        self._outcomes += 1
        self._failing.pop(lane, None)
        self._failing[lane] = self._outcomes
        if looked:
            self.looks += 1
            self._looking = False
            self._look_at = look_at
        elif not self.out and self._failing_since(self._dry) >= OUTAGE_LANES:
            self.out = True
            self._look_at = look_at

    def forget(self, lane: Hashable) -> None:
        """It is not ours any more; what became of its call is not known."""
        self._failing.pop(lane, None)

    def others_fail(self, lane: Hashable, since: Moment) -> bool:
        """Whether it looks like an outage to ``lane``, whose trouble began at ``since``."""
        failing = self._failing_since(since.outcomes, without=lane)
        return failing > 0 and self.passes - since.passes < PASSES_PER_FAILURE * failing

    def may_call(self, now: float) -> bool:
        return not self.out or (not self._looking and now >= self._look_at)

    def look_at(self) -> float | None:
        """When somebody may look whether the route is back; None while it is not out, or one looks."""
        return self._look_at if self.out and not self._looking else None

    def begin(self) -> bool:
        """A call goes out; whether it goes to look."""
        self._looking = self.out
        return self._looking

    def unseen(self) -> None:
        """The one that went to look was called back, or was told to call less often."""
        self._looking = False

    def _failing_since(self, outcomes: int, without: Hashable | None = None) -> int:
        count = 0
        for lane, when in reversed(self._failing.items()):
            if when <= outcomes:
                break
            count += lane != without
        return count
