"""
A role that kills itself at a named point between two effects.

``python -m tests.integration.dying <point> <count>``: the process runs as the command would, and the
``count``-th time it comes to the point it dies as by ``kill -9``. The points are places in the ports
of the composition root: the program itself knows nothing of them.
"""

import asyncio
import dataclasses
import enum
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import KafkaError, TopicPartition

from connector.app import Base, base, build_poller, build_sink
from connector.http.client import Answer, HttpClient, Request
from connector.kafka.config import consumer_config, producer_config
from connector.kafka.consumer import KafkaConsumer
from connector.kafka.producer import Outgoing, ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.model import Partition, Position
from connector.settings import load
from connector.telemetry import set_up_logs

T = TypeVar("T")


class Point(enum.StrEnum):
    """Every place between two effects, by role."""

    POLL_BEFORE_CALL = "poll: before a call to Pancake"
    POLL_AFTER_CALL = "poll: answer received, nothing published"
    POLL_BEFORE_EVENTS = "poll: before the events are produced"
    POLL_HALF_OF_EVENTS = "poll: half of the events acknowledged"
    POLL_EVENTS_SENT = "poll: events produced, not acknowledged"
    POLL_EVENTS_ACKED = "poll: events acknowledged, no cursor"
    POLL_CURSOR_SENT = "poll: cursor produced, not acknowledged"
    POLL_CURSOR_ACKED = "poll: cursor acknowledged"
    POLL_LETTER_SENT = "poll: dead letter produced, not acknowledged"
    POLL_LETTER_ACKED = "poll: dead letter acknowledged, no cursor"
    SINK_BEFORE_UPSERT = "sink: before an upsert"
    SINK_AFTER_UPSERT = "sink: upsert done, offset not stored"
    SINK_BEFORE_LETTER = "sink: before a dead letter is produced"
    SINK_LETTER_SENT = "sink: dead letter produced, not acknowledged"
    SINK_LETTER_ACKED = "sink: dead letter acknowledged, offset not stored"
    SINK_BEFORE_STORE = "sink: before an offset is stored"
    SINK_STORED = "sink: offset stored, not committed"
    SINK_COMMITTED = "sink: offset committed"
    SINK_REVOKED = "sink: drained on revoke, not handed over"

    @property
    def role(self) -> str:
        return self.value.split(":")[0]


class Fate:
    """Counts how often its point is met."""

    def __init__(self, point: Point, count: int) -> None:
        self._point, self._left = point, count

    def meets(self, point: Point | None) -> None:
        """Die here when it is time."""
        if point is self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def awaits(self, point: Point) -> bool:
        return point is self._point


class DyingClient(HttpClient):
    """An HttpClient with a point before and behind each call."""

    def __init__(self, inner: HttpClient, fate: Fate, before: Point, after: Point) -> None:
        self._inner, self._fate, self._before, self._after = inner, fate, before, after

    async def call(
        self, request: Request, judge: Callable[[Answer], T], leaving: asyncio.Event | None = None
    ) -> T:
        self._fate.meets(self._before)
        answer = await self._inner.call(request, judge, leaving)
        self._fate.meets(self._after)
        return answer


@dataclasses.dataclass(frozen=True)
class Points:
    """Around the delivery of one kind of record."""

    before: Point | None = None
    half: Point | None = None
    sent: Point | None = None
    acked: Point | None = None


class DyingProducer(ProducerThread):
    """A ProducerThread with points around each delivery, by topic."""

    def __init__(self, config: Mapping[str, Any], fate: Fate, points: Mapping[str, Points]) -> None:
        super().__init__(config)
        self._fate, self._points = fate, points

    async def deliver(self, records: Sequence[Outgoing]) -> list[int]:
        points = self._points.get(records[0].topic, Points()) if records else Points()
        self._fate.meets(points.before)
        if points.half and self._fate.awaits(points.half) and len(records) > 1:
            await super().deliver(records[: len(records) // 2])
            self._fate.meets(points.half)
        delivery = asyncio.ensure_future(super().deliver(records))
        # The producer's own thread has them by now, or it has not: both are part of the point.
        await asyncio.sleep(0)
        self._fate.meets(points.sent)
        offsets = await delivery
        self._fate.meets(points.acked)
        return offsets


class DyingConsumer(KafkaConsumer):
    """A KafkaConsumer with points around the store and the commit."""

    def __init__(self, config: Mapping[str, Any], topics: Sequence[str], fate: Fate) -> None:
        super().__init__(config, topics)
        self._fate = fate
        self._stored = False

    def _store(self, positions: Mapping[Partition, int | Position]) -> None:
        if positions:
            self._fate.meets(Point.SINK_BEFORE_STORE)
        super()._store(positions)
        self._stored = self._stored or bool(positions)
        if positions:
            self._fate.meets(Point.SINK_STORED)

    def _on_commit(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        super()._on_commit(error, positions)
        if error is None and self._stored and positions:
            self._fate.meets(Point.SINK_COMMITTED)

    def _ask(self, question: Any) -> Any:
        answer = super()._ask(question)
        if isinstance(answer, dict) and answer:
            self._fate.meets(Point.SINK_REVOKED)
        return answer


def _doomed(parts: Base, fate: Fate, before: Point, after: Point, points: Mapping[str, Points]) -> Base:
    producer = DyingProducer(producer_config(parts.settings.kafka), fate, points)
    return dataclasses.replace(
        parts,
        client=DyingClient(parts.client, fate, before, after),
        publisher=KafkaPublisher(producer, parts.topics, parts.partitions, parts.clock),
    )


async def poll(fate: Fate) -> None:
    async with base(load()) as parts:
        events = Points(
            Point.POLL_BEFORE_EVENTS,
            Point.POLL_HALF_OF_EVENTS,
            Point.POLL_EVENTS_SENT,
            Point.POLL_EVENTS_ACKED,
        )
        points = {
            parts.topics.conversations: events,
            parts.topics.messages: events,
            parts.topics.cursors: Points(sent=Point.POLL_CURSOR_SENT, acked=Point.POLL_CURSOR_ACKED),
            parts.topics.dead_letters: Points(sent=Point.POLL_LETTER_SENT, acked=Point.POLL_LETTER_ACKED),
        }
        doomed = _doomed(parts, fate, Point.POLL_BEFORE_CALL, Point.POLL_AFTER_CALL, points)
        await build_poller(doomed, once=True).run(asyncio.Event(), once=True)


async def sink(fate: Fate) -> None:
    async with base(load()) as parts:
        points = {
            parts.topics.dead_letters: Points(
                Point.SINK_BEFORE_LETTER, None, Point.SINK_LETTER_SENT, Point.SINK_LETTER_ACKED
            )
        }
        doomed = _doomed(parts, fate, Point.SINK_BEFORE_UPSERT, Point.SINK_AFTER_UPSERT, points)
        config = consumer_config(parts.settings.kafka, parts.topics.sink_group, role="sink", ends=True)
        consumer = DyingConsumer(config, [parts.topics.conversations, parts.topics.messages], fate)
        await build_sink(doomed, consumer).run(asyncio.Event(), once=True)


def main() -> None:
    point, count = Point(sys.argv[1]), int(sys.argv[2])
    set_up_logs(form="json", level="info")
    role = poll if point.role == "poll" else sink
    asyncio.run(role(Fate(point, count)))


if __name__ == "__main__":
    main()
