"""
Calls where change is likely: ``pancake/likelihood.py`` beside round robin. Pure, on a virtual clock.

Six pages live through days of production's shape (contracts/background.md C4). Both ways of scanning see the
same changes; compared is how long a change waits for the scan that finds it, and how many calls that took.
"""

import bisect
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.figures import Baseline, Figure, Plan, Result, at_most
from bench.report import table
from connector.pancake.likelihood import Likelihood
from connector.settings import PollerSettings

HOUR, DAY = 3600.0, 86_400.0
EPOCH = -7 * HOUR  # the virtual clock begins at midnight of a Monday in Vietnam
# Thousands of messages by hour of the day. Measured: 2, 3, 8, 9 and 10; the others are laid between them so
# that the sum is what production holds (1.4 M) and the peak hour has its 11.3 %.
HOURS = (
    *(6, 2.2, 0.93, 0.93, 1.5, 5, 24, 65, 158.7, 148.9, 122.1, 95),
    *(66, 78, 98, 98, 92, 70, 48, 52, 62, 58, 36, 16),
)
WEEK = (1.25, 1.05, 1.0, 1.0, 1.0, 0.95, 0.75)  # Monday is the busiest
SHARES = (0.5, 0.22, 0.14, 0.08, 0.044, 0.016)  # of the pages; the smallest is known (Zalo), the others not
MESSAGES_A_DAY = 3700.0
DELIVERED = 0.98  # webhooks that come at all, and within how many seconds
LATE = (0.3, 2.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """
    How changes cluster: people write to and fro. Not measured in production, so it is varied.

    ``session``: changes in one go on average; ``gap``: median seconds between two of them.
    """

    session: float = 8.0
    gap: float = 35.0


@dataclass(frozen=True, slots=True)
class World:
    """The moments of change of each page, and of its webhooks; measured is what comes after ``begin``."""

    pages: Sequence[Sequence[float]]
    hooks: Sequence[Sequence[float]]
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds that changes waited, sorted, and the calls it took."""

    waits: Sequence[float]
    calls: float

    @property
    def mean(self) -> float:
        return sum(self.waits) / len(self.waits)

    def at(self, share: float) -> float:
        """A quantile."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


def world(seed: int, *, days: int, learn: int = 1, shape: Shape | None = None) -> World:
    """``days`` of changes, the first ``learn`` of them not measured."""
    rng = random.Random(seed)
    pages = [sorted(_changes(rng, share, days, shape or Shape())) for share in SHARES]
    hooks = [sorted(_hooks(rng, changes)) for changes in pages]
    return World(pages, hooks, learn * DAY, days * DAY)


def _changes(rng: random.Random, share: float, days: int, shape: Shape) -> Iterator[float]:
    # Every page has a day of its own: what the connector assumes at first is not quite right for any.
    weights = [weight * rng.lognormvariate(0, 0.25) for weight in HOURS]
    for hour in range(24 * days):
        sessions = share * MESSAGES_A_DAY * WEEK[hour // 24 % 7] / shape.session
        rate = sessions * weights[hour % 24] / sum(HOURS) / HOUR
        begin = hour * HOUR + rng.expovariate(rate)
        while begin < (hour + 1) * HOUR:
            yield from _session(rng, begin, days * DAY, shape)
            begin += rng.expovariate(rate)


def _session(rng: random.Random, begin: float, end: float, shape: Shape) -> Iterator[float]:
    now = begin
    while now < end:
        yield now
        if rng.random() < 1 / shape.session:
            return
        now += rng.lognormvariate(math.log(shape.gap), 1.2)


def _hooks(rng: random.Random, changes: Sequence[float]) -> Iterator[float]:
    for change in changes:
        if rng.random() < DELIVERED:
            yield change + rng.uniform(*LATE)


def scans(
    page: Likelihood, changes: Sequence[float], hints: Sequence[float], end: float
) -> Iterator[tuple[float, Sequence[float]]]:
    """Each scan's moment and what it found."""
    now, heard, seen = 0.0, 0, 0
    while now < end:
        due = page.due_at(now, now)
        while heard < len(hints) and hints[heard] < due:
            page.hinted(hints[heard])
            due = min(due, max(hints[heard], page.due_at(now, hints[heard])))
            heard += 1
        now = due
        until = bisect.bisect_right(changes, now, seen)
        page.found(now, until - seen)
        yield now, changes[seen:until]
        seen = until


def likely(given: World, *, fastest: float, slowest: float, hooks: bool = False) -> Freshness:
    """Each page scanned when its likelihood says so."""
    waits: list[float] = []
    calls = 0
    for number, changes in enumerate(given.pages):
        page = Likelihood(fastest, slowest, epoch=EPOCH)
        hints = given.hooks[number] if hooks else ()
        for scanned, found in scans(page, changes, hints, given.end):
            if scanned >= given.begin:
                calls += 1
                waits += [scanned - change for change in found if change >= given.begin]
    return Freshness(sorted(waits), calls)


def round_robin(given: World, calls: float) -> Freshness:
    """One page after the other, with so many calls."""
    every = len(given.pages) * (given.end - given.begin) / calls
    waits: list[float] = []
    for number, changes in enumerate(given.pages):
        offset = every * number / len(given.pages)
        for change in changes[bisect.bisect_left(changes, given.begin) :]:
            turns = math.ceil((change - offset) / every)
            waits.append(offset + turns * every - change)
    return Freshness(sorted(waits), calls)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same world scanned by likelihood, and round robin with twice as many calls and with as many."""

    likely: Freshness
    twice: Freshness
    same: Freshness


def compare(given: World, *, fastest: float, slowest: float, hooks: bool) -> Comparison:
    ours = likely(given, fastest=fastest, slowest=slowest, hooks=hooks)
    return Comparison(ours, round_robin(given, 2 * ours.calls), round_robin(given, ours.calls))


QUANTILES: dict[str, Callable[[Freshness], float]] = {
    "mean": lambda freshness: freshness.mean,
    "p50": lambda freshness: freshness.at(0.5),
    "p90": lambda freshness: freshness.at(0.9),
    "p99": lambda freshness: freshness.at(0.99),
}


def measure(plan: Plan) -> Result:
    defaults = PollerSettings()
    paces = {"defaults": 1.0, "twice as slow": 2.0}
    days, seeds = (2 if plan.quick else 4), range(1, plan.repeats + 1)
    runs: dict[tuple[str, bool, float], list[Comparison]] = {}
    for session in (8.0, 1.0):
        worlds = [world(seed, days=days, shape=Shape(session)) for seed in seeds]
        for pace, factor in paces.items():
            for hooks in (False, True):
                runs[pace, hooks, session] = [
                    compare(
                        given,
                        fastest=factor * defaults.interval,
                        slowest=factor * defaults.interval_max,
                        hooks=hooks,
                    )
                    for given in worlds
                ]
                plan.say(f"{pace}, webhooks {hooks}, sessions of {session:g}")
    rows = [_row(days - 1, *each) for each in runs.items()]
    return Result(list(_figures(runs)), [*table(_COLUMNS, rows)])


def _figures(runs: dict[tuple[str, bool, float], list[Comparison]]) -> Iterator[Figure]:
    plain, hooked = runs["defaults", False, 8.0], runs["defaults", True, 8.0]
    for name in ("mean", "p50", "p90"):
        yield _beside(name, plain)
    yield _beside("mean", hooked, more=", webhooks")
    calm = runs["twice as slow", True, 8.0]
    yield Figure(
        "likelihood: p99 wait with webhooks, the same calls",
        "s",
        [run.likely.at(0.99) for run in calm],
        at_most(min(run.same.at(0.99) for run in calm) / 2),
        Baseline("round robin", [run.same.at(0.99) for run in calm]),
    )


def _beside(name: str, runs: Sequence[Comparison], *, more: str = "") -> Figure:
    take = QUANTILES[name]
    theirs = [take(run.twice) for run in runs]
    return Figure(
        f"likelihood: {name} wait at half the calls{more}",
        "s",
        [take(run.likely) for run in runs],
        at_most(statistics.median(theirs)),
        Baseline("round robin", theirs),
    )


BESIDE = ("", " ÷ RR 2x", " ÷ RR 1x")  # round robin with twice the calls, and with the same
_HEAD = ("pace", "webhooks", "session", "calls a day")
_COLUMNS = (*_HEAD, *(f"{name}{beside}" for name in QUANTILES for beside in BESIDE))


def _row(days: int, key: tuple[str, bool, float], runs: Sequence[Comparison]) -> list[str]:
    pace, hooks, session = key
    run = runs[0]
    cells = [pace, "yes" if hooks else "no", f"{session:g}", f"{run.likely.calls / days:,.0f}"]
    for take in QUANTILES.values():
        ours = take(run.likely)
        cells += [f"{ours:.2f} s", f"{ours / take(run.twice):.2f}", f"{ours / take(run.same):.2f}"]
    return cells
