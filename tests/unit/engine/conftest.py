"""The engine on fakes, and nothing left running behind a story."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.fakes.delivery import Delivery, Size
from tests.fakes.polling import Polling


@pytest.fixture
async def deliver() -> AsyncIterator[Callable[..., Delivery]]:
    """Builds the sink's side; by default one partition per topic."""
    async with AsyncExitStack() as stack:

        def build(*, partitions: int = 1, **size: float) -> Delivery:
            delivery = Delivery(partitions=partitions, size=Size(**size))  # type: ignore[arg-type]
            stack.push_async_callback(delivery.close)
            return delivery

        yield build


@pytest.fixture
def delivery(deliver: Callable[..., Delivery]) -> Delivery:
    return deliver()


@pytest.fixture
async def poll() -> AsyncIterator[Callable[..., Polling]]:
    """Builds the poller's side: page ids and how many calls each needs."""
    async with AsyncExitStack() as stack:

        def build(*, partitions: int = 1, lanes: int = 2, drain: float = 30.0, **pages: int) -> Polling:
            polling = Polling(pages, partitions=partitions, lanes=lanes, drain=drain)
            stack.push_async_callback(polling.close)
            return polling

        yield build


@pytest.fixture
def leaving() -> asyncio.Event:
    return asyncio.Event()
