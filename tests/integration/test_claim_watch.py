"""The watch over claims, when it cannot keep up with what is written."""

from collections.abc import AsyncIterator, Sequence

import pytest
from confluent_kafka import Message

from connector.codec import encode_cursor
from connector.errors import UnavailableError
from connector.kafka.claims import ClaimWatch
from connector.kafka.config import reader_config
from connector.kafka.partitioner import partition_of
from connector.model import CursorRecord, Partition
from connector.settings import KafkaSettings
from tests.fakes.sides import PARTITIONS, KafkaSide
from tests.services.kafka import KafkaBroker
from tests.services.waiting import wait_until_async

pytestmark = pytest.mark.integration

HOME = partition_of("p1", PARTITIONS)


class SlowWatch(ClaimWatch):
    """One that takes in a few records a turn, as on a machine with no processor to spare."""

    backlog: Sequence[Message] = ()

    def _look(self, messages: Sequence[Message]) -> None:
        self.backlog = [*self.backlog, *messages]
        super()._look(self.backlog[:60])
        self.backlog = self.backlog[60:]


@pytest.fixture
async def side(kafka: KafkaBroker, topic_prefix: str) -> AsyncIterator[KafkaSide]:
    real = await KafkaSide(kafka, topic_prefix).open()
    yield real
    await real.close()


def watch(kafka: KafkaBroker, side: KafkaSide) -> ClaimWatch:
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap, topic_prefix=side.topics.prefix)
    config = reader_config(settings, side.topics)
    return SlowWatch({**config, "queued.min.messages": 10}, side.topics.cursors, "the slow one")


async def test_who_asks_waits_until_the_watch_has_come_to_the_end(
    kafka: KafkaBroker, side: KafkaSide
) -> None:
    slow = watch(kafka, side)
    poster, cursors = side.poster()
    await cursors.load(HOME)
    own = max(record.offset for record in await side.lying(side.topics.cursors))
    slow.follow(HOME, own)
    await poster.save([CursorRecord("p1", f"c{n}", b"") for n in range(1500)])
    await cursors.load(HOME)
    await slow.catch_up()
    assert not slow.held
    await slow.close()


async def test_nobody_waits_for_a_watch_that_has_ended(kafka: KafkaBroker, side: KafkaSide) -> None:
    ended = watch(kafka, side)
    ended.follow(HOME, 0)
    await wait_until_async(lambda: ended.held, timeout=10, what="it to watch")
    await ended.close()
    assert not ended.held
    with pytest.raises(UnavailableError):
        await ended.catch_up()


async def test_a_claim_of_our_own_that_we_are_not_told_of_yet_is_not_taken_for_anothers(
    kafka: KafkaBroker, side: KafkaSide
) -> None:
    own = watch(kafka, side)
    claim = encode_cursor(CursorRecord("", "", b""), owner="the slow one", saved_at=1)
    first = await side.put(Partition(side.topics.cursors, HOME), b"claim", claim)
    own.follow(HOME, first)
    await side.put(Partition(side.topics.cursors, HOME), b"claim", claim)
    await own.catch_up()
    assert set(own.held) == {HOME}
    await own.close()
