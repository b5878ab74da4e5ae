"""The CursorStore port: a compacted topic, read back on take-over."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from connector.clock import Clock, Deadline
from connector.codec import UndecodableError, decode_cursor
from connector.errors import UnavailableError
from connector.kafka.faults import reaction
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.thread import ClientThread
from connector.model import CursorRecord

LOAD_SECONDS = 120.0

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

    async def load(self, partition: int) -> Sequence[CursorRecord]:
        claim = await self._publisher.claim(partition)
        thread = ClientThread(f"kafka-cursors-{partition}")
        try:
            return await thread.run(lambda: self._read(partition, claim))
        except KafkaException as problem:
            raise reaction(problem.args[0], f"reading {self._topic}[{partition}]") from None
        finally:
            thread.stop()

    def _read(self, partition: int, claim: int) -> Sequence[CursorRecord]:
        newest: dict[bytes, bytes | None] = {}
        reader = Consumer(self._config)
        try:
            reader.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING)])
            deadline = Deadline.after(self._clock, LOAD_SECONDS)
            while not self._take(reader, claim, newest):
                if not deadline.left():
                    raise UnavailableError(
                        f"reading {self._topic}[{partition}] took over {LOAD_SECONDS:.0f} s"
                    )
        finally:
            reader.close()
        return [cursor for value in newest.values() if (cursor := _decoded(value))]

    def _take(self, reader: Consumer, claim: int, newest: dict[bytes, bytes | None]) -> bool:
        """Read on; True once the claim was met."""
        for message in reader.consume(1000, 0.2):
            if (error := message.error()) is not None:
                raise KafkaException(error)
            newest[message.key() or b""] = message.value()
            if (message.offset() or 0) >= claim:
                return True
        return False


def _decoded(value: bytes | None) -> CursorRecord | None:
    if value is None:
        return None
    try:
        cursor = decode_cursor(value)
    except UndecodableError as problem:
        # Forgetting a cursor costs reading again, never a gap.
        log.error("cursor unreadable, reading from the start", problem=str(problem))
        return None
    return cursor if cursor.page_id else None
