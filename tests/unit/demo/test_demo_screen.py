import io
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog
from rich.console import Console

from connector.cli.demo_screen import LiveScreen, LogTail, PlainScreen, screen
from connector.telemetry import set_up_logs
from tests.unit.demo.moments import QUIET


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A screen turns the logs of the whole process."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.reset_defaults()


def test_a_warning_becomes_a_sentence_of_the_screen() -> None:
    tail = LogTail()
    set_up_logs(form="json", level="warning", stream=tail)
    structlog.get_logger("connector").info("not this")
    structlog.get_logger("connector").warning("page parked", page="100", action="log in")
    logging.getLogger("some.library").warning("it creaks")
    assert tail.lines() == ("warning: page parked page=100 action=log in", "warning: it creaks")


def test_the_tail_keeps_the_latest_lines_whatever_they_are() -> None:
    tail = LogTail()
    for told in ("one", '{"event": 1}', "[1]", "\n", '{"event": "four", "level": "error"}'):
        print(told, file=tail)
    assert tail.lines() == ("[1]", "error: four")


def test_a_pipe_gets_a_line_every_other_second_and_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainScreen() as shown:
        for elapsed in (0.0, 0.25, 1.9, 2.1, 4.0):
            shown.show(replace(QUIET, elapsed=elapsed))
        shown.show(replace(QUIET, elapsed=4.1, phase="ended"))
        shown.say("audit: fine")
    servers, *lines, last = capsys.readouterr().out.splitlines()
    assert servers == QUIET.servers
    assert [line.split(" | ")[0].strip() for line in lines] == ["0 s running", "2 s running", "4 s ended"]
    assert last == "audit: fine"


def test_the_last_picture_and_the_audit_stay_on_the_terminal() -> None:
    out = io.StringIO()
    with LiveScreen(Console(file=out, force_terminal=True, width=80, height=24)) as shown:
        shown.show(QUIET)
        shown.show(replace(QUIET, phase="ended"))
        shown.say("audit: fine")
    stays = out.getvalue().rpartition("\x1b[?1049l")[2]  # what comes after the alternate screen was left
    assert "ended" in stays
    assert stays.rstrip().endswith("audit: fine")


def test_warnings_during_the_live_screen_go_into_it_and_after_it_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LiveScreen(Console(file=io.StringIO(), force_terminal=True)) as shown:
        structlog.get_logger("connector").warning("page parked")
        assert shown.warnings() == ("warning: page parked",)
        assert capsys.readouterr().err == ""
    structlog.get_logger("connector").warning("too late for the screen")
    assert "too late for the screen" in capsys.readouterr().err


def test_a_pipe_is_a_pipe_although_colour_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(screen(), PlainScreen)
