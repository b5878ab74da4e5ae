"""The Consumer port: a group member on the one thread that owns it."""

import asyncio
from bisect import bisect_right
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

import structlog
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Consumer as Client

from connector.codec import UndecodableError, decode_event
from connector.errors import ConnectorError
from connector.kafka.faults import FATAL, reaction
from connector.kafka.positions import from_metadata, to_metadata
from connector.kafka.thread import ClientThread
from connector.model import Partition, Polled, Position, Problem, Record, Start, Turn
from connector.ports import Listener

T = TypeVar("T")
POLL_SECONDS = 0.1
POLL_RECORDS = 500
COMMITTED_SECONDS = 10.0
# A commit that came too late: what it stood for belongs to somebody else, or is committed again.
NOT_OURS_ANY_MORE = frozenset(
    {
        KafkaError._NO_OFFSET,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
    }
)

log = structlog.get_logger("connector.kafka")


class KafkaConsumer:
    """
    Takes part in a group and hands over records and ownership.

    In confluent-kafka 2.16 every call on a consumer waits for the one before it, so all of them run
    here, one after the other, and no poll lasts longer than 100 ms.
    """

    def __init__(self, config: Mapping[str, Any], topics: Sequence[str], *, from_end: bool = False) -> None:
        """``from_end``: ownership matters, and what comes from now on; nothing of it is committed."""
        self._config = {**config, "on_commit": self._on_commit}
        if from_end:
            # An end that moved back (a leader was lost) is no loss to one who reads only what is new.
            self._config["auto.offset.reset"] = "latest"
        self._topics = list(topics)
        self._from_end = from_end
        self._thread = ClientThread("kafka-consumer")
        self._client: Client
        self._listener: Listener
        self._loop: asyncio.AbstractEventLoop
        self._failure: ConnectorError | None = None
        self.starts: dict[Partition, Start] = {}
        self._owned: set[Partition] = set()
        self._acknowledged: dict[Partition, Position] = {}
        self._epochs: dict[Partition, list[tuple[int, int]]] = {}

    async def start(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        await self._thread.run(self._open)

    async def poll(self, turn: Turn) -> Polled:
        return await self._thread.run(lambda: self._turn(turn))

    async def close(self) -> None:
        await self._thread.run(self._client.close)
        self._thread.stop()
        self._raise_failure()

    # Everything below runs on the consumer's thread.

    def _open(self) -> None:
        self._client = Client(self._config)
        self._client.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _turn(self, turn: Turn) -> Polled:
        self._store(turn.store)
        self._declare(turn.declare)
        for partition, offset in turn.rewind.items():
            if partition in self._owned:
                self._client.seek(TopicPartition(partition.topic, partition.number, offset))
        for act, partitions in ((self._client.pause, turn.pause), (self._client.resume, turn.resume)):
            owned = [TopicPartition(p.topic, p.number) for p in partitions if p in self._owned]
            if owned:
                act(owned)
        first = self._client.poll(POLL_SECONDS)
        messages = [] if first is None else [first, *self._client.consume(POLL_RECORDS - 1, 0)]
        self._raise_failure()
        return self._read(messages)

    def _read(self, messages: Sequence[Message]) -> Polled:
        records: list[Record] = []
        ends: dict[Partition, int] = {}
        for message in messages:
            partition = Partition(message.topic() or "", _number(message.partition()))
            error = message.error()
            if error is None:
                self._note_epoch(partition, message)
                records.append(_record(partition, message))
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[partition] = _number(message.offset())
            else:
                _react(error, partition)
        # A poll may both bring records and lose their partition: those belong to the next owner.
        committed, self._acknowledged = self._acknowledged, {}
        return Polled(tuple(r for r in records if r.partition in self._owned), ends, committed)

    def _note_epoch(self, partition: Partition, message: Message) -> None:
        epoch = message.leader_epoch()
        seen = self._epochs.setdefault(partition, [])
        if epoch is not None and (not seen or seen[-1][1] != epoch):
            seen.append((_number(message.offset()), epoch))

    def _store(self, positions: Mapping[Partition, int | Position]) -> None:
        # Only partitions still owned: the client refuses others, and for good reason.
        stored = [self._position(p, position) for p, position in positions.items() if p in self._owned]
        if stored:
            self._client.store_offsets(offsets=stored)

    def _position(self, partition: Partition, position: int | Position) -> TopicPartition:
        place = Position(position) if isinstance(position, int) else position
        said = to_metadata(place)
        # Without the leader epoch a commit cannot be validated after a log was truncated (KAFKA-20507).
        epochs = self._epochs.get(partition, [])
        at = bisect_right(epochs, (place.offset - 1, 2**31)) - 1
        if at < 0:
            return TopicPartition(partition.topic, partition.number, place.offset, said)
        return TopicPartition(partition.topic, partition.number, place.offset, said, epochs[at][1])

    def _declare(self, positions: Mapping[Partition, Position]) -> None:
        # The client's timer commits nothing whose offset has not moved.
        said = [self._position(p, position) for p, position in positions.items() if p in self._owned]
        if said:
            self._client.commit(offsets=said, asynchronous=True)

    def _on_commit(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        if error is not None and error.code() not in NOT_OURS_ANY_MORE:
            log.warning("kafka commit", problem=error.name())
        for tp in positions:
            partition = Partition(tp.topic, tp.partition)
            # What failed is committed again by the client's timer; until then nobody counts on it.
            if error is None and tp.error is None and tp.offset >= 0 and partition in self._owned:
                self._acknowledged[partition] = from_metadata(tp.metadata, tp.offset)

    def _on_assign(self, client: Client, given: list[TopicPartition]) -> None:
        partitions = [Partition(tp.topic, tp.partition) for tp in given]
        try:
            starts = self._starts(client, given)
            self.starts |= {Partition(tp.topic, tp.partition): self._start(client, tp) for tp in starts}
            client.incremental_assign(starts)
            self._owned |= set(partitions)
            if starts:
                # The client remembers a pause beyond the loss of its partition: one that comes back
                # would never be read again.
                client.resume(starts)
            self._ask(self._listener.assigned(partitions))
        except (ConnectorError, KafkaException) as problem:
            self._fail(problem, "taking over partitions")

    def _starts(self, client: Client, given: list[TopicPartition]) -> list[TopicPartition]:
        if self._from_end:
            return [TopicPartition(tp.topic, tp.partition, OFFSET_END) for tp in given]
        if not given:
            return []
        committed = client.committed(given, timeout=COMMITTED_SECONDS)
        for tp in committed:
            if tp.error is not None:
                raise KafkaException(tp.error)
        # A group that never committed begins at the beginning: the topics hold all there is.
        return [
            tp if tp.offset >= 0 else TopicPartition(tp.topic, tp.partition, OFFSET_BEGINNING)
            for tp in committed
        ]

    def _start(self, client: Client, tp: TopicPartition) -> Start:
        if self._from_end:
            return Start(0, 0)
        found = client.get_watermark_offsets(
            TopicPartition(tp.topic, tp.partition), timeout=COMMITTED_SECONDS
        )
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        low, end = found
        if tp.offset < 0:
            # Whoever writes has committed before how far it may: where nothing is committed, nobody wrote.
            return Start(low, end, low)
        position = from_metadata(tp.metadata, tp.offset)
        return Start(position.offset, end, position.reach, position.unanswered)

    def _on_revoke(self, client: Client, taken: list[TopicPartition]) -> None:
        partitions = [Partition(tp.topic, tp.partition) for tp in taken]
        try:
            positions = self._ask(self._listener.revoked(partitions))
            self._store(positions)
            self._commit_now(client, positions)
        except (ConnectorError, KafkaException) as problem:
            self._fail(problem, "handing over partitions")
        self._forget(client, taken, partitions)

    def _commit_now(self, client: Client, positions: Mapping[Partition, int | Position]) -> None:
        # The client commits what is stored by itself before it lets the partitions go, but not when only
        # what is said of them has changed: that nothing was written beyond.
        said = [self._position(partition, position) for partition, position in positions.items()]
        try:
            if said:
                client.commit(offsets=said, asynchronous=False)
        except KafkaException as problem:
            log.info("hand-over said nothing", problem=problem.args[0].name())

    def _on_lost(self, client: Client, taken: list[TopicPartition]) -> None:
        partitions = [Partition(tp.topic, tp.partition) for tp in taken]
        self._owned -= set(partitions)
        self._ask(self._listener.lost(partitions))
        self._forget(client, taken, partitions)

    def _forget(self, client: Client, taken: list[TopicPartition], partitions: Sequence[Partition]) -> None:
        self._owned -= set(partitions)
        for partition in partitions:
            for kept in (self._epochs, self._acknowledged, self.starts):
                kept.pop(partition, None)
        try:
            client.incremental_unassign(taken)
        except KafkaException as problem:
            self._fail(problem, "giving up partitions")

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result()

    def _fail(self, problem: ConnectorError | KafkaException, where: str) -> None:
        # Raised from a callback it would come out of poll while the assignment goes through all the
        # same; kept here it comes out once the client is in order again.
        self._failure = problem if isinstance(problem, ConnectorError) else reaction(problem.args[0], where)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def _number(value: int | None) -> int:
    return -1 if value is None else value


def _record(partition: Partition, message: Message) -> Record:
    value = message.value()
    event, problem = None, None
    try:
        event = decode_event(value)
    except UndecodableError as why:
        problem = Problem(why.reason, str(why))
    return Record(
        partition,
        _number(message.offset()),
        message.timestamp()[1],
        message.key(),
        value,
        event,
        problem,
        _headers(message),
    )


def _headers(message: Message) -> tuple[tuple[str, bytes], ...]:
    found = cast("Sequence[tuple[str, bytes | None]]", message.headers() or ())
    return tuple((name, content or b"") for name, content in found)


def _react(error: KafkaError, partition: Partition) -> None:
    if error.code() in FATAL:
        raise reaction(error, str(partition))
    log.warning("kafka consumer", partition=str(partition), problem=error.name())
