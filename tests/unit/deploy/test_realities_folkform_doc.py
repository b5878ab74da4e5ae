"""docs/REALITIES_FOLKFORM.md: every reality has a switch that is there and a story that is told."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from connector.simulator.faults import Action
from connector.simulator.options import FolkFormOptions

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "REALITIES_FOLKFORM.md").read_text("utf-8")
ROWS = re.findall(r"^\| (\d+) .*? \| (.*?) \| .*? \| (.*?) \|$", PAGE, re.MULTILINE)
VERBS = {"agent", "login", "clear"}


def _stories() -> set[str]:
    tree = ast.parse((ROOT / "tests" / "scenario" / "test_realities_folkform.py").read_text("utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


def test_each_of_the_nineteen_realities_has_one_row() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(42, 61))


def test_every_story_stands_in_the_row_of_its_reality_and_nowhere_else() -> None:
    named = [(number, name) for number, _, tests in ROWS for name in re.findall(r"`(\w+)`", tests)]
    assert {name for _, name in named} == _stories()
    assert len(named) == len(_stories())
    assert all(name.startswith(f"test_{number}_") for number, name in named)


def test_every_switch_is_there() -> None:
    known = {field.name for field in fields(FolkFormOptions)} | VERBS
    actions = {action.upper() for action in get_args(Action)}
    for number, switches, _ in ROWS:
        given = re.findall(r"`(\w+)`", switches)
        faults = re.findall(r"\b[A-Z]{3,}\b", switches)
        assert given or faults or switches == "always there", number
        assert set(given) <= known, number
        assert set(faults) <= actions, number
