import io
from dataclasses import replace

import pytest
from rich.console import Console

from connector.cli.demo_view import Snapshot, TopicRow, Use, bar, line, picture
from tests.unit.demo.moments import BUSY, PAGE, QUIET


def drawn(moment: Snapshot, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as shown:
        console.print(picture(moment))
    return shown.get().splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("moment", [QUIET, BUSY])
def test_the_picture_fits_a_small_terminal_with_room_for_the_audit(moment: Snapshot, width: int) -> None:
    lines = drawn(moment, width)
    assert len(lines) <= 22
    assert all(len(line) <= width for line in lines)


@pytest.mark.parametrize("moment", [QUIET, BUSY])
def test_at_80_columns_only_a_long_warning_is_cut(moment: Snapshot) -> None:
    assert [line for line in drawn(moment) if "…" in line and not line.startswith("!")] == []


def test_a_page_that_is_up_to_date_says_so_in_words_not_in_colour() -> None:
    [row] = [line for line in drawn(QUIET) if "Cửa hàng số 1" in line]
    assert row.split() == ["Cửa", "hàng", "số", "1", "12", "98", "live", "up", "to", "date", "██░░░", "2/5"]


def test_a_page_whose_history_is_not_there_yet_is_not_called_up_to_date() -> None:
    filling = replace(PAGE, state="back-fill", arrived=7)
    [row] = [line for line in drawn(replace(QUIET, pages=(filling,))) if "Cửa" in line]
    assert "back-fill 7/12" in row
    assert "on its way" in row


def test_a_parked_page_stands_out_without_colour() -> None:
    [row] = [line for line in drawn(replace(QUIET, pages=(replace(PAGE, state="parked"),))) if "Cửa" in line]
    assert "parked" in row


def test_the_oldest_waiting_change_is_shown_with_one_decimal_until_ten_seconds() -> None:
    assert "9.9 s behind" in line(replace(QUIET, pages=(replace(PAGE, behind=9.94),)))
    assert "10 s behind" in line(replace(QUIET, pages=(replace(PAGE, behind=9.96),)))


def test_lag_is_what_was_published_and_is_not_settled() -> None:
    assert TopicRow("pancake.messages", 340, 300).lag == 40
    assert TopicRow("published twice after a lost answer", 340, 341).lag == 0


def test_events_per_call_count_superseded_events_too() -> None:
    assert QUIET.events_per_call == 4.0
    assert "400 events in 100 FolkForm calls: 4.0 events per call" in "\n".join(drawn(QUIET))


def test_before_the_first_call_there_is_no_division_by_zero() -> None:
    nothing = replace(QUIET, topics=(), totals=replace(QUIET.totals, folkform_calls=0))
    assert nothing.events_per_call == 0.0


@pytest.mark.parametrize(
    ("use", "cells"),
    [
        (Use(0, 5), "░░░░░"),
        (Use(1, 5), "█░░░░"),
        (Use(5, 5), "█████"),
        (Use(9, 5), "█████"),
        (Use(1, 100), "█░░░░"),
    ],
)
def test_a_bar_never_hides_a_call_and_never_overflows(use: Use, cells: str) -> None:
    assert bar(use, 5).plain == cells


def test_a_pipe_gets_one_line_with_every_figure() -> None:
    assert line(QUIET) == (
        "  12 s running | back-fill 36/36 | nothing waits | lag 0 records | "
        "calls/s: pages 2/5 2/5 2/5, FolkForm 7/20 | 4.0 events/call | 0 dead letters"
    )


def test_warnings_and_dead_letters_are_on_the_screen() -> None:
    shown = "\n".join(drawn(BUSY))
    assert "77 dead letters" in shown
    assert "! warning: page parked" in shown
    assert "21 refused" in shown
