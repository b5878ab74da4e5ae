"""The CursorStore port: a compacted topic, read back on take-over."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from connector.clock import Clock, Deadline
from connector.codec import UndecodableError, cursor_owner, decode_cursor
from connector.errors import UnavailableError
from connector.kafka.claims import CLAIM, ClaimWatch
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
        found = Found()
        reader = Consumer(self._config)
        try:
            reader.assign([TopicPartition(self._topic, partition, OFFSET_BEGINNING)])
            stall, said = (Deadline.after(self._clock, wait) for wait in (STALL_SECONDS, SAY_SECONDS))
            while (read := _take(reader, claim, found)) is not None:
                if read:
                    stall = Deadline.after(self._clock, STALL_SECONDS)
                elif not stall.left():
                    raise UnavailableError(
                        f"reading {self._topic}[{partition}]: nothing came for {STALL_SECONDS:.0f} s"
                    )
                if not said.left():
                    log.info("cursors read", partition=partition, keys=len(found.newest), upto=claim)
                    said = Deadline.after(self._clock, SAY_SECONDS)
        finally:
            reader.close()
        if found.doubted:
            log.warning("cursors saved behind a claim", partition=partition, pages=sorted(found.doubted))
        return list(found.decoded())


@dataclass(slots=True)
class Found:
    """
    The newest value of every key, and the pages of which a record was saved behind another's claim.

    Such a record is true, but it may lie over a newer one that said of its conversation that it is owed;
    and the position of the page stands on that. So the page's own record is not believed: its list is
    walked once more, and what differs from a conversation's record is read.
    """

    newest: dict[bytes, bytes | None] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)
    _holder: str = ""

    def note(self, key: bytes, value: bytes | None) -> None:
        """Take in the next record."""
        self.newest[key] = value
        if key == CLAIM:
            self._claimed(_owner(value))
        elif self._holder:
            self._saved(key, _owner(value))

    def _claimed(self, owner: str) -> None:
        if owner != self._holder:
            # Who takes over has read of the doubt, and begins without the page's record.
            self._told = set(self.doubted)
        self._holder = owner

    def _saved(self, key: bytes, owner: str) -> None:
        page, of_conversation, _ = key.partition(b"\0")
        page_id = page.decode(errors="replace")
        if owner not in ("", self._holder):
            self.doubted.add(page_id)
            self._told.discard(page_id)
        elif owner and not of_conversation and page_id in self._told:
            self.doubted.discard(page_id)

    def decoded(self) -> Iterator[CursorRecord]:
        """What the values say; each is let go when it is read, so that both are never held at once."""
        while self.newest:
            _, value = self.newest.popitem()
            if value is None:
                continue
            try:
                cursor = decode_cursor(value)
            except UndecodableError as problem:
                # Forgetting a cursor costs reading again, never a gap.
                log.error("cursor unreadable, reading from the start", problem=str(problem))
                continue
            if cursor.page_id and (cursor.conversation_id or cursor.page_id not in self.doubted):
                yield cursor


def _take(reader: Consumer, claim: int, found: Found) -> int | None:
    """Read on and return how many records that brought; None once the claim was met."""
    messages = reader.consume(1000, 0.2)
    for message in messages:
        if (error := message.error()) is not None:
            raise KafkaException(error)
        found.note(message.key() or b"", message.value())
        if (message.offset() or 0) >= claim:
            return None
    return len(messages)


def _owner(value: bytes | None) -> str:
    """Who wrote a record; empty when it does not tell."""
    try:
        return cursor_owner(value)
    except UndecodableError:
        return ""
