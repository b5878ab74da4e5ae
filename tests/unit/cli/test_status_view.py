"""The status document as people see it."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from connector.cli.status import screen
from connector.cli.status_view import backfill, lines, span, summary, table
from connector.model import Backfill, Completeness, Hole, Page, PageStatus, Reconciled
from connector.status import Status, status

NOW = 1_774_000_000_000
FILLING = Backfill(1, list_ended=True, listed=1000, owed=4, calls_left=600, pace=2.0)
DONE = Backfill(1, list_ended=True, listed=1000)


def document() -> Status:
    good = PageStatus(Completeness("1", NOW - 4_000, backfill=DONE), NOW, "me")
    filling = replace(good, completeness=Completeness("2", NOW - 9_000, backfill=FILLING))
    holes = (Hole("3_1", "unreadable", NOW), Hole("3_2", "no_customer", NOW))
    broken = replace(
        good,
        completeness=Completeness(
            "3", NOW, 0, holes, 1_234, 0, DONE, Reconciled(NOW, NOW - 7_200_000, 9, 7, 1)
        ),
    )
    parked = replace(good, completeness=Completeness("4"), parked="renew the subscription in Pancake")
    said = (good, filling, broken, parked)
    return status([(Page(one.completeness.page_id, "shop"), one) for one in said], now=NOW)


def test_a_pipe_gets_a_line_a_page_and_the_sum() -> None:
    assert list(lines(document())) == [
        (
            "4; parked; proved never; back-fill not begun; reconcile never; holes none; "
            "renew the subscription in Pancake"
        ),
        (
            "3; incomplete; proved 2026-03-20T09:46:40Z; back-fill done; "
            "reconcile 2 h ago, under way, 9 found, 7 healed, 1 vanished; "
            "holes 1,234 (no_customer, unreadable); "
            "what is missing is tried again by itself; see docs/OPERATIONS.md, Holes"
        ),
        (
            "2; filling; proved 2026-03-20T09:46:31Z; back-fill 99 % of 1,000, about 5 min; "
            "reconcile never; holes none"
        ),
        "1; complete; proved 2026-03-20T09:46:36Z; back-fill done; reconcile never; holes none",
        "4 pages, 1 complete, 2 with something left out",
    ]


def test_a_terminal_gets_a_table_with_what_to_do_below_it() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(table(document()))
    text = out.getvalue()
    assert "shop (4)" in text
    assert "9 s ago" in text
    assert text.rstrip().splitlines()[-2:] == [
        "4: renew the subscription in Pancake",
        "3: what is missing is tried again by itself; see docs/OPERATIONS.md, Holes",
    ]


def test_a_name_is_never_taken_for_markup() -> None:
    out = io.StringIO()
    pages = status([(Page("1", "shop", "[bold]Sale[/] [link=x]"), None)], now=NOW)
    Console(file=out, width=120).print(table(pages))
    assert "[bold]Sale[/] [link=x] (1)" in out.getvalue()


def test_nothing_to_see_is_said() -> None:
    assert summary(status([], now=NOW)) == "no pages: no poller has run yet"


def test_a_list_that_still_grows_promises_no_end() -> None:
    page = document().pages[2]
    assert backfill(replace(page, backfill=replace(page.backfill, list_ended=False, seconds_left=None))) == (
        "99 % of 1,000, still listing"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (1.9, "1 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_a_span_is_told_in_the_unit_that_suits_it(seconds: float, said: str) -> None:
    assert span(seconds) == said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("watch", [False, True])
def test_a_person_sees_the_table_and_a_script_the_object(
    monkeypatch: pytest.MonkeyPatch, *, watch: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with screen(as_object=False, watch=watch) as show:
        show(document())
    assert "back-fill" in terminal.getvalue()
    assert "4: renew the subscription in Pancake" in terminal.getvalue()
    script = Terminal()
    monkeypatch.setattr("sys.stdout", script)
    with screen(as_object=True, watch=watch) as show:
        show(document())
        show(document())
    assert [json.loads(line)["left_out"] for line in script.getvalue().splitlines()] == [2, 2]
