"""How far apart the moments of one scope are, and what a refusal costs."""

import math
from dataclasses import dataclass

from connector.budget.learnt import FULL
from connector.model import Rate

SECOND = 1_000_000  # schedule positions and distances are whole microseconds

SHORTEST_BLOCK = 0.1
LONGEST_BLOCK = 300.0
LONGEST_DEFAULT_BLOCK = 5.0
NO_RATE_BLOCK = 1.0

# Seconds of room behind a moment, beyond the lateness. Who wakes up later still needs a cure, not more room.
MOST_EXTRA = 0.25
LATEST_ALONE = SECOND // 4
BRIEF = 2  # spacings; so long, at least, is the first block after a refusal that names no time


@dataclass(frozen=True, slots=True)
class BudgetOptions:
    """
    Seconds where nothing else is said.

    ``jitter_share`` (of the period) and ``jitter_floor``: kept free behind every period for calls that
    travel unevenly. ``lateness``: how much later than its moment a call may leave while several
    processes share a scope; it is paid for by wider spacing. A process that is alone keeps the distance
    by its own log instead. ``ahead``: moments that one process holds per scope at once. ``patience``: how
    often in a row a class may be passed over inside a process. ``assumed_processes``: how many share a
    scope as long as Redis has not told. ``own_share``: the part of a process's even share that it takes
    while Redis is away. ``probe_every``: how often Redis is tried while it is away. ``prefix``: of every
    key in Redis.
    """

    jitter_share: float = 0.005
    jitter_floor: float = 0.005
    lateness: float = 0.035
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
    """
    One scope's rate as distances in microseconds.

    ``spacing``: between the moments of a process that is alone. ``extra``: more, when there are others.
    ``apart``: between a call and the one that would be one too many. ``lateness``: as the option.
    """

    calls: int
    spacing: int
    extra: int
    apart: int
    jitter: int
    lateness: int
    ahead: int

    @classmethod
    def of(cls, rate: Rate, options: BudgetOptions) -> "Pace":
        """
        Spread ``calls`` over the period plus the room that is needed.

        Then a call that leaves up to ``lateness`` late still has ``calls`` spacings, less the lateness,
        between it and the call that would be one too many: a whole period and the jitter.
        """
        jitter = math.ceil(options.jitter(rate) * SECOND)
        lateness = math.ceil(options.lateness * SECOND)
        apart = math.ceil(rate.period * SECOND) + jitter
        spacing, wider = -(-apart // rate.calls), -(-(apart + lateness) // rate.calls)
        # With all its calls reserved ahead, nothing would be known of the one that must be far enough.
        ahead = min(options.ahead, max(1, rate.calls - 1))
        return cls(rate.calls, spacing, wider - spacing, apart, jitter, lateness, ahead)

    def stretched(self, level: int) -> int:
        """The spacing that processes keep together at a learnt level (millionths)."""
        return math.ceil((self.spacing + self.extra) * FULL / level)

    def late(self, processes: int) -> int:
        """How much later than its moment a call may leave."""
        return self.lateness if processes > 1 else LATEST_ALONE

    def cold(self, processes: int, level: int) -> int:
        """How far after what we know a forgotten schedule must begin: the others hold moments too."""
        held = self.ahead * (processes - 1)
        spacing = self.stretched(level)
        return self.jitter + self.lateness + spacing + held * (spacing + math.ceil(MOST_EXTRA * SECOND))

    def alone(self, processes: int, own_share: float, level: int) -> int:
        """The spacing of one process that cannot see the others."""
        return math.ceil(self.stretched(level) * processes / own_share)


def story_seconds(rate: Rate) -> float:
    """So long after a cut refusals are of its story: a window must pass before it can have helped."""
    return max(SHORTEST_BLOCK, min(rate.period, LONGEST_DEFAULT_BLOCK))


def block_seconds(after: float | None, rate: Rate | None) -> float:
    """
    How long a refusal stops the scope: what the API asked for, within 0.1 s and 5 min.

    Without a wish (or with one that is not a number): one period, at most 5 s.
    """
    if after is None or math.isnan(after):
        after = min(rate.period, LONGEST_DEFAULT_BLOCK) if rate else NO_RATE_BLOCK
    return min(max(after, SHORTEST_BLOCK), LONGEST_BLOCK)
