"""Tests wait for conditions, never for time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], T | None], *, timeout: float, what: str) -> T:
    """
    Block until ``condition()`` is true, and return what it gave.

    Raises:
        AssertionError: ``timeout`` seconds have passed; names ``what`` and the last value seen.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise _too_late(what, timeout, value)
        time.sleep(POLL_SECONDS)
    return value


async def wait_until_async(
    condition: Callable[[], T | None] | Callable[[], Awaitable[T | None]],
    *,
    timeout: float,  # noqa: ASYNC109 - the deadline is this function's whole purpose
    what: str,
) -> T:
    """Do as :func:`wait_until` while the event loop runs on; a coroutine function is a condition too."""
    deadline = time.monotonic() + timeout
    while True:
        given = condition()
        value = await given if isinstance(given, Awaitable) else given
        if value:
            return value
        if time.monotonic() >= deadline:
            raise _too_late(what, timeout, value)
        await asyncio.sleep(POLL_SECONDS)


def _too_late(what: str, timeout: float, last: object) -> AssertionError:
    return AssertionError(f"waited {timeout:g} s for {what}; last seen: {last!r}")
