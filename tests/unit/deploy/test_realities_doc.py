"""docs/REALITIES.md: 41 rows, each with switches and tests that there are, and none forgotten."""

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

import pytest

from connector.errors import ConfigError
from connector.simulator import oddities
from connector.simulator.faults import Action
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
NAMED = re.compile(r"`([a-z0-9_]+)`")
NUMBERED = re.compile(r"^(?:async )?def (test_(\d+)_\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    number: int
    switches: frozenset[str]
    tests: frozenset[str]


def rows() -> list[Row]:
    cells = [line.split(" | ") for line in (DOCS / "REALITIES.md").read_text().splitlines()]
    listed = [found for found in cells if found[0].removeprefix("| ").isdecimal()]
    return [
        Row(
            int(number.removeprefix("| ")),
            frozenset(NAMED.findall(switches)),
            frozenset(NAMED.findall(tests)),
        )
        for number, _, switches, _, tests in listed
    ]


def verbs() -> set[str]:
    with pytest.raises(ConfigError) as refused:
        PancakeSimulator(World(WorldConfig(pages=0))).act("no such verb", {})
    return set(refused.value.advice.removeprefix("one of ").split(", "))


def arguments() -> set[str]:
    """Names that the verbs of a world take."""
    held = [getattr(World, name) for name in verbs() if hasattr(World, name)]
    return {name for verb in held for name in inspect.signature(verb).parameters}


def options() -> set[str]:
    return {field.name for kind in (PancakeOptions, WorldConfig) for field in fields(kind)}


def sources(folder: str, pattern: str = "test_*.py") -> Iterable[str]:
    return (path.read_text() for path in (ROOT / "tests" / folder).rglob(pattern))


def test_there_is_one_row_for_each_reality() -> None:
    assert [row.number for row in rows()] == list(range(1, 42))


def test_every_row_names_a_switch_and_every_switch_exists() -> None:
    known = options() | verbs() | arguments() | set(get_args(Action)) | set(oddities.EVERY)
    assert all(row.switches for row in rows())
    assert {row.number: row.switches - known for row in rows() if row.switches - known} == {}


def test_every_row_names_a_test_and_every_test_exists() -> None:
    defined = {name for text in sources("") for name in re.findall(r"def (test_\w+)\(", text)}
    assert all(row.tests for row in rows())
    assert {row.number: row.tests - defined for row in rows() if row.tests - defined} == {}


def test_no_test_of_a_reality_is_missing_from_its_row() -> None:
    told = {row.number: row.tests for row in rows()}
    texts = [*sources("scenario", "test_realities_*.py"), *sources("contract", "test_pancake_over_http.py")]
    # What is above 41 is FolkForm's.
    found = [(int(n), name) for text in texts for name, n in NUMBERED.findall(text) if int(n) in told]
    assert len(found) > 70
    assert [name for number, name in found if name not in told[number]] == []


def test_every_option_verb_and_fault_of_pancake_is_explained() -> None:
    explained = (DOCS / "SIMULATORS.md").read_text()
    named = options() | verbs() | set(get_args(Action))
    assert sorted(name for name in named if f"`{name}`" not in explained) == []


def test_every_rare_content_is_asked_for_by_a_row() -> None:
    asked = frozenset[str]().union(*(row.switches for row in rows()))
    assert sorted(set(oddities.EVERY) - asked) == []
