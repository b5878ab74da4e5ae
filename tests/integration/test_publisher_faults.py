"""What becomes of events whose broker or producer fails under them."""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, Producer

from connector.clock import SystemClock
from connector.codec import decode_event
from connector.errors import UnavailableError
from connector.kafka.config import Topics, producer_config
from connector.kafka.producer import ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.settings import KafkaSettings
from tests.fakes.events import message
from tests.fakes.sides import PARTITIONS, KafkaSide
from tests.services.kafka import KafkaBroker

pytestmark = pytest.mark.integration

EVENTS = [message(f"c{n % 5}", f"m{n}", n) for n in range(40)]


class OpenProducer(ProducerThread):
    """One whose client can be reached, to be broken."""

    def fail_for_good(self) -> None:
        """As an idempotent producer whose sequence the broker does not accept any more."""
        code = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
        _librdkafka().rd_kafka_test_fatal_error(_handle(self._client), code, b"broken by a test")


def _librdkafka() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    return ctypes.CDLL(str(next(folder.glob("librdkafka-*"))))


def _handle(client: Producer) -> ctypes.c_void_p:
    # The first field of the binding's object, behind Python's own head.
    return ctypes.c_void_p.from_address(id(client) + object.__basicsize__)


@pytest.fixture
async def side(kafka: KafkaBroker, topic_prefix: str) -> AsyncIterator[KafkaSide]:
    real = await KafkaSide(kafka, topic_prefix).open()
    yield real
    await real.close()


def publisher(kafka: KafkaBroker, topics: Topics, **config: int) -> tuple[OpenProducer, KafkaPublisher]:
    given: dict[str, str | int | float | bool] = {
        name.replace("_", "."): value for name, value in config.items()
    }
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic_prefix=topics.prefix, config=given)
    producer = OpenProducer(producer_config(settings))
    counts = dict.fromkeys((topics.conversations, topics.messages), PARTITIONS)
    return producer, KafkaPublisher(producer, topics, counts, SystemClock())


async def test_events_that_the_broker_may_have_are_published_again_and_are_the_same(
    kafka: KafkaBroker, side: KafkaSide
) -> None:
    if not kafka.ours:
        pytest.skip("the broker is not ours to freeze")
    producer, port = publisher(kafka, side.topics, delivery_timeout_ms=3000, request_timeout_ms=1000)
    await port.publish(EVENTS[:5])
    kafka.freeze()
    try:
        with pytest.raises(UnavailableError):
            await port.publish(EVENTS)
    finally:
        kafka.thaw()
    await port.publish(EVENTS)
    await producer.close(10.0)
    lying = [decode_event(record.value) for record in await side.lying(side.topics.messages)]
    assert set(lying) == set(EVENTS)
    # Twice at most for each try, and every copy is the same, so the newest is as good as the first.
    assert len(lying) <= 5 + 2 * len(EVENTS)


async def test_a_producer_that_is_broken_for_good_is_replaced_and_publishing_goes_on(
    kafka: KafkaBroker, side: KafkaSide
) -> None:
    producer, port = publisher(kafka, side.topics)
    await port.publish(EVENTS[:10])
    producer.fail_for_good()
    with pytest.raises(UnavailableError, match="replaced"):
        await port.publish(EVENTS[10:])
    for _ in range(20):
        try:
            await port.publish(EVENTS[10:])
            break
        except UnavailableError:
            await asyncio.sleep(0.1)
    await producer.close(10.0)
    lying = [decode_event(record.value) for record in await side.lying(side.topics.messages)]
    assert set(lying) == set(EVENTS)
    for name in {event.conversation_id for event in EVENTS}:
        order = [event.observed_at for event in lying if event.conversation_id == name]
        assert order == sorted(order)
