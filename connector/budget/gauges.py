"""What the budget shows of itself to Prometheus."""

from collections.abc import Callable, Mapping

from connector.model import ScopeUse
from connector.ports import Priority, RateBudget
from connector.telemetry import (
    BUDGET_DEGRADED,
    BUDGET_GRANTS,
    BUDGET_LEARNT,
    BUDGET_LIMIT,
    BUDGET_REFUSALS,
    BUDGET_WAITED,
    BUDGET_WAITING,
    Metric,
    Metrics,
)

BY_SCOPE: Mapping[Metric, Callable[[ScopeUse], float | None]] = {
    BUDGET_LIMIT: lambda use: use.limit_per_second,
    BUDGET_LEARNT: lambda use: use.learnt_per_second,
    BUDGET_DEGRADED: lambda use: float(use.degraded),
    BUDGET_GRANTS: lambda use: use.grants,
    BUDGET_REFUSALS: lambda use: use.refusals,
}
BY_CLASS: Mapping[Metric, Callable[[ScopeUse], tuple[float, ...]]] = {
    BUDGET_WAITING: lambda use: use.waiting_by_class,
    BUDGET_WAITED: lambda use: use.waited_by_class,
}


def show(budget: RateBudget, metrics: Metrics) -> None:
    """Let every figure be read from the budget whenever somebody asks."""
    for metric, value in BY_SCOPE.items():
        metrics.watch(metric, _by_scope(budget, value))
    for metric, values in BY_CLASS.items():
        metrics.watch(metric, _by_class(budget, values))


def _by_scope(
    budget: RateBudget, value: Callable[[ScopeUse], float | None]
) -> Callable[[], Mapping[tuple[str, ...], float]]:
    def read() -> Mapping[tuple[str, ...], float]:
        found = {name: value(use) for name, use in budget.snapshot().items()}
        return {(name,): number for name, number in found.items() if number is not None}

    return read


def _by_class(
    budget: RateBudget, values: Callable[[ScopeUse], tuple[float, ...]]
) -> Callable[[], Mapping[tuple[str, ...], float]]:
    def read() -> Mapping[tuple[str, ...], float]:
        return {
            (name, priority.name.lower()): number
            for name, use in budget.snapshot().items()
            for priority, number in zip(Priority, values(use), strict=False)
        }

    return read
