"""The schedule of one scope as a pure function, the twin of ``gcra.lua``; a test compares them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from connector.budget.learnt import FULL, UNTAUGHT, Learnt, cut, level, passed, younger
from connector.budget.pace import SECOND

T = TypeVar("T")

MEMBER_WINDOW = 30 * SECOND
CLASSES = 4
# Spacings. While a better class waits, a lower one gets one moment in so many: 5 % of them.
SHARE = 20
# After its last moment a class that had waited still counts as waiting for so many.
LINGER = 2
NOBODY = (0,) * CLASSES


class ScheduleLostError(Exception):
    """The schedule did not answer: whether it moved is unknown, and a moment may be wasted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that left ``left`` ago was refused. Within ``grace`` of the last cut it is part of its story."""

    left: int
    grace: int
    brief: int  # how long a block without a wish lasts when this refusal is the first of its story


@dataclass(frozen=True, slots=True)
class Ask:
    """
    One question to a schedule. Distances are microseconds from the moment it is answered.

    ``cost``: the room to reserve, 0 for none; ``extra``: more of it when several processes share the
    scope. ``rank``: the class of who waits, 0 is the best. ``known``: how far the schedule reached when
    we last heard. ``cold``: when the schedule was forgotten, nobody goes before so long after
    ``known``. ``join``: when others are there and have not seen us, everything moves so far back.
    ``block``: nobody goes for so long; ``soft``: unless a block is in force already. ``learnt``: what we
    remember, for a schedule that forgot. ``cap``: what the API's headers say now, 0 for nothing.
    """

    member: str
    cost: int = 0
    extra: int = 0
    rank: int = 0
    known: int = 0
    cold: int = 0
    join: int = 0
    block: int = 0
    soft: bool = False
    refusal: Refusal | None = None
    learnt: Learnt = UNTAUGHT
    cap: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """
    ``wait``: the moment reserved, or, when not ``granted``, the end of the block. Distances from now.

    ``yields``: not blocked, but a better class waits; ask again after ``wait``. ``ahead``: the first
    moment still free. ``processes``: who asked in the last 30 s, us included. ``now``: by which clock.
    """

    granted: bool
    wait: int
    ahead: int
    processes: int
    yields: bool = False
    now: int = 0
    learnt: Learnt = UNTAUGHT


@dataclass(frozen=True, slots=True)
class State:
    """
    ``at``: the first free moment. ``block``: nobody goes before. ``seen``: when it was last asked.

    ``cut``: when the limit was last cut. ``waits``: until when somebody of each class waits, and ``whos``
    is that. ``dues``: when each class has its next moment although a better one waits.
    """

    at: int
    block: int
    seen: int
    cut: int = 0
    waits: tuple[int, ...] = NOBODY
    dues: tuple[int, ...] = NOBODY
    whos: tuple[str, ...] = ("",) * CLASSES
    learnt: Learnt = UNTAUGHT
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
    state = _joined(_by_this_clock(state, now), now, ask)
    state = _refused(replace(state, learnt=_told(state.learnt, ask)), now, ask)
    return _answered(state, now, ask)


def _by_this_clock(state: State, now: int) -> State:
    # A clock that stepped back would make every position look far away: move them with it.
    back = max(0, state.seen - now)
    if not back:
        return replace(state, seen=now)
    return replace(
        state,
        at=state.at - back,
        block=state.block - back,
        seen=now,
        cut=state.cut - back,
        waits=tuple(each - back for each in state.waits),
        dues=tuple(each - back for each in state.dues),
    )


def _joined(state: State, now: int, ask: Ask) -> State:
    at = max(state.at, now + ask.known)
    # Nobody holds a moment later than the last one; more than that is a clock that went back.
    recent = {who: min(seen, at) for who, seen in state.members.items() if seen > now - MEMBER_WINDOW}
    # Who believed itself alone may leave late by more than the spacing has room for.
    stranger = ask.member not in recent and bool(recent)
    return replace(state, at=at + ask.join if stranger else at, members={**recent, ask.member: now})


def _told(learnt: Learnt, ask: Ask) -> Learnt:
    learnt = younger(learnt, ask.learnt)
    return replace(learnt, cap=ask.cap) if ask.cap else learnt


def _refused(state: State, now: int, ask: Ask) -> State:
    wish = ask.block
    if ask.refusal:
        left = now - ask.refusal.left
        if left > state.cut + ask.refusal.grace:
            state = replace(state, learnt=cut(state.learnt), cut=now)
            wish = ask.refusal.brief if ask.soft else wish
        elif ask.soft and left <= state.cut:
            wish = 0  # it was on its way already
    if ask.soft and state.block > now:
        return state
    return replace(state, block=max(state.block, now + wish))


def _answered(state: State, now: int, ask: Ask) -> tuple[State, Answer]:
    at = max(state.at, state.block)
    shared = len(state.members) > 1
    cost = math.ceil((ask.cost + (ask.extra if shared else 0)) * float(FULL) / level(state.learnt))
    crowded, due = _crowded_until(state, ask), state.dues[ask.rank]
    asked, free = ask.cost > 0, state.block <= now
    granted = asked and free and min(crowded, due) <= now
    yields = asked and free and not granted
    wait = at - now if granted else min(crowded, due) - now if yields else max(0, state.block - now)
    after = _waiting(state, ask, max(at, now + wait) + LINGER * cost) if asked else state
    if granted:
        after = replace(
            after,
            dues=_with(after.dues, ask.rank, at + SHARE * cost),
            learnt=passed(after.learnt),
            members={**after.members, ask.member: at},
        )
        at += cost
    after = replace(after, at=at)
    return after, Answer(granted, wait, at - now, len(after.members), yields, now, after.learnt)


def _crowded_until(state: State, ask: Ask) -> int:
    # A process serves its own classes in order; only the others' better ones are news to it.
    better = zip(state.waits[: ask.rank], state.whos, strict=False)
    return max((until for until, who in better if who != ask.member), default=0)


def _waiting(state: State, ask: Ask, until: int) -> State:
    if until < state.waits[ask.rank]:
        return state
    waits, whos = _with(state.waits, ask.rank, until), _with(state.whos, ask.rank, ask.member)
    return replace(state, waits=waits, whos=whos)


def _with(each: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*each[:place], value, *each[place + 1 :])
