"""The commands."""

import importlib
from pathlib import Path

import click

from connector import __version__
from connector.app import run_poller, run_sink
from connector.cli.process import finish, settings_or_exit

# Loaded when asked for: most of a process's life they are not needed.
LAZY = {
    "demo": "connector.cli.demo:demo",
    "simulate": "connector.cli.simulate:simulate",
    "status": "connector.cli.status:status",
    "topics": "connector.cli.topics:topics",
}


class Commands(click.Group):
    """The commands written below, and those in ``connector.cli``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        module, name = LAZY[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="YAML file, under the environment."
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Move Pancake's conversations and messages through Kafka into FolkForm."""
    ctx.obj = config


@cli.command(epilog="Example: CONNECTOR_PANCAKE__ACCESS_TOKEN_FILE=/run/token connector poll --once")
@click.option("--once", is_flag=True, help="One pass over everything, back-fill included; then exit.")
@click.pass_obj
def poll(config: Path | None, *, once: bool) -> None:
    """Own Pancake pages, publish events, save cursors, until SIGTERM."""
    settings = settings_or_exit(config)
    finish(lambda: run_poller(settings, once=once))


@cli.command(epilog="Example: CONNECTOR_FOLKFORM__TOKEN_FILE=/run/token connector sink --once")
@click.option("--once", is_flag=True, help="Drain to the end offsets met at start; then exit.")
@click.pass_obj
def sink(config: Path | None, *, once: bool) -> None:
    """Own partitions, upsert to FolkForm, commit, until SIGTERM."""
    settings = settings_or_exit(config)
    finish(lambda: run_sink(settings, once=once))


def main() -> None:
    """The ``connector`` command."""
    cli(prog_name="connector")


if __name__ == "__main__":
    main()
