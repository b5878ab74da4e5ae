"""The whole connector, as processes on a real Kafka, in front of each generation of FolkForm."""

from pathlib import Path

import pytest

from tests.services.kafka import KafkaBroker
from tests.services.pipeline import Pipeline, Shape

pytestmark = pytest.mark.integration
SMALL = ("--pages", "2", "--conversations", "6", "--messages", "8", "--rate", "off")
REFUSED = 4


@pytest.mark.parametrize(
    ("folkform", "routes"),
    [
        (("--generation", "1"), {"conversation/upsert-one", "message/upsert-messages", "unknown"}),
        (("--generation", "2"), {"conversation/sync-upsert-one", "message/upsert-messages"}),
    ],
    ids=["1", "2"],
)
def test_everything_arrives_in_whichever_generation_answers(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, folkform: tuple[str, ...], routes: set[str]
) -> None:
    shape = Shape(pancake=SMALL, folkform=("--rate", "off", *folkform))
    with Pipeline(kafka, topic_prefix, tmp_path, shape=shape) as pipeline:
        pipeline.run("poll", "--once")
        pipeline.run("sink", "--once")
        assert pipeline.audit().equal, pipeline.audit().sentence()
        told = pipeline.folkform()
        assert set(told["routes"]) == routes
        assert (told["regressions"], told["overlaps"]) == (0, 0)


def test_a_third_generation_ends_the_sink_with_advice_and_shelves_nothing(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    shape = Shape(pancake=SMALL, folkform=("--rate", "off", "--generation", "3"))
    with Pipeline(kafka, topic_prefix, tmp_path, shape=shape) as pipeline:
        pipeline.run("poll", "--once")
        pipeline.run("sink", "--once")
        assert pipeline.audit().equal, pipeline.audit().sentence()
        held = next(pipeline.dump())
        new = {"page_id": held.page_id, "conversation_id": held.conversation_id, "text": "thêm"}
        pipeline.pancake("act", {"verb": "add_message", **new})
        pipeline.run("poll", "--once")
        sink = pipeline.start("sink", "--once")
        assert sink.wait(60) == REFUSED, sink.text()[-3000:]
        assert "run its generation 1 or 2" in sink.text()
        assert pipeline.records(pipeline.topics.dead_letters) == []
