"""A token bucket: what may be done often, but not always."""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """At most ``size`` at once, and one more every ``seconds``. Full when made."""

    size: int
    seconds: float
    filled_at: float = float("-inf")

    def take(self, now: float) -> bool:
        """Whether one may be done now; it is counted if so."""
        # Held as the moment at which the bucket is full again: one number, and no clock that steps back
        # or stands still for long puts more into it than fits.
        full_again = max(self.filled_at, now) + self.seconds
        if full_again - now > self.size * self.seconds:
            return False
        self.filled_at = full_again
        return True

    def give_back(self) -> None:
        """What was taken last shall not count."""
        self.filled_at -= self.seconds
