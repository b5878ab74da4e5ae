"""Settings → librdkafka properties: our defaults < the operator's < what the promise needs."""

import os
import socket
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError

from connector.settings import SESSION_MS, KafkaSettings

# An event carries one JSON object; FolkForm takes no body over 10 MB, so nothing larger is worth moving.
MAX_RECORD_BYTES = 12 * 2**20

_CONSUMER_DEFAULTS: dict[str, Any] = {
    # Small prefetch: pausing a partition throws it away (librdkafka#1849), and memory counts.
    "queued.max.messages.kbytes": 8192,
    "queued.min.messages": 1000,
    "fetch.queue.backoff.ms": 100,
    "fetch.wait.max.ms": 100,
    "max.poll.interval.ms": 120_000,
    "isolation.level": "read_committed",
    "check.crcs": True,
    "socket.keepalive.enable": True,
}
_MEMBER_DEFAULTS: dict[str, Any] = {
    # A fetch asks for that much of every partition, compressed, and unpacks five times as much: with
    # the client's 1 MB and 24 partitions, 80 MB lay there before the first record was looked at.
    "fetch.message.max.bytes": 131_072,
    "queued.max.messages.kbytes": 4096,
}
_CLASSIC_DEFAULTS: dict[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": SESSION_MS["classic"],
    "heartbeat.interval.ms": 1_000,
}
_CONSUMER_LOCKED: dict[str, Any] = {
    # An offset is stored by us when the work is done; the client commits what is stored. Explicit
    # commits met REBALANCE_IN_PROGRESS and ILLEGAL_GENERATION; this way none. The interval is also
    # how far a crash loop gets between two crashes.
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 100,
    "enable.auto.offset.store": False,
    # Never jump silently: where to start is resolved by us, and an offset that is gone is an error.
    "auto.offset.reset": "error",
    "allow.auto.create.topics": False,
}
_PRODUCER_DEFAULTS: dict[str, Any] = {
    "compression.type": "zstd",
    "linger.ms": 5,
    "delivery.timeout.ms": 30_000,
    "queue.buffering.max.kbytes": 65_536,
    "queue.buffering.max.messages": 50_000,
    "socket.keepalive.enable": True,
    # librdkafka gives an absent topic 30 s to appear before it tells the producer.
    "topic.metadata.propagation.max.ms": 10_000,
}
_PRODUCER_LOCKED: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    # A dead letter is larger than the record in it; each topic has its own bound.
    "message.max.bytes": 2 * MAX_RECORD_BYTES,
    "partitioner": "murmur2_random",
    "allow.auto.create.topics": False,
}

log = structlog.get_logger("connector.kafka")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics and groups by name, prefix included."""

    prefix: str = ""

    @property
    def conversations(self) -> str:
        return f"{self.prefix}pancake.conversations"

    @property
    def messages(self) -> str:
        return f"{self.prefix}pancake.messages"

    @property
    def pages(self) -> str:
        return f"{self.prefix}pancake.pages"

    @property
    def cursors(self) -> str:
        return f"{self.prefix}pancake.cursors"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}folkform.dead-letters"

    @property
    def poller_group(self) -> str:
        return f"{self.prefix}pancake-pollers"

    @property
    def sink_group(self) -> str:
        return f"{self.prefix}folkform-sink"


def client_config(settings: KafkaSettings, role: str) -> dict[str, Any]:
    """What every client has: where the broker is, and who we are."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": f"connector-{role}-{socket.gethostname()}-{os.getpid()}",
        "error_cb": _on_error,
        # librdkafka's own lines repeat every second while a broker is away; errors reach us above.
        "log_level": 2,
        **settings.config,
    }


def consumer_config(settings: KafkaSettings, group: str, *, role: str, ends: bool) -> dict[str, Any]:
    """A group member; ``ends``: report the end of each partition (for ``--once``)."""
    protocol: dict[str, Any] = {"group.protocol": settings.group_protocol}
    if settings.group_protocol == "classic":
        # KIP-848 refuses these three: there the broker decides.
        protocol |= _CLASSIC_DEFAULTS
    return {
        **_CONSUMER_DEFAULTS,
        **_MEMBER_DEFAULTS,
        **protocol,
        **client_config(settings, role),
        **_CONSUMER_LOCKED,
        "group.id": group,
        "enable.partition.eof": ends,
    }


def reader_config(settings: KafkaSettings, topics: Topics) -> dict[str, Any]:
    """A consumer without a group's duties: it reads a partition from end to end and commits nothing."""
    return {
        **_CONSUMER_DEFAULTS,
        **client_config(settings, "reader"),
        "group.id": f"{topics.prefix}connector-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
    }


def producer_config(settings: KafkaSettings) -> dict[str, Any]:
    """An idempotent producer."""
    return {**_PRODUCER_DEFAULTS, **client_config(settings, "producer"), **_PRODUCER_LOCKED}


def admin_config(settings: KafkaSettings) -> dict[str, Any]:
    return client_config(settings, "admin")


def _on_error(error: KafkaError) -> None:
    # Informational by librdkafka's own word: it goes on trying. What stops a client arrives as a
    # message's error or as an exception, and is handled there.
    log.warning("kafka client", problem=error.name())
