import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.budget.pace import SECOND, BudgetOptions, Pace, block_seconds
from connector.model import Rate


def test_the_jitter_is_half_a_percent_but_at_least_five_milliseconds() -> None:
    options = BudgetOptions()
    assert options.jitter(Rate(5, 0.1)) == 0.005
    assert options.jitter(Rate(100, 60.0)) == pytest.approx(0.3)


def test_alone_a_process_uses_more_than_99_percent_of_a_limit_a_second() -> None:
    pace = Pace.of(Rate(5, 1.0), BudgetOptions())
    assert 5 * pace.spacing <= SECOND / 0.99


@given(st.integers(1, 10_000), st.floats(0.001, 86_400), st.floats(0, 0.5))
def test_a_call_as_late_as_allowed_still_has_a_period_before_the_one_too_many(
    calls: int, period: float, share: float
) -> None:
    pace = Pace.of(Rate(calls, period), BudgetOptions(jitter_share=share))
    shared = pace.spacing + pace.extra
    assert calls * shared - pace.lateness >= period * SECOND + pace.jitter
    assert calls * pace.spacing >= pace.apart >= period * SECOND + pace.jitter


@pytest.mark.parametrize(
    ("after", "rate", "seconds"),
    [
        (2.0, Rate(5, 1.0), 2.0),
        (0.0, Rate(5, 1.0), 0.1),
        (-7.0, Rate(5, 1.0), 0.1),
        (120.0, Rate(5, 1.0), 120.0),
        (1e12, Rate(5, 1.0), 300.0),
        (math.inf, Rate(5, 1.0), 300.0),
        (-math.inf, Rate(5, 1.0), 0.1),
        (math.nan, Rate(5, 1.0), 1.0),
        (None, Rate(5, 1.0), 1.0),
        (None, Rate(100, 60.0), 5.0),
        (None, Rate(1000, 0.01), 0.1),
        (None, None, 1.0),
    ],
)
def test_a_refusal_stops_the_scope_for_a_sane_time(
    after: float | None, rate: Rate | None, seconds: float
) -> None:
    assert block_seconds(after, rate) == seconds
