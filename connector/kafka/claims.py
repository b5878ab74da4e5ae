"""Who claimed a partition of cursors last: read from our own claim on, on a thread of its own."""

import asyncio
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connector.codec import UndecodableError, cursor_owner
from connector.errors import ContractError, UnavailableError
from connector.kafka.faults import FATAL

CLAIM = b"claim"
POLL_SECONDS = 0.1
POLL_RECORDS = 500
WATCH_ENDED = "the watch over claims has ended"
END_SECONDS = 5.0  # for the broker to tell where a partition ends

log = structlog.get_logger("connector.kafka")


class ClaimWatch:
    """
    Follows every partition claimed by this process; one with a newer claim of another is held no more.

    Records that are no claims pass by undecoded.
    """

    def __init__(self, config: Mapping[str, Any], topic: str, owner: str) -> None:
        # The end of a partition is an event of its own: behind the last record there may be gaps.
        self._config = {**config, "enable.partition.eof": True, "queued.max.messages.kbytes": 1024}
        self._topic = topic
        self._owner = owner
        self._lock = threading.Lock()
        self._claims: dict[int, int] = {}
        self._questions: queue.SimpleQueue[Future[None]] = queue.SimpleQueue()
        self._closing, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        # Below: the thread's own.
        self._client: Consumer
        self._next: dict[int, int] = {}
        self._waiting: list[tuple[Future[None], Mapping[int, int]]] = []

    @property
    def held(self) -> frozenset[int]:
        """The partitions on which no newer claim of another process was seen."""
        with self._lock:
            return frozenset(self._claims)

    def follow(self, partition: int, claim: int) -> None:
        """Watch a partition from our own claim (its offset) on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="kafka-claims", daemon=True)
            self._thread.start()
        if not self._thread.is_alive():
            raise ContractError(
                "the thread that watches claims has ended", advice="this is a bug: report its traceback"
            )
        with self._lock:
            self._claims[partition] = claim

    def release(self, partition: int) -> None:
        """Watch it no more."""
        with self._lock:
            self._claims.pop(partition, None)

    async def catch_up(self) -> None:
        """Return once every claim acknowledged before this call is known. Raises UnavailableError."""
        if self._thread is None:
            return
        question: Future[None] = Future()
        self._questions.put(question)
        if self._ended.is_set():
            # Just now: it looks for questions a last time after it has said so.
            self._fail(WATCH_ENDED)
        await asyncio.wrap_future(question)

    async def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, END_SECONDS)

    # Everything below runs on the thread.

    def _work(self) -> None:
        try:
            self._client = Consumer(self._config)
            while not self._closing.is_set():
                self._assign()
                self._ask()
                first = self._client.poll(POLL_SECONDS)
                self._look([] if first is None else [first, *self._client.consume(POLL_RECORDS, 0)])
                self._answer()
            self._client.close()
        # Nobody else sees this thread end, and who cannot watch holds nothing.
        except Exception:
            log.exception("kafka claims thread ended")
        finally:
            with self._lock:
                self._claims.clear()
            self._ended.set()
            self._fail(WATCH_ENDED)

    def _assign(self) -> None:
        """Read exactly what is claimed, each partition from its claim or from where we are behind it."""
        with self._lock:
            claims = dict(self._claims)
        if claims.keys() == self._next.keys():
            return
        self._next = {number: max(claim + 1, self._next.get(number, 0)) for number, claim in claims.items()}
        self._client.assign([TopicPartition(self._topic, n, at) for n, at in self._next.items()])

    def _look(self, messages: Sequence[Message]) -> None:
        for message in messages:
            number, offset = message.partition(), message.offset()
            if number is None or offset is None or number not in self._next:
                continue
            error = message.error()
            if error is None:
                self._next[number] = offset + 1
                if message.key() == CLAIM and self._foreign(message.value()):
                    self._lose(number, offset)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._next[number] = max(self._next[number], offset)
            elif error.code() in FATAL:
                # Blind from here on: held no more, and whoever still owns it claims it again.
                log.warning("claims not readable", partition=number, problem=error.name())
                self._lose(number, 2**63)

    def _foreign(self, value: bytes | None) -> bool:
        try:
            return cursor_owner(value) != self._owner
        except UndecodableError:
            return True

    def _lose(self, number: int, offset: int) -> None:
        with self._lock:
            # We may have claimed it again behind that.
            if self._claims.get(number, offset) < offset:
                del self._claims[number]

    def _ask(self) -> None:
        """Find out where the partitions end now: how far who asks must have read."""
        while True:
            try:
                question = self._questions.get_nowait()
            except queue.Empty:
                return
            # What was claimed before the question is part of it.
            self._assign()
            try:
                ends = {number: self._end(number) for number in self._next}
            except KafkaException as problem:
                name = problem.args[0].name()
                if question.set_running_or_notify_cancel():
                    question.set_exception(UnavailableError(f"reading the claims of {self._topic}: {name}"))
            else:
                self._waiting.append((question, ends))

    def _end(self, number: int) -> int:
        found = self._client.get_watermark_offsets(TopicPartition(self._topic, number), timeout=END_SECONDS)
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found[1]

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for question, ends in waiting:
            if any(self._next.get(number, end) < end for number, end in ends.items()):
                self._waiting.append((question, ends))
            elif question.set_running_or_notify_cancel():
                question.set_result(None)

    def _fail(self, why: str) -> None:
        with suppress(queue.Empty):
            while True:
                self._waiting.append((self._questions.get_nowait(), {}))
        waiting, self._waiting = self._waiting, []
        for question, _ in waiting:
            if question.set_running_or_notify_cancel():
                question.set_exception(UnavailableError(why))
