"""One conversation being read, and what is still owed of it afterwards. Pure."""

import enum
from dataclasses import dataclass

from msgspec.structs import replace

from connector.model import Origin
from connector.pancake.debts import LAG_WAITS, postponed
from connector.pancake.state import FINGERPRINT, Owed, Reason
from connector.pancake.steps import Listed
from connector.pancake.walk import Walk

RECENT_MS = 600_000  # a move no older than this may still be ahead of its message


class Kind(enum.Enum):
    """What a conversation is read for."""

    READ = "read"  # publish what is new, back to what is known
    DEEP = "deep"  # to its end, and publish only if anything differs
    PROBE = "probe"  # is it still there?


@dataclass(slots=True)
class Job:
    """
    A walk under way. ``newer``: it was listed anew meanwhile. ``out``: its step is handed out.

    ``fresh``: it had moved lately when its newest messages were read. ``over``: what is being saved ends
    it. ``vanishing``: that it is gone is being published.
    """

    walk: Walk
    origin: Origin
    kind: Kind = Kind.READ
    newer: Listed | None = None
    out: bool = False
    fresh: bool | None = None
    over: bool = False
    vanishing: bool = False
    tries: int = 0
    alone: int = 0
    saves_at_failure: int = -1


def debt(reason: Reason, job: Job, now_ms: int, *, missing: int = 0) -> Owed:
    """What is owed of a conversation from now on; tried ever more seldom while the reason stays."""
    target, was = job.newer or job.walk.target, job.walk.before.owed
    same = was is not None and was.reason is reason and (reason is not Reason.LAG or _same(was, target))
    tries = was.tries + 1 if was is not None and same else 0
    since = was.since if was is not None and same else now_ms
    return Owed(
        reason,
        target.customer_id,
        target.updated_at,
        target.count,
        since,
        postponed(reason, tries, now_ms),
        tries,
        missing,
        deep=job.kind is Kind.DEEP or (was is not None and was.deep),
    )


def debt_after(job: Job, now_ms: int) -> Owed | None:
    """
    What a walk that has ended leaves to be read again.

    Pancake may show that a conversation moved before it shows what moved it (reality 20). Messages that
    are counted and not there, or a move that nothing explains, are looked for again after short waits. Is it
    still unexplained then, something deeper than the newest messages has changed, and they are all read.
    """
    walk = job.walk
    target, was = walk.target, walk.before.owed
    if walk.stuck:
        return debt(Reason.OFFSET_IGNORED, job, now_ms)
    missing, nothing = _missing(job), walk.empty and target.count > 0
    due = missing or _unexplained(job)
    waited = was is not None and was.reason in {Reason.LAG, Reason.GONE}
    watched = job.origin is Origin.LIVE and walk.before.read
    if due and (waited or nothing or watched or job.fresh):
        if _may_lag(was, target, nothing=nothing):
            return debt(Reason.LAG, job, now_ms, missing=missing)
        if nothing:
            # Counted, listed, and empty: as good as gone, and cheap to ask for again.
            return debt(Reason.GONE, job, now_ms)
        deeper = target.count > len(walk.state().tail) // FINGERPRINT
        return _deep(job, now_ms) if deeper and not walk.whole else None
    return _deep(job, now_ms) if was is not None and was.deep and not walk.whole else None


def _deep(job: Job, now_ms: int) -> Owed:
    return replace(debt(Reason.DEEP, job, now_ms), deep=True)


def _may_lag(was: Owed | None, target: Listed, *, nothing: bool) -> bool:
    """Whether it is still to be waited for: not yet often enough since it moved."""
    if was is None or not _same(was, target):
        return True
    if was.reason is Reason.GONE:
        return not nothing
    return was.reason is not Reason.LAG or was.tries + 1 < len(LAG_WAITS)


def _missing(job: Job) -> int:
    """How many messages the list has counted since the last reading, and the walk has not met."""
    walk = job.walk
    was = walk.before.owed
    if walk.resumed:
        # Some that were met before the interruption may be counted as new again: nothing is known.
        return walk.target.count
    owed = was.missing if was is not None and was.reason is Reason.LAG else 0
    return max(0, walk.target.count - walk.counted + owed - walk.arrived)


def _unexplained(job: Job) -> bool:
    """Whether it moved, and neither its snapshot nor its messages tell why."""
    walk = job.walk
    before, target, was = walk.before, walk.target, walk.before.owed
    if walk.changed or walk.thread != before.thread:
        return False
    if was is not None and was.reason is Reason.LAG and not was.missing:
        return True
    moved = before.read and target.updated_at != before.updated_at
    return moved and (target.count, target.rest) == (before.count, before.rest)


def _same(owed: Owed, target: Listed) -> bool:
    return (owed.updated_at, owed.count) == (target.updated_at, target.count)
