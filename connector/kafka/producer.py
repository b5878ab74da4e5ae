"""One producer on one thread: who gives it records is answered when the broker has acknowledged them."""

import asyncio
import queue
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connector.errors import ConnectorError, ContractError, UnavailableError
from connector.kafka.faults import reaction

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
        self._replace = self._ended = False
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
        if self._ended:
            # Just now: it looks into its inbox for a last time after it has said so.
            delivery.abandon()
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
        finally:
            self._ended = True
            self._abandon()

    def _abandon(self) -> None:
        """Answer everybody who still waits."""
        with suppress(queue.Empty):
            while True:
                if (delivery := self._inbox.get_nowait()) is not None:
                    self._unsettled.append(delivery)
        for delivery in self._unsettled:
            if delivery.left:
                delivery.abandon()

    def _serve(self) -> None:
        open_ = True
        while open_ or self._outstanding:
            open_ = self._take(wait=not self._outstanding) and open_
            self._poll(0.01 if self._outstanding else 0)
            self._unsettled = [delivery for delivery in self._unsettled if delivery.left]
            if self._replace and not self._outstanding:
                self._client, self._replace = Producer(self._config), False
                log.warning("kafka producer replaced")

    def _poll(self, seconds: float) -> None:
        try:
            self._client.poll(seconds)
        except KafkaException as problem:
            # The binding raises a fatal error here instead of telling error_cb. Nothing more is sent by
            # this client: what it still holds is reported as failed, and goes again by the next one.
            if not problem.args[0].fatal():
                raise
            self._replace = True
            self._client.purge()

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
                self._poll(0.05)
            except KafkaException as problem:
                report(problem.args[0], None)
                return
            else:
                return
