"""Bounded retries for the few calls that no loop of the engine repeats."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from connector.clock import Clock
from connector.errors import RetryableError

T = TypeVar("T")


async def persistently(call: Callable[[], Awaitable[T]], clock: Clock, *, attempts: int = 4) -> T:
    """Return what ``call`` returns, trying again on RetryableError; the last one is raised as it is."""
    retrying = AsyncRetrying(
        sleep=clock.sleep,
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.3, max=10.0),
        retry=retry_if_exception_type(RetryableError),
        reraise=True,
    )

    async def attempt() -> T:
        # Tenacity awaits only what is a coroutine function itself, not a lambda that returns one.
        return await call()

    return await retrying(attempt)
