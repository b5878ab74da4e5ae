"""The budget of processes that are behind: how much of the limit they use, and how often they are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bench.figures import Figure, Plan, Result, Target, at_least, at_most
from connector.model import Rate
from connector.simulator.options import PancakeOptions
from tests.fakes.limited import Limited, Ran, run

Measure = Callable[[Ran], float]
REFUSED = at_most(50.0)
WINDOWS: Mapping[str, PancakeOptions] = {
    "any second": PancakeOptions(window="sliding"),
    "fixed second": PancakeOptions(window="fixed"),
    "bucket": PancakeOptions(window="bucket"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A story, the true limit left for us, and what is wanted of it."""

    story: Limited
    limit: float
    used: Target | None = None
    refused: Target | None = None
    begin: float = 0.0
    end: float | None = None


CASES: Mapping[str, Case] = {
    "known": Case(Limited(calls=10_000), 5, at_least(0.99), at_most(0.0)),
    "known, 4 processes": Case(Limited(calls=10_000, processes=4), 5, at_least(0.95), at_most(0.0)),
    "hidden, 4 of 5": Case(Limited(calls=10_000, truth=PancakeOptions(rate=4)), 4, at_least(0.95), REFUSED),
    "hidden, 5 of 20": Case(Limited(calls=10_000, rate=Rate(20, 1.0)), 5, at_least(0.95), None),
    "hidden, 4 processes": Case(
        Limited(calls=10_000, truth=PancakeOptions(rate=4), processes=4), 4, at_least(0.95), None
    ),
    "foreign, 1 a second": Case(Limited(calls=4_000, truth=PancakeOptions(foreign_rate=1.0)), 4),
    "halved, from 10 s after": Case(
        Limited(calls=900, rate=Rate(6, 1.0), truth=PancakeOptions(rate=6), changes=[(60.0, {"rate": 3})]),
        3,
        begin=70.0,
    ),
    "raised fourfold, 90 to 120 s after": Case(
        Limited(calls=1_500, changes=[(60.0, {"rate": 2}), (180.0, {"rate": 8})]), 5, begin=270.0, end=300.0
    ),
    "Redis away for 60 s, those": Case(
        Limited(calls=1_000, processes=2, away=(60.0, 120.0)), 5, begin=60.0, end=120.0
    ),
}


def measure(plan: Plan) -> Result:
    return Result(
        [
            figure
            for name, case in CASES.items()
            for window, truth in WINDOWS.items()
            for figure in _figures(f"{name} ({window})", case, truth, plan)
        ],
        ["the limiter is the Pancake simulator's, the clock is virtual, answers take 50 to 300 ms"],
    )


def _figures(name: str, case: Case, window: PancakeOptions, plan: Plan) -> list[Figure]:
    calls = case.story.calls // 5 if plan.quick and case.end is None else case.story.calls
    truth = replace(case.story.truth, window=window.window)
    found = [run(replace(case.story, truth=truth, calls=calls, seed=seed)) for seed in range(plan.repeats)]
    used = [each.used(case.limit, case.begin, case.end) for each in found]
    refused = [each.refused_per_10_000() for each in found]
    plan.say(f"{name}: {used[0]:.3f} used, {refused[0]:.0f} refused of 10,000")
    return [
        Figure(f"limit {name}", "used", used, case.used),
        Figure(f"limit {name}", "refused of 10,000", refused, case.refused),
    ]
