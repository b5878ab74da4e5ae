"""How far apart the moments of one scope are, and what a refusal costs."""

import math
from dataclasses import dataclass

from connector.model import Rate

SECOND = 1_000_000  # schedule positions and distances are whole microseconds

SHORTEST_BLOCK = 0.1
LONGEST_BLOCK = 3600.0
LONGEST_DEFAULT_BLOCK = 5.0
NO_RATE_BLOCK = 1.0

# Seconds of room behind a moment, beyond the jitter. Who wakes up later still needs a cure, not more room.
MOST_EXTRA = 0.25


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """
    Seconds where nothing else is said.

    ``jitter_share`` (of the period) and ``jitter_floor``: how much later than its moment a call may
    leave. It is paid for by wider spacing, so a process that answers fast may ask for less.
    ``ahead``: moments that one process holds per scope at once. ``patience``: how often in a row a
    class may be passed over. ``assumed_processes``: how many share a scope as long as Redis has not
    told. ``own_share``: the part of a process's even share that it takes while Redis is away.
    ``probe_every``: how often Redis is tried while it is away. ``prefix``: of every key in Redis.
    """

    jitter_share: float = 0.02
    jitter_floor: float = 0.02
    ahead: int = 2
    patience: int = 20
    assumed_processes: int = 4
    own_share: float = 0.5
    probe_every: float = 1.0
    prefix: str = "rl"

    def jitter(self, rate: Rate) -> float:
        return max(self.jitter_floor, self.jitter_share * rate.period)


@dataclass(frozen=True, slots=True)
class Pace:
    """One scope's rate as distances in microseconds."""

    spacing: int
    jitter: int
    ahead: int

    @classmethod
    def of(cls, rate: Rate, options: BudgetOptions) -> "Pace":
        """
        Spread ``calls`` over the period plus the jitter.

        Then a call that leaves up to ``jitter`` late still has ``calls`` spacings, less the jitter,
        between it and the call that would be one too many: a whole period.
        """
        jitter = math.ceil(options.jitter(rate) * SECOND)
        period = math.ceil(rate.period * SECOND)
        return cls(-(-(period + jitter) // rate.calls), jitter, options.ahead)

    def cold(self, processes: int) -> int:
        """How far after what we know a forgotten schedule must begin: the others hold moments too."""
        held = self.ahead * (processes - 1)
        return self.jitter + self.spacing + held * (self.spacing + math.ceil(MOST_EXTRA * SECOND))

    def alone(self, processes: int, own_share: float) -> int:
        """The spacing of one process that cannot see the others."""
        return math.ceil(self.spacing * processes / own_share)


def block_seconds(after: float | None, rate: Rate | None) -> float:
    """
    How long a refusal stops the scope: what the API asked for, within 0.1 s and 1 h.

    Without a wish (or with one that is not a number): one period, at most 5 s.
    """
    if after is None or math.isnan(after):
        after = min(rate.period, LONGEST_DEFAULT_BLOCK) if rate else NO_RATE_BLOCK
    return min(max(after, SHORTEST_BLOCK), LONGEST_BLOCK)
