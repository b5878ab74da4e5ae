"""Whether the shared schedule answers. Says so once when that changes."""

import math

import structlog

log = structlog.get_logger(__name__)


class Outage:
    """``began``: since when it has been away; None while it answers. ``last``: when it last went away."""

    def __init__(self, probe_every: float) -> None:
        self._probe_every = probe_every
        self.began: float | None = None
        self.last = -math.inf
        self.probe_at = -math.inf

    def admit(self, now: float) -> bool:
        """Whether to ask; during an outage that is one probe at a time, and the caller is it."""
        if self.began is None:
            return True
        if now < self.probe_at:
            return False
        self.probe_at = now + self._probe_every
        return True

    def failed(self, now: float, error: Exception) -> None:
        if self.began is None:
            self.began = self.last = now
            self.probe_at = now + self._probe_every
            log.warning("budget degraded", error=str(error))

    def answered(self, sent: float, now: float) -> None:
        # An answer to a question from before the outage is no news of its end.
        if self.began is not None and sent >= self.began:
            log.info("budget shared again", seconds=round(now - self.began, 3))
            self.began = None
