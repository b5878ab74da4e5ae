"""The Publisher, Notices and DeadLetters ports: every record is acknowledged before anybody goes on."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from connector.kafka.config import Topics
from connector.kafka.partitioner import partition_of
from connector.kafka.producer import Outgoing, ProducerThread
from connector.model import CursorRecord, DeadLetter, Event, Kind, Page, PageStatus


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
