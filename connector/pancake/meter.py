"""How fast calls come through, for an estimate of the time that is left. Pure."""

from dataclasses import dataclass

WINDOW = 30.0  # seconds that are counted together
WEIGHT = 0.3  # of the newest window


@dataclass(slots=True)
class Meter:
    """Calls a second; a long pause is a pause, not a slow call."""

    rate: float = 0.0
    _since: float = 0.0
    _last: float = float("-inf")
    _calls: int = 0

    def note(self, now: float) -> None:
        """One call has come through."""
        if now - self._last > WINDOW:
            self._since, self._calls = now, 0
        else:
            self._calls += 1
        self._last = now
        if (seconds := now - self._since) >= WINDOW or (not self.rate and self._calls and seconds > 1):
            measured = self._calls / seconds
            self.rate = measured if not self.rate else self.rate + WEIGHT * (measured - self.rate)
            self._since, self._calls = now, 0
