"""How long to wait before the same is tried again."""

import random
from dataclasses import dataclass

from connector.errors import RetryableError

FIRST_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Exponential with full jitter, so that processes that failed together do not come back together.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    longest: float
    dice: random.Random

    def wait(self, tries: int, problem: RetryableError) -> float:
        """Seconds to wait after ``tries`` failures; at least what the other side asked for, up to an hour."""
        ceiling = min(self.longest, FIRST_SECONDS * 2 ** min(tries, 16))
        asked = min(problem.after or 0.0, 3600.0)
        return asked + self.dice.uniform(FIRST_SECONDS / 4, ceiling)
