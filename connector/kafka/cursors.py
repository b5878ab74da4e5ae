"""The CursorStore port: a compacted topic, read back on take-over."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from connector.clock import Clock, Deadline
from connector.codec import UndecodableError, decode_cursor
from connector.errors import UnavailableError
from connector.kafka.claims import ClaimWatch
from connector.kafka.faults import reaction
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.thread import ClientThread
from connector.model import CursorRecord

STALL_SECONDS = 30.0  # a load may last as long as it likes, if something comes
SAY_SECONDS = 5.0
LOADS = 2  # at once: each holds what it has read, and twelve would hold it twelve times

log = structlog.get_logger("connector.kafka")


class KafkaCursors:
    """
    Reads a cursor partition up to a record of our own.

    The claim is written first: once it is met while reading, everything that was acknowledged before
    the take-over has been read too, and its offset orders the owners of the partition.
    """

    def __init__(
        self, config: Mapping[str, Any], topic: str, publisher: KafkaPublisher, clock: Clock
    ) -> None:
        self._config = dict(config)
        self._topic = topic
        self._publisher = publisher
        self._clock = clock
        self._watch = ClaimWatch(config, topic, publisher.owner)
        self._places = asyncio.Semaphore(LOADS)

    async def load(self, partition: int) -> Sequence[CursorRecord]:
        async with self._places:
            claim = await self._publisher.claim(partition)
            self._watch.follow(partition, claim)
            thread = ClientThread(f"kafka-cursors-{partition}")
            try:
                return await thread.run(lambda: self._read(partition, claim))
            except KafkaException as problem:
                raise reaction(problem.args[0], f"reading {self._topic}[{partition}]") from None
            finally:
                thread.stop()

    def held(self) -> Collection[int]:
        return self._watch.held

    async def catch_up(self) -> None:
        await self._watch.catch_up()

    def release(self, partition: int) -> None:
        self._watch.release(partition)

    async def close(self) -> None:
        await self._watch.close()

    def _read(self, partition: int, claim: int) -> Sequence[CursorRecord]:
        newest: dict[bytes, bytes | None] = {}
        reader = Consumer(self._config)
        try:
            reader.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING)])
            stall, said = (Deadline.after(self._clock, wait) for wait in (STALL_SECONDS, SAY_SECONDS))
            while (read := _take(reader, claim, newest)) is not None:
                if read:
                    stall = Deadline.after(self._clock, STALL_SECONDS)
                elif not stall.left():
                    raise UnavailableError(
                        f"reading {self._topic}[{partition}]: nothing came for {STALL_SECONDS:.0f} s"
                    )
                if not said.left():
                    log.info("cursors read", partition=partition, keys=len(newest), upto=claim)
                    said = Deadline.after(self._clock, SAY_SECONDS)
        finally:
            reader.close()
        return list(_decoded(newest))


def _take(reader: Consumer, claim: int, newest: dict[bytes, bytes | None]) -> int | None:
    """Read on and return how many records that brought; None once the claim was met."""
    messages = reader.consume(1000, 0.2)
    for message in messages:
        if (error := message.error()) is not None:
            raise KafkaException(error)
        newest[message.key() or b""] = message.value()
        if (message.offset() or 0) >= claim:
            return None
    return len(messages)


def _decoded(newest: dict[bytes, bytes | None]) -> Iterator[CursorRecord]:
    """What the values say; each is let go as soon as it is read, so that both are never held at once."""
    while newest:
        _, value = newest.popitem()
        if value is None:
            continue
        try:
            cursor = decode_cursor(value)
        except UndecodableError as problem:
            # Forgetting a cursor costs reading again, never a gap.
            log.error("cursor unreadable, reading from the start", problem=str(problem))
            continue
        if cursor.page_id:
            yield cursor
