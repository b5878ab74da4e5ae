"""The status document: what each page's report amounts to."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.model import Backfill, Completeness, Hole, Page, PageStatus, Reconciled
from connector.status import LEFT_OUT, SILENT_SECONDS, State, as_json, moment, status

NOW = 1_774_000_000_000
PAGE = Page("112233", "shop", "Shop áo dài", "facebook")
WHOLE = Completeness("112233", NOW - 4_000, backfill=Backfill(list_ended=True, listed=60))
GOOD = PageStatus(WHOLE, NOW - 9_000, "me")


def state(said: PageStatus | None) -> State:
    return status([(PAGE, said)], now=NOW).pages[0].state


def test_a_page_of_which_nothing_is_missing_is_complete() -> None:
    document = status([(PAGE, GOOD)], now=NOW)
    assert document.pages[0].state is State.COMPLETE
    assert document.left_out == 0


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (None, State.UNREAD),
        (replace(GOOD, written_at=NOW - int(SILENT_SECONDS * 1000) - 1), State.SILENT),
        (replace(GOOD, parked="renew it", written_at=1), State.PARKED),
        (replace(GOOD, completeness=replace(WHOLE, holes_open=1)), State.INCOMPLETE),
        (replace(GOOD, completeness=replace(WHOLE, backfill=Backfill(listed=9, owed=3))), State.FILLING),
        (replace(GOOD, completeness=replace(WHOLE, proved_until=0)), State.FILLING),
        (GOOD, State.COMPLETE),
    ],
)
def test_a_page_stands_as_its_worst_trouble_says(said: PageStatus | None, wanted: State) -> None:
    assert state(said) is wanted


def test_a_page_that_is_read_seldom_is_not_silent_in_between() -> None:
    old = replace(GOOD, written_at=NOW - 3_600_000)
    assert status([(PAGE, old)], now=NOW, silent_after=7200.0).pages[0].state is State.COMPLETE


def test_every_state_is_met_by_some_report_and_counted_as_left_out_or_not() -> None:
    assert {State.UNREAD, State.SILENT, State.PARKED, State.INCOMPLETE} == LEFT_OUT
    assert set(State) == LEFT_OUT | {State.FILLING, State.COMPLETE}


def test_a_parked_page_says_what_a_person_must_do_and_stays_parked_however_old_the_word_is() -> None:
    (page,) = status([(PAGE, replace(GOOD, parked="renew it", parked_since=7, written_at=7))], now=NOW).pages
    assert (page.action, page.parked_since) == ("renew it", 7)


def test_what_needs_a_look_comes_first() -> None:
    pages = [
        (Page(name, name), said)
        for name, said in (("a", GOOD), ("b", None), ("c", replace(GOOD, parked="x")))
    ]
    assert [page.page_id for page in status(pages, now=NOW).pages] == ["b", "c", "a"]


def test_the_json_has_moments_that_people_and_machines_read() -> None:
    hole = Hole("112233_9", "unreadable", NOW - 60_000)
    complete = replace(WHOLE, holes=(hole,), holes_open=1, reconcile=Reconciled(0, NOW - 3_600_000, 2, 1, 0))
    plain = json.loads(as_json(status([(PAGE, replace(GOOD, completeness=complete))], now=NOW)))
    assert plain["at"] == "2026-03-20T09:46:40Z"
    assert plain["left_out"] == 1
    (page,) = plain["pages"]
    assert page["proved_until"] == "2026-03-20T09:46:36Z"
    assert page["scanning_since"] is None
    assert page["holes"] == [
        {"conversation_id": "112233_9", "reason": "unreadable", "since": "2026-03-20T09:45:40Z"}
    ]
    assert page["reconcile"] == {
        "since": None, "ended": "2026-03-20T08:46:40Z", "found": 2, "healed": 1, "vanished": 0,
    }  # fmt: skip
    assert page["backfill"]["done"] is True
    assert page["name"] == "Shop áo dài"


def test_how_long_the_history_takes_is_told_once_it_can_be_known() -> None:
    filling = Backfill(1, list_ended=True, listed=100, owed=25, calls_left=50, pace=2.0)
    (page,) = status([(PAGE, replace(GOOD, completeness=replace(WHOLE, backfill=filling)))], now=NOW).pages
    assert (page.backfill.share, page.backfill.seconds_left, page.backfill.done) == (0.75, 25.0, False)


COUNT = st.integers(0, 2**40)
REPORTS = st.builds(
    PageStatus,
    st.builds(
        Completeness,
        st.just("p"),
        COUNT,
        COUNT,
        st.just(()),
        COUNT,
        COUNT,
        st.builds(Backfill, COUNT, st.booleans(), COUNT, COUNT, COUNT, st.floats(0, 1e6)),
        st.builds(Reconciled, COUNT, COUNT, COUNT, COUNT, COUNT),
    ),
    COUNT,
    st.text(),
    st.text(),
    COUNT,
)


@given(st.none() | REPORTS, COUNT)
def test_whatever_was_reported_there_is_a_document(said: PageStatus | None, now: int) -> None:
    document = status([(PAGE, said)], now=now)
    assert json.loads(as_json(document))["pages"][0]["state"] in set(State)


def test_never_has_no_moment() -> None:
    assert moment(0) is None
