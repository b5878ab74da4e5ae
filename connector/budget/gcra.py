"""The schedule of one scope as a pure function, the twin of ``gcra.lua``; a test compares them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from connector.budget.pace import SECOND

MEMBER_WINDOW = 30 * SECOND


class ScheduleLostError(Exception):
    """The schedule did not answer: whether it moved is unknown, and a moment may be wasted."""


@dataclass(frozen=True, slots=True)
class Ask:
    """
    One question to a schedule. Distances are microseconds from the moment it is answered.

    ``cost``: the room to reserve, 0 for none. ``known``: how far the schedule reached when we last
    heard. ``cold``: when the schedule was forgotten, nobody goes before so long after ``known``.
    ``block``: nobody goes for so long; ``soft``: unless a block is in force already.
    """

    member: str
    cost: int = 0
    known: int = 0
    cold: int = 0
    block: int = 0
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """
    ``wait``: the moment reserved, or, when not ``granted``, the end of the block. Distances from now.

    ``ahead``: the first moment still free. ``processes``: who asked in the last 30 s, us included.
    """

    granted: bool
    wait: int
    ahead: int
    processes: int


@dataclass(frozen=True, slots=True)
class State:
    """``at``: the first free moment. ``block``: nobody goes before. ``seen``: when it was last asked."""

    at: int
    block: int
    seen: int
    members: Mapping[str, int] = field(default_factory=dict)


class Schedule(Protocol):
    """The moments of all scopes."""

    async def ask(self, name: str, ask: Ask) -> Answer:
        """
        Answer at once.

        Raises:
            ScheduleLostError: it cannot be reached.
        """
        ...

    async def close(self) -> None: ...


def step(state: State | None, now: int, ask: Ask) -> tuple[State, Answer]:
    """Answer one question at ``now``."""
    if state is None:
        # A block, not a late first moment: nobody holds a moment behind a gap that a second
        # flush would hide from the others.
        state = State(now, now + ask.known + ask.cold, now)
    # A clock that stepped back would make every position look far away: move them with it.
    back = max(0, state.seen - now)
    recent = {who: seen for who, seen in state.members.items() if now - MEMBER_WINDOW < seen <= now}
    members = {**recent, ask.member: now}
    block = state.block - back
    if not (ask.soft and block > now):
        block = max(block, now + ask.block)
    at = max(state.at - back, now + ask.known, block)
    granted = block <= now and ask.cost > 0
    after = at + ask.cost if granted else at
    wait = at - now if granted else max(0, block - now)
    return State(after, block, now, members), Answer(granted, wait, after - now, len(members))
