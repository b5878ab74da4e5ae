"""One broker, seen from a contract's exam: the fake, or a real Kafka."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined]

from connector.clock import SystemClock
from connector.kafka.config import Topics, consumer_config, producer_config, reader_config
from connector.kafka.consumer import KafkaConsumer
from connector.kafka.cursors import KafkaCursors
from connector.kafka.producer import Outgoing, ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.topics import create
from connector.model import Partition, Polled, Position, Record, Turn
from connector.ports import Consumer as ConsumerPort
from connector.ports import CursorStore, DeadLetters, Notices, Publisher
from connector.settings import KafkaSettings
from tests.fakes.broker import FakeBroker, FakeConsumer, FakePublisher
from tests.fakes.clock import FakeClock
from tests.services.kafka import KafkaBroker

PARTITIONS = 4
POLLS = 600


@dataclass(frozen=True, slots=True)
class Lying:
    """A record as it lies in its topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Poster(Publisher, Notices, DeadLetters, Protocol):
    """All ports of whoever writes."""


class Side(Protocol):
    """What an exam may ask of a broker, ours or theirs."""

    topics: Topics

    def consumer(self, *, ends: bool = False, from_end: bool = False) -> ConsumerPort:
        """A new member of the sinks' group, on the topic of messages alone."""
        ...

    def poster(self) -> tuple[Poster, CursorStore]:
        """A new process' way to write, and to load cursors."""
        ...

    async def put(self, partition: Partition, key: bytes | None, value: bytes | None) -> int:
        """Write any bytes; return their offset."""
        ...

    async def lying(self, topic: str) -> Sequence[Lying]:
        """All records of a topic, partition by partition."""
        ...

    async def committed(self, partition: Partition) -> int | None:
        """What the sinks' group has committed."""
        ...

    async def cut(self, partition: Partition, before: int) -> None:
        """Delete the records below an offset."""
        ...

    def silence(self, consumer: ConsumerPort) -> None:
        """Make the broker miss a member; with a real one it is enough not to poll."""
        ...

    async def close(self) -> None: ...


class FakeSide:
    """The broker in memory."""

    def __init__(self) -> None:
        self.broker = FakeBroker(FakeClock(auto=True), partitions=PARTITIONS)
        self.topics = self.broker.topics
        self._posters = 0

    def consumer(self, *, ends: bool = False, from_end: bool = False) -> ConsumerPort:
        topics = self.topics
        return FakeConsumer(self.broker, topics.sink_group, [topics.messages], ends=ends, from_end=from_end)

    def poster(self) -> tuple[Poster, CursorStore]:
        self._posters += 1
        publisher = FakePublisher(self.broker, owner=f"poster {self._posters}")
        return publisher, publisher

    async def put(self, partition: Partition, key: bytes | None, value: bytes | None) -> int:
        return self.broker.append(partition, key, value)

    async def lying(self, topic: str) -> Sequence[Lying]:
        return [
            Lying(partition.number, offset, stored.key, stored.value)
            for partition in self.broker.partitions(topic)
            for offset, stored in enumerate(self.broker.logs[partition])
        ]

    async def committed(self, partition: Partition) -> int | None:
        return self.broker.group(self.topics.sink_group, [self.topics.messages]).committed.get(partition)

    async def cut(self, partition: Partition, before: int) -> None:
        self.broker.begins[partition] = before

    def silence(self, consumer: ConsumerPort) -> None:
        assert isinstance(consumer, FakeConsumer)
        consumer.expel()

    async def close(self) -> None:
        pass


class KafkaSide:
    """A real broker, with topics that nobody else uses."""

    def __init__(
        self, kafka: KafkaBroker, prefix: str, protocol: Literal["classic", "consumer"] = "classic"
    ) -> None:
        self.topics = Topics(prefix)
        self._settings = KafkaSettings(
            bootstrap_servers=kafka.bootstrap,
            topic_prefix=prefix,
            partitions=PARTITIONS,
            group_protocol=protocol,
        )
        self._producers: list[ProducerThread] = []
        self._cursors: list[KafkaCursors] = []
        self._admin = kafka.admin()

    async def open(self) -> "KafkaSide":
        await create(self._settings, self.topics)
        self._producer()
        return self

    def consumer(self, *, ends: bool = False, from_end: bool = False) -> ConsumerPort:
        config = consumer_config(self._settings, self.topics.sink_group, role="test", ends=ends)
        # Who does not poll is thrown out soon, so that an exam can wait for it.
        quick: dict[str, Any] = {"max.poll.interval.ms": 2_500}
        if self._settings.group_protocol == "classic":
            quick |= {"session.timeout.ms": 2_000, "heartbeat.interval.ms": 200}
        return KafkaConsumer({**config, **quick}, [self.topics.messages], from_end=from_end)

    def poster(self) -> tuple[Poster, CursorStore]:
        publisher = KafkaPublisher(
            self._producer(),
            self.topics,
            dict.fromkeys(
                (
                    self.topics.conversations,
                    self.topics.messages,
                    self.topics.pages,
                    self.topics.cursors,
                    self.topics.dead_letters,
                ),
                PARTITIONS,
            ),
            SystemClock(),
        )
        config = reader_config(self._settings, self.topics)
        self._cursors.append(KafkaCursors(config, self.topics.cursors, publisher, SystemClock()))
        return publisher, self._cursors[-1]

    async def put(self, partition: Partition, key: bytes | None, value: bytes | None) -> int:
        outgoing: Any = Outgoing(partition.topic, partition.number, key, value)  # type: ignore[arg-type]
        return (await self._producers[0].deliver([outgoing]))[0]

    async def lying(self, topic: str) -> Sequence[Lying]:
        return await asyncio.to_thread(self._lying, topic)

    async def committed(self, partition: Partition) -> int | None:
        return await asyncio.to_thread(self._committed, partition)

    async def cut(self, partition: Partition, before: int) -> None:
        await asyncio.to_thread(self._cut, partition, before)

    def silence(self, consumer: ConsumerPort) -> None:
        pass

    async def close(self) -> None:
        for cursors in self._cursors:
            await cursors.close()
        for producer in self._producers:
            await producer.close(5.0)

    def _producer(self) -> ProducerThread:
        self._producers.append(ProducerThread(producer_config(self._settings)))
        return self._producers[-1]

    def _cut(self, partition: Partition, before: int) -> None:
        # Kafka deletes nothing from a topic that is only compacted.
        entry = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ConfigResource.Type.TOPIC, partition.topic, incremental_configs=[entry])
        self._admin.incremental_alter_configs([topic])[topic].result(30)
        wanted = TopicPartition(partition.topic, partition.number, before)
        self._admin.delete_records([wanted])[wanted].result(30)

    def _lying(self, topic: str) -> list[Lying]:
        reader = Consumer({**reader_config(self._settings, self.topics), "enable.partition.eof": True})
        found: list[Lying] = []
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        ends = 0
        while ends < PARTITIONS:
            message = reader.poll(10.0)
            assert message is not None, f"no end of {topic}"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error  # noqa: SLF001
                ends += 1
                continue
            number, offset = message.partition(), message.offset()
            assert number is not None
            assert offset is not None
            found.append(Lying(number, offset, message.key(), message.value()))
        reader.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def _committed(self, partition: Partition) -> int | None:
        asking = Consumer({**reader_config(self._settings, self.topics), "group.id": self.topics.sink_group})
        (found,) = asking.committed([TopicPartition(partition.topic, partition.number)], timeout=10)
        asking.close()
        return found.offset if found.offset >= 0 else None


class Member:
    """A consumer with a listener that writes down what it is told, and whether it was inside a call."""

    def __init__(self, consumer: ConsumerPort) -> None:
        self.consumer = consumer
        self.owned: set[Partition] = set()
        self.told: list[tuple[str, frozenset[Partition]]] = []
        self.outside: list[str] = []
        self.records: list[Record] = []
        self.ends: dict[Partition, int] = {}
        self.committed: dict[Partition, Position] = {}
        self.hand_over: dict[Partition, int | Position] = {}
        self._inside = False

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        self._note("assigned", partitions)
        self.owned |= set(partitions)

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, int | Position]:
        self._note("revoked", partitions)
        self.owned -= set(partitions)
        return {p: offset for p, offset in self.hand_over.items() if p in partitions}

    async def lost(self, partitions: Sequence[Partition]) -> None:
        self._note("lost", partitions)
        self.owned -= set(partitions)

    async def start(self) -> "Member":
        await self.consumer.start(self)
        return self

    async def poll(self, turn: Turn | None = None) -> Polled:
        self._inside = True
        polled = await self.consumer.poll(turn or Turn())
        self._inside = False
        assert {record.partition for record in polled.records} <= self.owned
        self.records += polled.records
        self.ends |= polled.ends
        self.committed |= polled.committed
        return polled

    async def close(self) -> None:
        self._inside = True
        await self.consumer.close()
        self._inside = False

    def offsets(self, partition: Partition) -> list[int]:
        return [record.offset for record in self.records if record.partition == partition]

    def _note(self, change: str, partitions: Sequence[Partition]) -> None:
        self.told.append((change, frozenset(partitions)))
        if not self._inside:
            self.outside.append(change)


async def together(*members: Member, until: Any) -> None:
    """Let all of them poll until something holds."""
    for _ in range(POLLS):
        if until():
            return
        await asyncio.gather(*(member.poll() for member in members))
    raise AssertionError(f"not within {POLLS} polls: {[member.told for member in members]}")
