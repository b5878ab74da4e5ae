"""The engine on fakes, and nothing left running behind a story."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.fakes.delivery import Delivery, Size


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
