"""``connector status``: how complete each page is, as its poller wrote it down."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import structlog
from rich.console import Console
from rich.live import Live

from connector.app import Outcome
from connector.cli.process import finish, settings_or_exit
from connector.cli.status_view import lines, table
from connector.clock import SystemClock
from connector.errors import RetryableError
from connector.kafka.config import Topics
from connector.kafka.standing import read_pages
from connector.leaving import unless
from connector.settings import Settings
from connector.status import SILENT_SECONDS, Status, as_json
from connector.status import status as document_of

log = structlog.get_logger("connector.status")
Show = Callable[[Status], None]


@click.command(epilog="Example: connector status --json | jq '.pages[] | select(.state != \"complete\")'")
@click.option("--json", "as_object", is_flag=True, help="One JSON object on one line.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--every", type=click.FloatRange(1.0), default=5.0, show_default=True, help="Seconds, with --watch."
)
@click.pass_obj
def status(config: Path | None, *, as_object: bool, watch: bool, every: float) -> None:
    """
    How complete each page is: proved until when, holes, back-fill, reconcile, parked pages.

    Exit code 3 when something is left out or nobody reports a page, 4 when Kafka cannot be reached.
    """
    settings = settings_or_exit(config)

    async def run() -> Outcome:
        with screen(as_object=as_object, watch=watch) as show:
            document = await _look(settings)
            show(document)
            if watch:
                document = await _watch(settings, document, show, every)
        return Outcome(document.left_out)

    finish(run)


async def _look(settings: Settings) -> Status:
    clock = SystemClock()
    pages = await read_pages(settings.kafka, Topics(settings.kafka.topic_prefix), clock)
    silent_after = max(SILENT_SECONDS, 3 * settings.poller.interval_max)
    return document_of(pages, now=clock.epoch_ms(), silent_after=silent_after)


async def _watch(settings: Settings, document: Status, show: Show, every: float) -> Status:
    """Look again until asked to stop; the last document seen."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    while await unless(stop, asyncio.sleep(every)):
        try:
            document = await _look(settings)
        except RetryableError as problem:
            log.warning("status not read", problem=str(problem))
        else:
            show(document)
    return document


@contextmanager
def screen(*, as_object: bool, watch: bool) -> Iterator[Show]:
    """Where documents are shown: as a table that stays in its place, as lines, or as JSON."""
    if as_object:
        yield lambda document: click.echo(as_json(document))
    elif not sys.stdout.isatty():
        yield lambda document: click.echo("\n".join(lines(document)))
    elif not watch:
        yield lambda document: Console().print(table(document))
    else:
        with Live(auto_refresh=False) as live:
            yield lambda document: live.update(table(document), refresh=True)
