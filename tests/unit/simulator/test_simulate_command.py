"""``connector simulate``: what a person, or another process, starts."""

import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from connector.cli.simulate import simulate

COMMAND = [sys.executable, "-c", "from connector.cli.simulate import simulate; simulate()"]


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["pancake", "--conversations", "2", "--messages", "production"], signal.SIGINT),
        (
            ["pancake", "--as-observed", "--odd", "all", "--set", "read_lag=2", "--set", "cursor_moved=stay"],
            signal.SIGTERM,
        ),
        (["folkform", "--rate", "off", "--latency", "0.01-0.02"], signal.SIGTERM),
    ],
)
def test_it_says_where_it_listens_and_ends_cleanly(arguments: list[str], number: signal.Signals) -> None:
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        base = line.split()[-1].removesuffix("/api")
        with urllib.request.urlopen(base + "/_sim/status") as answer:  # noqa: S310
            assert arguments[0].encode() in answer.read()
        os.kill(process.pid, number)
        assert process.wait() == 0


@pytest.mark.parametrize(
    "arguments",
    [["folkform", "--rate", "many"], ["folkform", "--latency", "x"], ["pancake", "--messages", "x"],
     ["pancake", "--rate", "5/60s"], ["pancake", "--set", "no_such=1"], ["pancake", "--set", "read_lag"],
     ["pancake", "--odd", "no_such"]],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name_with_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 2
    assert arguments[1] in result.output


@pytest.mark.parametrize("name", ["pancake", "folkform"])
def test_every_help_has_an_example(name: str) -> None:
    assert f"Example:  connector simulate {name}" in CliRunner().invoke(simulate, [name, "--help"]).output
