"""What a person at the shell meets: help with an example, a clear error, an exit code that tells."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from connector.__main__ import cli
from tests.services.processes import ManagedProcess

NOWHERE = {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "CONNECTOR_LOG__FORMAT": "json"}


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(every_command(cli)), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...]) -> None:
    told = CliRunner().invoke(cli, [*path, "--help"])
    assert told.exit_code == 0
    assert "Example" in told.output
    assert f"connector {' '.join(path)}" in told.output.split("Example")[1]


def test_the_first_commands_are_there() -> None:
    assert {("poll",), ("sink",), ("demo",), ("topics", "create"), ("topics", "check")} <= set(
        every_command(cli)
    )


def test_wrong_usage_ends_with_two(tmp_path: Path) -> None:
    with ManagedProcess.connector("poll", "--twice", folder=tmp_path) as process:
        assert process.wait(30) == 2
    assert "No such option" in process.text()


def test_a_wrong_setting_ends_with_two_and_names_it(tmp_path: Path) -> None:
    env = {"CONNECTOR_SINK__LANES": "many", "CONNECTOR_FOLKFORM__TOKEN": "CANARY"}
    with ManagedProcess.connector("sink", folder=tmp_path, env=env) as process:
        assert process.wait(30) == 2
    assert "CONNECTOR_SINK__LANES" in process.text()
    assert "Traceback" not in process.text()
    assert "CANARY" not in process.text()


def test_a_broker_that_is_not_there_ends_with_four(tmp_path: Path) -> None:
    with ManagedProcess.connector("sink", folder=tmp_path, env=NOWHERE) as process:
        assert process.wait(60) == 4
    assert "advice" in process.text()
    assert "Traceback" not in process.text()
