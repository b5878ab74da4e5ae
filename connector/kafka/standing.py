"""What the topic of pages says: which pages there are, and how each stands. Read from end to end."""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from connector.clock import Clock, Deadline
from connector.codec import UndecodableError, decode_page, decode_status
from connector.errors import UnavailableError
from connector.kafka.config import Topics, reader_config
from connector.kafka.faults import reaction
from connector.kafka.topics import partition_counts
from connector.model import Page, PageStatus
from connector.settings import KafkaSettings

READ_SECONDS = 30.0

log = structlog.get_logger("connector.kafka")


async def read_pages(
    settings: KafkaSettings, topics: Topics, clock: Clock
) -> Sequence[tuple[Page, PageStatus | None]]:
    """
    The pages that any poller has named, and what its owner said of each last.

    Raises:
        UnavailableError: the broker does not answer, or not in time.
        ContractError: topics are missing.
    """
    count = (await partition_counts(settings, topics))[topics.pages]
    config = reader_config(settings, topics) | {"enable.partition.eof": True}
    return await asyncio.to_thread(_read, Consumer(config), topics.pages, count, clock)


def _read(reader: Consumer, topic: str, count: int, clock: Clock) -> Sequence[tuple[Page, PageStatus | None]]:
    newest: dict[bytes, bytes | None] = {}
    deadline, open_ = Deadline.after(clock, READ_SECONDS), set(range(count))
    try:
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(count)])
        while open_:
            if not deadline.left():
                raise UnavailableError(f"reading {topic} took over {READ_SECONDS:.0f} s")
            for message in reader.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    newest[message.key() or b""] = message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard(message.partition())
                else:
                    raise reaction(error, f"reading {topic}")
    except KafkaException as problem:
        raise reaction(problem.args[0], f"reading {topic}") from None
    finally:
        reader.close()
    return _paired(newest.values())


def _paired(values: Iterable[bytes | None]) -> Sequence[tuple[Page, PageStatus | None]]:
    pages: dict[str, Page] = {}
    said: dict[str, PageStatus] = {}
    for value in values:
        if (page := _page(value)) is not None:
            pages[page.id] = page
        elif (status := _status(value)) is not None:
            said[status.completeness.page_id] = status
    return [(page, said.get(page_id)) for page_id, page in pages.items()]


def _page(value: bytes | None) -> Page | None:
    try:
        return decode_page(value)
    except UndecodableError:
        return None


def _status(value: bytes | None) -> PageStatus | None:
    # Hints, tombstones, and what a newer version may write: none of it is a status.
    try:
        return decode_status(value)
    except UndecodableError:
        return None
