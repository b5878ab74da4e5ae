"""Reading upwards, for a server whose ``current_count`` counts from the oldest message. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

MISSES = 4


@dataclass(slots=True)
class Climb:
    """
    From the oldest message up, each page joined to the one below it, until the newest block is met.

    ``ask``: what the next call gives as ``current_count``. The first call asks for one message: a server that
    gives more counts from the newest after all (``refuted``). ``chain``: what was met on the way, without a
    gap. Nobody knows whether such a server exists (contracts A6, marked U); if this one is not, the climb
    goes nowhere and says ``stuck``: a hole with a name instead of a gap without one.
    """

    longest: int
    ask: int = 1
    chain: set[str] = field(default_factory=set)
    arrived: bool = False
    stuck: bool = False
    refuted: bool = False
    _misses: int = 0

    def take(self, ids: Sequence[str], newest: set[str]) -> bool:
        """Note a page; whether it joins on, so that its messages count."""
        page = set(ids)
        if not self.chain:
            self.refuted = len(ids) != 1
            self.chain, self.ask = page, self.longest
            self.arrived = not page.isdisjoint(newest)
            return not self.refuted
        if page.isdisjoint(self.chain):
            # Some of the oldest have vanished: everything has moved down.
            self._misses += 1
            self.ask = max(1, self.ask - max(1, self.longest - 1))
            self.stuck = self._misses > MISSES
            return False
        higher = page - self.chain
        self.chain |= page
        self.arrived = not page.isdisjoint(newest)
        self.stuck = not self.arrived and not higher
        self.ask += max(1, len(ids) - 1)
        return True
