"""What was measured: values over repeats, what they should be, what they are compared with."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the median."""

    bound: Literal["at most", "at least"]
    value: float

    def met(self, value: float) -> bool:
        return value <= self.value if self.bound == "at most" else value >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.bound == 'at most' else '≥'} {number(self.value)}"


def at_most(value: float) -> Target:
    return Target("at most", value)


def at_least(value: float) -> Target:
    return Target("at least", value)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The same measured another way in the same run, so that the ratio outlives the machine."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report; ``values`` holds one value per repeat, never none."""

    name: str
    unit: str
    values: Sequence[float]
    target: Target | None = None
    baseline: Baseline | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The distance between the best and the worst repeat, as a share of the median."""
        return (max(self.values) - min(self.values)) / abs(self.median) if self.median else 0.0

    @property
    def ratio(self) -> float | None:
        """Of the median to the baseline's."""
        if self.baseline is None:
            return None
        base = statistics.median(self.baseline.values)
        return self.median / base if base else None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.met(self.median)


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark brought; ``notes`` are lines for people, such as a profile."""

    figures: Sequence[Figure]
    notes: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure: ``quick`` is smaller and says less; ``say`` takes a line of progress."""

    repeats: int
    quick: bool
    say: Callable[[str], None]


class Benchmark(Protocol):
    """A module of this package that measures something."""

    def __call__(self, plan: Plan) -> Result: ...


def number(value: float) -> str:
    """Three digits that count, thousands separated."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
