"""A page that needs a person: asked seldom, by one call at a time, and said once. Pure."""

from dataclasses import dataclass

FIRST_SECONDS = 300.0
LONGEST_SECONDS = 3600.0


@dataclass(slots=True)
class Parking:
    """
    Whether a page is parked, what a person must do (``action``), and since when (UTC ms).

    A step carries the ``term`` it was begun in. Each word of the source about the page's fate ends a
    term, so what was on the wire before that word changes nothing: an answer that was asked for before
    the page was parked does not free it, and ten refusals of ten lanes are one.
    """

    action: str | None = None
    since: int = 0
    term: int = 0
    _wait: float = 0.0

    def refused(self, term: int, action: str, epoch_ms: int) -> bool:
        """A step of ``term`` met a refusal that needs a person; True when that is news to tell."""
        if term != self.term:
            return False
        news = action != self.action
        if self.action is None:
            self.since = epoch_ms
        self.action = action
        self.term += 1
        self._wait = min(max(FIRST_SECONDS, 2 * self._wait), LONGEST_SECONDS)
        return news

    def answered(self, term: int) -> bool:
        """The source answered a step of ``term``; True when that frees the page."""
        if self.action is None or term != self.term:
            return False
        self.action, self.since, self._wait = None, 0, 0.0
        self.term += 1
        return True

    @property
    def wait(self) -> float:
        """Seconds from the last refusal until it is worth asking again."""
        return self._wait
