import math

from hypothesis import given
from hypothesis import strategies as st

from connector.budget.departures import Departures
from tests.unit.budget.worlds import most_in_a_window


def test_before_the_limit_is_reached_a_call_may_leave_at_any_time() -> None:
    departures = Departures()
    departures.note(10.0, 1.0)
    assert departures.earliest(2, 1.0) == -math.inf
    departures.note(10.1, 1.0)
    assert departures.earliest(2, 1.0) == 11.0


def test_the_calls_that_are_held_already_count_as_gone() -> None:
    departures = Departures()
    for moment in (10.0, 10.1, 10.2):
        departures.note(moment, 1.0)
    assert departures.earliest(5, 1.0, held=2) == 11.0
    assert departures.earliest(5, 1.0, held=1) == -math.inf
    assert departures.earliest(2, 1.0, held=2) == -math.inf


@given(st.integers(1, 6), st.lists(st.floats(0, 0.7), max_size=80))
def test_whoever_leaves_no_earlier_than_told_fills_no_window_beyond_the_limit(
    calls: int, pauses: list[float]
) -> None:
    departures, now, left = Departures(), 0.0, list[float]()
    for pause in pauses:
        now = max(now + pause, departures.earliest(calls, 1.0))
        departures.note(now, 1.0)
        left.append(now)
    assert most_in_a_window(left, 1.0) <= calls
