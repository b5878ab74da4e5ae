"""How soon the next live scan of a page is worth its call."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.pancake.bucket import Bucket
from connector.pancake.likelihood import AT_ONCE, BUSY, HINT_SECONDS, HINTS, LOOK_SECONDS, LOOKS, Likelihood

FASTEST, SLOWEST = 1.0, 6.0
MORNING = datetime(2026, 3, 9, 9, 0, tzinfo=UTC).timestamp() - 7 * 3600  # 9 o'clock in Vietnam
NIGHT = datetime(2026, 3, 9, 3, 0, tzinfo=UTC).timestamp() - 7 * 3600


def watch(
    page: Likelihood, seconds: float, every: float = 2.0, changes: int = 0, begin: float = 0.0
) -> float:
    """Scan regularly, each scan with the same find; the moment at which it ends."""
    now = begin
    while now < begin + seconds:
        now += every
        page.found(now, changes)
    return now


def wait(page: Likelihood, now: float) -> float:
    return page.due_at(now, now) - now


def test_a_page_nothing_is_known_of_is_scanned_oftener_in_the_morning_than_at_night() -> None:
    assert wait(Likelihood(FASTEST, SLOWEST, epoch=MORNING), 0.0) < 4.0
    assert wait(Likelihood(FASTEST, SLOWEST, epoch=NIGHT), 0.0) == SLOWEST


def test_a_change_makes_the_next_one_likely_for_a_while() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=NIGHT)
    now = watch(page, 600)
    page.found(now + 1, 2)
    just_after = wait(page, now + 1)
    assert just_after < SLOWEST / 2
    assert wait(page, now + 61) > just_after
    assert wait(page, now + 600) == SLOWEST


def test_what_the_first_scan_meets_says_nothing_of_the_pace() -> None:
    page, other = (Likelihood(FASTEST, SLOWEST, epoch=MORNING) for _ in range(2))
    page.found(0.0, 60)
    other.found(0.0, 0)
    assert wait(page, 0.0) == wait(other, 0.0)


def test_what_gathered_while_nobody_looked_counts_as_spread_over_that_time() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=MORNING)
    page.found(0.0, 0)
    page.found(7200.0, 60)
    assert page.rate(7200.0) == pytest.approx(60 / 7200, rel=0.5)


def test_a_busy_page_is_scanned_at_the_fastest_and_no_faster() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=MORNING)
    now = watch(page, 1800, every=2.0, changes=1)
    assert wait(page, now) == FASTEST


def test_a_page_without_life_is_still_scanned_at_the_slowest() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=MORNING)
    assert wait(page, watch(page, 7 * 86_400, every=60.0)) == SLOWEST


def test_the_own_day_of_a_page_is_learnt() -> None:
    page = Likelihood(FASTEST, 3600.0, epoch=MORNING)
    for minute in range(1, 5 * 24 * 60):
        awake_at_night = (minute // 60) % 24 == 18  # 18 hours after nine: three in the morning
        page.found(minute * 60.0, 1 if awake_at_night else 0)
    day = 5 * 86_400.0
    assert page.rate(day + 18.5 * 3600) > 10 * page.rate(day + 1.5 * 3600)


def test_the_rate_is_right_on_average_when_changes_come_evenly() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=MORNING)
    rates = []
    for second in range(0, 3 * 3600, 5):
        page.found(float(second), 1 if second % 100 == 0 else 0)
        rates.append(page.rate(float(second)))
    late = rates[len(rates) // 2 :]
    assert sum(late) / len(late) == pytest.approx(1 / 100, rel=0.15)


def test_a_hint_brings_the_next_scans_forward_and_then_is_spent() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=NIGHT)
    now = watch(page, 600)
    page.hinted(now)
    for sooner in (AT_ONCE * FASTEST, FASTEST):
        assert wait(page, now) == pytest.approx(sooner)
        now += sooner
        page.found(now, 0)
    assert wait(page, now) == SLOWEST


def test_a_hint_is_followed_at_once_however_slow_the_fastest_pace_is() -> None:
    page = Likelihood(600.0, 3600.0, epoch=NIGHT)
    page.found(0.0, 0)
    page.hinted(0.0)
    assert wait(page, 0.0) == LOOK_SECONDS * AT_ONCE


def test_hints_that_never_tell_the_truth_cost_a_bounded_number_of_scans() -> None:
    page = Likelihood(FASTEST, SLOWEST, epoch=NIGHT)
    scans, now, seconds = 0, 0.0, 1000.0
    while now < seconds:
        for _ in range(1000):
            page.hinted(now)
        now = page.due_at(now, now)
        page.found(now, 0)
        scans += 1
    allowed = LOOKS * (HINTS + seconds / HINT_SECONDS)
    assert seconds / SLOWEST < scans <= seconds / SLOWEST + allowed


def test_hints_that_tell_the_truth_are_all_believed() -> None:
    page = Likelihood(FASTEST, 60.0, epoch=NIGHT)
    page.found(0.0, 0)
    for number in range(1, 20 * HINTS):
        now = number * 10.0
        page.hinted(now)
        assert wait(page, now) == pytest.approx(AT_ONCE * FASTEST)
        page.found(now + FASTEST, 1)
        page.found(now + 2 * FASTEST, 0)


@given(
    finds=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10_000), st.booleans()), max_size=60),
    epoch=st.floats(0, 4e9),
)
def test_whatever_was_found_the_wait_stays_within_its_bounds(
    finds: list[tuple[float, int, bool]], epoch: float
) -> None:
    page, now = Likelihood(FASTEST, SLOWEST, epoch=epoch), 0.0
    for seconds, changes, hinted in finds:
        now += seconds
        if hinted:
            page.hinted(now)
        page.found(now, changes)
        assert AT_ONCE * FASTEST * 0.999 <= wait(page, now) <= SLOWEST * 1.001
        assert page.rate(now) > 0


def test_bounds_that_are_the_same_are_a_fixed_pace() -> None:
    page = Likelihood(1e9, 1e9, epoch=MORNING)
    assert page.due_at(5.0, 5.0) == 5.0 + 1e9


@given(taken=st.lists(st.floats(0, 30), max_size=200))
def test_a_bucket_gives_no_more_than_fits_and_flows_in(taken: list[float]) -> None:
    bucket, now, given_at = Bucket(3, 10.0), 0.0, []
    for seconds in taken:
        now += seconds
        if bucket.take(now):
            given_at.append(now)
    for at, begin in enumerate(given_at):
        for count, end in enumerate(given_at[at:], 1):
            assert count <= 3 + (end - begin) / 10.0 + 1e-6


def test_a_bucket_that_was_given_something_back_can_give_it_again() -> None:
    bucket = Bucket(1, 10.0)
    assert bucket.take(0.0)
    assert not bucket.take(1.0)
    bucket.give_back()
    assert bucket.take(1.0)


def test_busy_is_what_the_fastest_pace_is_for() -> None:
    page = Likelihood(FASTEST, 1e6, epoch=MORNING)
    rate = page.rate(0.0)
    assert wait(page, 0.0) == pytest.approx(FASTEST * (BUSY / rate) ** 0.5)
