"""What refusals taught of one scope's true limit: a law in pure steps, the twin of that in ``gcra.lua``."""

import math
from dataclasses import dataclass, replace

FULL = 1_000_000  # levels are millionths of the configured limit

# The figures were chosen by simulation against fixed seconds, sliding seconds and buckets, with and
# without other programs on the page (bench/budget.py, docs/DESIGN.md section 5).
LEAST = 100_000  # a tenth: below it, calls are so rare that growing back would take minutes
CUT = 0.93  # of the level that was refused: what is in flight and one window find room
DEEP_CUT = 0.6  # when nothing is known yet, or the last cut hardly helped: the limit may be far below
YOUNG = 4  # cuts; so many make a memory, before it every soon refusal says so
QUICK = 5  # calls; a refusal within so many after a cut says that the cut was too small
NOISY = 20  # calls; a refusal below the remembered limit after more of them may be chance
SPAN = 56  # calls from a cut back to where the limit was met
LONGER = 30  # more calls, each time that the limit was met at the same place
STREAK = 15  # times; then 506 calls: the few refusals that a constant limit costs
SAME = 1.1  # times the remembered limit: still the same place
BELOW = 0.97  # times the remembered limit: the limit is not there any more
PROBE = 100  # calls; so far beyond the remembered limit it is tried at
STEEP = 4.0  # times as much more


@dataclass(frozen=True, slots=True)
class Learnt:
    """
    Where the limit was met last, and how many calls passed since.

    ``cuts`` numbers the cuts, so that of two memories the younger is known. ``top``: the level refused;
    ``base``: the level after the cut; ``passed``: calls since; ``streak``: how often in a row the limit
    was met at the same place; ``cap``: what the API's own headers allow.
    """

    cuts: int = 0
    top: int = FULL
    base: int = FULL
    passed: int = 0
    streak: int = 0
    cap: int = FULL


UNTAUGHT = Learnt()


def span(learnt: Learnt) -> int:
    """How many calls lead from the cut back to the remembered limit."""
    return SPAN + LONGER * learnt.streak


def level(learnt: Learnt) -> int:
    """
    The share of the configured limit to use now.

    A cubic, as CUBIC's window (RFC 9438 4.2), in calls instead of seconds: fast far below the
    remembered limit, slow near it, and ever faster beyond it.
    """
    if not learnt.cuts:
        return min(FULL, learnt.cap)
    beyond = learnt.passed - span(learnt)
    way = beyond / (PROBE if beyond > 0 else span(learnt))
    steep = STEEP * learnt.top if beyond > 0 else float(learnt.top - learnt.base)
    reached = min(float(FULL), learnt.top + steep * way * way * way)
    return min(max(LEAST, math.floor(reached)), learnt.cap)


def cut(learnt: Learnt) -> Learnt:
    """One cut: remember where the limit was met, and go on below it."""
    met = level(learnt)
    quick = learnt.cuts > 0 and learnt.passed < (NOISY if learnt.cuts < YOUNG else QUICK)
    base = math.floor(met * (DEEP_CUT if quick or not learnt.cuts else CUT))
    moved = learnt.cuts > 0 and met < learnt.top * BELOW
    lower = quick or (moved and learnt.passed < NOISY)
    # Met elsewhere after many calls, above as below: half of it may be chance, or late news.
    other = base if lower else learnt.top if learnt.cuts else met
    top = math.floor((met + other) / 2)
    return replace(
        learnt, cuts=learnt.cuts + 1, top=top, base=base, passed=0, streak=_streak(learnt, met, moved, quick)
    )


def _streak(learnt: Learnt, met: int, moved: bool, quick: bool) -> int:  # noqa: FBT001
    if not learnt.cuts or quick:
        return 0
    if moved:
        return max(0, learnt.streak - 1)
    return min(learnt.streak + 1, STREAK) if met <= learnt.top * SAME else 0


def passed(learnt: Learnt) -> Learnt:
    """One call was let through."""
    return replace(learnt, passed=learnt.passed + 1) if learnt.cuts else learnt


def younger(ours: Learnt, theirs: Learnt) -> Learnt:
    """Of two memories the one with more cuts; the first when they are equally old."""
    return theirs if theirs.cuts > ours.cuts else ours
