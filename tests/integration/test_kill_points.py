"""Between each effect and the next line: what if the process dies there?"""

import asyncio
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.codec import decode_dead_letter, decode_event
from connector.kafka.topics import create
from connector.settings import KafkaSettings
from tests.integration.dying import Point
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import Pipeline, Shape

pytestmark = pytest.mark.integration

# One conversation in four has no customer: FolkForm takes none of its messages, so they are shelved.
SHAPE = Shape(
    pancake=(
        *("--pages", "1", "--conversations", "8", "--messages", "6", "--plain", "--rate", "off"),
        *("--without-customer", "0.25", "--seed", "4"),
    ),
    env={
        "CONNECTOR_SINK__WINDOW_RECORDS": "10",
        "CONNECTOR_SINK__LANES": "2",
        "CONNECTOR_POLLER__LANES": "2",
        # The group waits this long for a member that was killed, and every case kills one.
        "CONNECTOR_KAFKA__CONFIG": '{"session.timeout.ms": 2000, "heartbeat.interval.ms": 300}',
    },
)


@pytest.fixture(scope="module")
def stage(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder: Path = tmp_path_factory.mktemp("kill-points")
    with Pipeline(kafka, f"t{uuid.uuid4().hex[:10]}.", folder, shape=SHAPE) as running:
        _take_an_id_away(running)
        yield running


@pytest.fixture
def pipeline(stage: Pipeline, topic_prefix: str) -> Pipeline:
    """The same two simulators with an empty FolkForm, and topics that nobody has used."""
    stage.use(topic_prefix)
    kafka = KafkaSettings(
        bootstrap_servers=stage.kafka.bootstrap, topic_prefix=topic_prefix, partitions=SHAPE.partitions
    )
    asyncio.run(create(kafka, stage.topics))
    stage.folkform("act", {"verb": "clear"})
    return stage


# Everywhere at the first time, and in the middle of the work where there is a middle.
CASES = [(point, 1) for point in Point] + [
    (point, 4)
    for point in (
        Point.POLL_EVENTS_ACKED,
        Point.POLL_CURSOR_SENT,
        Point.SINK_AFTER_UPSERT,
        Point.SINK_LETTER_SENT,
    )
]


@pytest.mark.parametrize(("point", "count"), CASES, ids=lambda case: str(getattr(case, "name", case)).lower())
def test_dying_there_loses_nothing(pipeline: Pipeline, point: Point, count: int) -> None:
    if point.role == "sink":
        assert pipeline.start("poll", "--once").wait(60) == 3
    dying = pipeline.start_python("tests.integration.dying", point.value, str(count))
    assert dying.wait(60) == -signal.SIGKILL, dying.text()[-2000:]
    pipeline.start("poll", "--once").wait(60)
    # It says so when it shelves something; a sink that died at its very end had done that already.
    assert pipeline.start("sink", "--once").wait(60) in (0, 3)
    _nothing_is_lost(pipeline)


def _take_an_id_away(pipeline: Pipeline) -> None:
    """Give one message a number for an id: it cannot be routed, and the poller shelves it."""
    shelf = next(shelf for shelf in pipeline.dump() if shelf.messages)
    where = {"page_id": shelf.page_id, "conversation_id": shelf.conversation_id}
    pipeline.pancake("act", {"verb": "edit_message", "message_id": min(shelf.messages), "id": 17, **where})


def _nothing_is_lost(pipeline: Pipeline) -> None:
    letters = [decode_dead_letter(r.value()) for r in pipeline.records(pipeline.topics.dead_letters)]
    assert any(letter.problem.reason == "missing_id" and b'"id":17' in letter.value for letter in letters)
    audit = pipeline.audit()
    shelved = {
        (event.conversation_id, event.message_id)
        for letter in map(
            decode_dead_letter, (r.value() for r in pipeline.records(pipeline.topics.dead_letters))
        )
        if letter.problem.reason == "missing_customer_id"
        for event in [decode_event(letter.value)]
        if event.message_id
    }
    # Three conversations without a customer, six messages each; one of those is the one without an id.
    assert len(shelved) == 3 * 6 - 1
    assert len(set(audit.missing_messages) - shelved) == 1
    assert not audit.missing_conversations
    assert not audit.stale_conversations
    assert not audit.different_messages
    assert pipeline.folkform()["overlaps"] == 0
