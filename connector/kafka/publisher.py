"""The Publisher and DeadLetters ports: every record is acknowledged before anybody goes on."""

import asyncio
import queue
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connector.clock import Clock
from connector.codec import (
    cursor_key,
    encode_cursor,
    encode_dead_letter,
    encode_event,
    encode_hint,
    encode_page,
    encode_status,
    event_key,
    hint_key,
    status_key,
)
from connector.errors import ConnectorError, ContractError, UnavailableError
from connector.kafka.config import Topics
from connector.kafka.faults import reaction
from connector.kafka.partitioner import partition_of
from connector.model import CursorRecord, DeadLetter, Event, Kind, Page, PageStatus

log = structlog.get_logger("connector.kafka")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to produce."""

    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(slots=True)
class Delivery:
    """Records that are acknowledged together, or not at all as far as the caller is concerned."""

    records: Sequence[Outgoing]
    future: asyncio.Future[list[int]]
    loop: asyncio.AbstractEventLoop
    left: int
    offsets: list[int] = field(default_factory=list)
    problem: KafkaError | None = None

    def settle(self, error: KafkaError | None, offset: int) -> None:
        """Count one delivery report; the last one answers the caller."""
        self.left -= 1
        self.problem = self.problem or error
        self.offsets.append(offset)
        if self.left == 0:
            self.loop.call_soon_threadsafe(self._answer)

    def abandon(self) -> None:
        """Answer the caller although not all reports came: the thread that would bring them has died."""
        self.problem = KafkaError(KafkaError._STATE)
        self.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        if self.future.done():
            return
        if self.problem is None:
            self.future.set_result(self.offsets)
        else:
            self.future.set_exception(_problem(self.problem))


def _problem(error: KafkaError) -> ConnectorError:
    if error.code() == KafkaError._FATAL:
        # An idempotent producer in this state is replaced; the records go again with the same content.
        return UnavailableError("producing: the producer had to be replaced")
    return reaction(error, "producing")


class ProducerThread:
    """One producer, owned by one thread, that takes deliveries from any task and answers each when acked."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._inbox: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._outstanding = 0
        self._unsettled: list[Delivery] = []
        self._replace = False
        self._client = Producer(self._config)
        self._thread = threading.Thread(target=self._work, name="kafka-producer", daemon=True)
        self._thread.start()

    async def deliver(self, records: Sequence[Outgoing]) -> list[int]:
        """
        Return the offsets once the broker has acknowledged all records.

        Raises:
            UnavailableError: at least one was not acknowledged within the delivery timeout.
            FatalError: the topic is gone or we may not write to it.
        """
        if not records:
            return []
        loop = asyncio.get_running_loop()
        delivery = Delivery(records, loop.create_future(), loop, len(records))
        if not self._thread.is_alive():
            raise ContractError(
                "the producer's thread has ended", advice="this is a bug: report its traceback"
            )
        self._inbox.put(delivery)
        return await delivery.future

    async def close(self, within: float) -> None:
        """Return when everything given is settled, or after ``within`` seconds."""
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join, within)

    def _work(self) -> None:
        try:
            self._serve()
        # Nobody else sees this thread end, and whoever waits for it would wait for ever.
        except Exception:
            log.exception("kafka producer thread ended")
            for delivery in self._unsettled:
                delivery.abandon()

    def _serve(self) -> None:
        open_ = True
        while open_ or self._outstanding:
            open_ = self._take(wait=not self._outstanding) and open_
            self._client.poll(0.01 if self._outstanding else 0)
            self._unsettled = [delivery for delivery in self._unsettled if delivery.left]
            if self._replace and not self._outstanding:
                self._client, self._replace = Producer(self._config), False
                log.warning("kafka producer replaced")

    def _take(self, *, wait: bool) -> bool:
        """Enqueue what was given; False when asked to end."""
        try:
            delivery = self._inbox.get(timeout=1.0 if wait else 0.001)
            while delivery is not None:
                self._produce(delivery)
                delivery = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _produce(self, delivery: Delivery) -> None:
        self._unsettled.append(delivery)
        for record in delivery.records:
            self._outstanding += 1
            self._produce_one(record, delivery)

    def _produce_one(self, record: Outgoing, delivery: Delivery) -> None:
        def report(error: KafkaError | None, message: Message | None) -> None:
            self._outstanding -= 1
            if error is not None and error.code() == KafkaError._FATAL:
                self._replace = True
            offset = message.offset() if message is not None and error is None else None
            delivery.settle(error, -1 if offset is None else offset)

        while True:
            try:
                self._client.produce(
                    record.topic, record.value, record.key, partition=record.partition, on_delivery=report
                )
            except BufferError:
                # The local queue is full: nothing is lost, room comes with the reports.
                self._client.poll(0.05)
            except KafkaException as problem:
                report(problem.args[0], None)
                return
            else:
                return


class KafkaPublisher:
    """Events, pages, cursors and dead letters, each on its topic and partition."""

    def __init__(
        self, producer: ProducerThread, topics: Topics, partitions: Mapping[str, int], clock: Clock
    ) -> None:
        """``partitions``: how many each topic has, by name."""
        self._producer = producer
        self._topics = topics
        self._partitions = partitions
        self._clock = clock
        self.owner = uuid.uuid4().hex[:12]

    async def publish(self, events: Sequence[Event]) -> None:
        await self._producer.deliver([self._event(event) for event in events])

    async def announce(self, pages: Sequence[Page]) -> None:
        now = self._clock.epoch_ms()
        await self._producer.deliver(
            [
                self._beside_page(page.id, page.id.encode(), encode_page(page, observed_at=now))
                for page in pages
            ]
        )

    async def hint(self, page_id: str) -> None:
        value = encode_hint(page_id, hinted_at=self._clock.epoch_ms())
        await self._producer.deliver([self._beside_page(page_id, hint_key(page_id), value)])

    async def report(self, statuses: Sequence[PageStatus]) -> None:
        own = [replace(status, owner=self.owner) for status in statuses]
        ids = [status.completeness.page_id for status in own]
        await self._producer.deliver(
            [
                self._beside_page(page_id, status_key(page_id), encode_status(status))
                for page_id, status in zip(ids, own, strict=True)
            ]
        )

    async def save(self, cursors: Sequence[CursorRecord]) -> None:
        await self._producer.deliver([self._cursor(cursor) for cursor in cursors])

    async def claim(self, partition: int) -> int:
        """Write a claim into a cursor partition and return its offset."""
        now = self._clock.epoch_ms()
        value = encode_cursor(CursorRecord("", "", b""), owner=self.owner, saved_at=now)
        claim = Outgoing(self._topics.cursors, partition, b"claim", value)
        return (await self._producer.deliver([claim]))[0]

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        await self._producer.deliver([self._letter(letter) for letter in letters])

    def _event(self, event: Event) -> Outgoing:
        snapshot = event.kind in {Kind.CONVERSATION, Kind.VANISHED}
        topic = self._topics.conversations if snapshot else self._topics.messages
        partition = partition_of(event.conversation_id, self._partitions[topic])
        return Outgoing(topic, partition, event_key(event), encode_event(event))

    def _beside_page(self, page_id: str, key: bytes, value: bytes) -> Outgoing:
        topic = self._topics.pages
        return Outgoing(topic, partition_of(page_id, self._partitions[topic]), key, value)

    def _cursor(self, cursor: CursorRecord) -> Outgoing:
        topic = self._topics.cursors
        return Outgoing(
            topic,
            partition_of(cursor.page_id, self._partitions[topic]),
            cursor_key(cursor),
            encode_cursor(cursor, owner=self.owner, saved_at=self._clock.epoch_ms()),
        )

    def _letter(self, letter: DeadLetter) -> Outgoing:
        topic = self._topics.dead_letters
        count = self._partitions[topic]
        if letter.partition is None:
            number = partition_of(letter.key.decode(errors="replace"), count)
        else:
            number = letter.partition.number % count
        return Outgoing(topic, number, letter.key, encode_dead_letter(letter))
