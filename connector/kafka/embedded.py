"""A broker inside this process, for the demo: librdkafka's own mock cluster, speaking TCP on 127.0.0.1."""

from confluent_kafka import Producer

from connector.kafka.config import Topics
from connector.kafka.topics import wanted

ASK_SECONDS = 10.0


class EmbeddedBroker:
    """
    Lives as long as this object: good for a show, not for data.

    Each topic has four partitions and keeps a few megabytes; nothing is compacted, nothing administered.
    """

    def __init__(self) -> None:
        self._owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 2})
        broker = next(iter(self._owner.list_topics(timeout=ASK_SECONDS).brokers.values()))
        self.bootstrap = f"{broker.host}:{broker.port}"

    def create(self, topics: Topics) -> None:
        """Make the topics: the mock creates what it is asked about."""
        for name in wanted(topics):
            self._owner.list_topics(name, timeout=ASK_SECONDS)

    def close(self) -> None:
        self._owner.flush(0)
