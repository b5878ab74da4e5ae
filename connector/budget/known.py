"""What one process knows of one scope."""

import math
from dataclasses import dataclass, field

from connector.budget.departures import Departures
from connector.budget.gcra import Answer
from connector.budget.learnt import UNTAUGHT, Learnt, cut, level, younger

FORGET_AFTER = 60.0  # seconds; so long a process that is not seen any more still counts


@dataclass(slots=True)
class Known:
    """What this process last heard of one scope; moments in seconds of the local clock."""

    processes: int
    counted: float = -math.inf  # when there were so many
    heard: float = -math.inf
    ahead: float = -math.inf  # how far the schedule reaches
    blocked: float = -math.inf
    own: float = -math.inf  # the next moment of our own share
    own_since: float = -math.inf  # the outage that it belongs to
    learnt: Learnt = UNTAUGHT
    cut_at: float = -math.inf
    departures: Departures = field(default_factory=Departures)

    @property
    def shared(self) -> bool:
        return self.processes > 1

    @property
    def stranger(self) -> bool:
        """Whether nobody ever told how many share the scope."""
        return self.heard == -math.inf

    @property
    def met(self) -> int:
        """How many share the scope as far as we were told, not as we suppose."""
        return 1 if self.stranger else self.processes

    @property
    def level(self) -> int:
        return level(self.learnt)

    def listen(self, sent: float, received: float, answer: Answer, outage: float) -> None:
        """Take in an answer; ``outage``: when the schedule was last away."""
        self._count(answer.processes, received, outage)
        self.ahead = max(self.ahead, sent + answer.ahead / 1e6)
        if answer.learnt.cuts > self.learnt.cuts:
            self.cut_at = received
        self.learnt = younger(answer.learnt, self.learnt)
        if not answer.granted and not answer.yields and answer.wait:
            self.blocked = max(self.blocked, received + answer.wait / 1e6)

    def cut_alone(self, now: float) -> None:
        """The limit was met and the schedule is away: the memory is told when it is back."""
        self.learnt, self.cut_at = cut(self.learnt), now

    def _count(self, processes: int, now: float, outage: float) -> None:
        # After an outage or a flush the others have not been seen again yet, but they are there.
        if self.heard < outage:
            self.counted = now
        if self.stranger or now - self.counted > FORGET_AFTER or processes >= self.processes:
            self.processes, self.counted = processes, now
        self.heard = now
