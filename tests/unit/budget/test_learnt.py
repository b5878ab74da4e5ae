"""The law of refusals, step by step."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.budget.learnt import (
    CUT,
    DEEP_CUT,
    FULL,
    LEAST,
    UNTAUGHT,
    Learnt,
    cut,
    level,
    passed,
    span,
    younger,
)

LEVEL = st.integers(LEAST, FULL)
LEARNT = st.builds(
    Learnt,
    cuts=st.integers(1, 50),
    top=LEVEL,
    base=LEVEL,
    passed=st.integers(0, 2000),
    streak=st.integers(0, 15),
    cap=st.integers(1_000, FULL),
)


def after(learnt: Learnt, calls: int) -> Learnt:
    for _ in range(calls):
        learnt = passed(learnt)
    return learnt


def test_without_a_refusal_the_configured_limit_is_used() -> None:
    assert level(after(UNTAUGHT, 1000)) == FULL


def test_the_first_refusal_cuts_deep_for_nothing_is_known_of_the_limit() -> None:
    assert level(cut(UNTAUGHT)) == FULL * DEEP_CUT


def test_the_way_back_leads_to_where_the_limit_was_met_and_slows_down_there() -> None:
    met = replace(cut(UNTAUGHT), top=800_000, base=744_000)
    levels = [level(after(met, calls)) for calls in range(span(met) + 1)]
    assert levels == sorted(levels)
    assert levels[-1] == 800_000
    assert levels[1] - levels[0] > 20 * (levels[-1] - levels[-2])


def test_a_limit_that_was_raised_fourfold_is_found_within_a_hundred_calls_beyond() -> None:
    met = replace(cut(UNTAUGHT), top=200_000, base=186_000)
    assert level(after(met, span(met) + 100)) == FULL


def test_a_limit_met_again_at_the_same_place_is_asked_for_ever_more_seldom() -> None:
    learnt, spans = Learnt(cuts=9, top=800_000, base=744_000), []
    for _ in range(18):
        learnt = cut(after(learnt, span(learnt)))
        spans.append(span(learnt))
        assert level(learnt) == pytest.approx(800_000 * CUT, rel=0.01)
    assert spans == sorted(spans)
    assert spans[-1] == spans[-2] == 506


def test_refused_again_at_once_the_limit_is_far_below() -> None:
    learnt = cut(after(Learnt(cuts=9, top=800_000, base=744_000, streak=15), 2))
    assert level(learnt) < 800_000 * CUT * 0.7
    assert (learnt.streak, learnt.top < 744_000) == (0, True)


def test_a_refusal_far_below_the_limit_after_many_calls_is_somebodys_burst() -> None:
    burst = cut(Learnt(cuts=9, top=800_000, base=400_000, passed=25, streak=3))
    assert 0.8 * 800_000 < burst.top < 800_000
    assert burst.streak == 2


def test_the_memory_with_more_cuts_is_believed() -> None:
    old, new = Learnt(cuts=3, passed=400), Learnt(cuts=4)
    assert younger(old, new) == younger(new, old) == new
    assert younger(old, replace(old, passed=0)) == old


@given(LEARNT)
def test_no_memory_lets_more_calls_go_than_configured_or_stops_for_good(learnt: Learnt) -> None:
    assert min(LEAST, learnt.cap) <= level(learnt) <= min(FULL, learnt.cap)


@given(LEARNT)
def test_a_cut_never_raises_the_level_and_moves_on_by_one(learnt: Learnt) -> None:
    after_cut = cut(learnt)
    assert level(after_cut) <= level(learnt)
    assert (after_cut.cuts, after_cut.passed, after_cut.cap) == (learnt.cuts + 1, 0, learnt.cap)


@given(LEARNT, st.integers(0, 50))
def test_calls_that_pass_never_lower_the_level(learnt: Learnt, calls: int) -> None:
    risen = learnt if learnt.base <= learnt.top else replace(learnt, base=learnt.top)
    assert level(after(risen, calls)) >= level(risen)
