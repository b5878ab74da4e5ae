"""docs/OPERATIONS.md names every line, code and reason that the program can say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.folkform.answers import REJECTED
from connector.folkform.bodies import MISSING
from connector.folkform.flaws import CHECKS
from connector.kafka.config import Topics
from connector.pancake.answers import PARKING, TOKEN_CODES
from connector.telemetry import COUNTERS, GAUGES, HISTOGRAMS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "OPERATIONS.md").read_text("utf-8")
# What a person at a terminal is shown has its own words.
OUTSIDE = ("simulator", "cli/demo")


def _log_lines() -> Iterator[str]:
    for file in sorted((ROOT / "connector").rglob("*.py")):
        if not file.relative_to(ROOT / "connector").as_posix().startswith(OUTSIDE):
            yield from _said(ast.parse(file.read_text("utf-8")))


def _said(tree: ast.Module) -> Iterator[str]:
    """The first argument of each ``log.warning("…")``."""
    for call in ast.walk(tree):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log")), args=[ast.Constant(value=str() as event), *_]
            ):
                yield event.partition(" reading")[0]


@pytest.mark.parametrize("event", sorted(set(_log_lines())))
def test_every_line_of_the_log_is_explained(event: str) -> None:
    assert f"`{event}" in PAGE, "say in docs/OPERATIONS.md what it means and what to do"


def test_every_code_that_parks_a_page_has_a_row() -> None:
    rows = " ".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))
    missing = [code for code in (*PARKING, *TOKEN_CODES) if not re.search(rf"\b{code}\b", rows)]
    assert not missing


def test_every_reason_of_a_dead_letter_has_a_row() -> None:
    files = [ROOT / "connector" / "codec.py"]
    for part in ("pancake", "folkform", "engine"):
        files += (ROOT / "connector" / part).glob("*.py")
    source = "".join(file.read_text("utf-8") for file in files)
    words = set(re.findall(r"(?:Problem|UndecodableError|RejectedError)\(\s*\"(\w+)\"", source))
    assert {"bad_frame", "missing_id", "headers_too_large", "no_event"} <= words
    words |= {*REJECTED.values(), *MISSING.values(), *(flaw.reason for _, flaw in CHECKS)}
    assert not [word for word in words if f"`{word}`" not in PAGE]


def test_every_metric_is_listed() -> None:
    names = [f"connector_{metric.name.replace('.', '_')}_total" for metric in COUNTERS]
    names += [f"connector_{metric.name.replace('.', '_')}_seconds" for metric in HISTOGRAMS]
    names += [f"connector_{metric.name.replace('.', '_')}" for metric in GAUGES]
    assert not [name for name in names if name not in PAGE]


def test_every_topic_and_group_is_listed() -> None:
    names = [
        str(getattr(Topics(), name)) for name, kind in vars(Topics).items() if isinstance(kind, property)
    ]
    assert len(names) >= 7
    assert not [name for name in names if f"`{name}`" not in PAGE]


def test_every_link_within_the_page_arrives() -> None:
    heads = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }
    assert not set(re.findall(r"\(#([^)]+)\)", PAGE)) - heads
