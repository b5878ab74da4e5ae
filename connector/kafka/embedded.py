"""A broker inside this process, for the demo: librdkafka's own mock cluster, speaking TCP on 127.0.0.1."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException, Producer

from connector.errors import UnavailableError
from connector.kafka.config import Topics
from connector.kafka.topics import wanted

ASK_SECONDS = 10.0


class EmbeddedBroker:
    """
    Lives as long as this object: good for a show, not for data.

    Each topic has four partitions and keeps a few megabytes; nothing is compacted, nothing administered.
    """

    def __init__(self) -> None:
        """Raises UnavailableError when it cannot start."""
        with _starting():
            self._owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 2})
            broker = next(iter(self._owner.list_topics(timeout=ASK_SECONDS).brokers.values()))
        self.bootstrap = f"{broker.host}:{broker.port}"

    def create(self, topics: Topics) -> None:
        """Make the topics: the mock creates what it is asked about. Raises UnavailableError."""
        with _starting():
            for name in wanted(topics):
                self._owner.list_topics(name, timeout=ASK_SECONDS)

    def close(self) -> None:
        self._owner.flush(0)


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except KafkaException as problem:
        raise UnavailableError(f"the embedded broker does not start: {problem.args[0].name()}") from None
