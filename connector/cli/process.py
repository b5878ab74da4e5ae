"""
How a command begins and ends.

Exit codes: 0 done, 1 a bug, 2 wrong usage or settings, 3 done but something was left out, 4 a service
cannot be reached or refuses the credentials.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from connector.app import Outcome
from connector.errors import ConfigError, ConnectorError, FatalError
from connector.settings import Settings, load, log_format
from connector.telemetry import set_up_logs

log = structlog.get_logger("connector")


def settings_or_exit(config: Path | None) -> Settings:
    """The settings, with logs set up by them; ends the process with 2 when they are wrong."""
    try:
        settings = load(config)
    except ConfigError as problem:
        set_up_logs(form="console", level="info")
        _complain(problem)
        sys.exit(2)
    set_up_logs(form=log_format(settings.log), level=settings.log.level)
    return settings


def finish(run: Callable[[], Coroutine[Any, Any, Outcome]]) -> None:
    """Run to the end, say how it went, and end the process with the code for it."""
    try:
        outcome = asyncio.run(run())
    except ConfigError as problem:
        _complain(problem)
        sys.exit(2)
    except ConnectorError as problem:
        _complain(problem)
        sys.exit(4)
    if outcome.left_out:
        log.warning(
            "done, but something was left out", count=outcome.left_out, see="dead letters and warnings"
        )
        sys.exit(3)


def _complain(problem: ConnectorError) -> None:
    advice = problem.advice if isinstance(problem, FatalError) else "check that it runs and can be reached"
    log.error(str(problem), advice=advice)
