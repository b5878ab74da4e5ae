"""The two that sit the exams of the broker's ports."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.sides import FakeSide, KafkaSide, Side


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """A broker in memory, and a real Kafka."""
    if request.param == "memory":
        yield FakeSide()
        return
    real = KafkaSide(request.getfixturevalue("kafka"), request.getfixturevalue("topic_prefix"))
    yield await real.open()
    await real.close()
