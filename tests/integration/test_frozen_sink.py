"""A sink that is frozen, loses everything, and wakes; one that is killed; one that is told to leave."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.kafka import KafkaBroker
from tests.services.pipeline import SESSION_MS, Pipeline, Shape
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration

SHAPE = Shape(
    pancake=("--pages", "2", "--conversations", "30", "--messages", "20", "--rate", "off", "--seed", "8"),
    folkform=("--rate", "off", "--latency", "0.05"),
    env={"CONNECTOR_SINK__WINDOW_RECORDS": "40", "CONNECTOR_SINK__LANES": "4"},
)


@pytest.fixture
def pipeline(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Pipeline]:
    with Pipeline(kafka, f"t{uuid.uuid4().hex[:10]}.", tmp_path, shape=SHAPE) as running:
        yield running


def calls(pipeline: Pipeline) -> int:
    return int(pipeline.folkform()["calls"])


def everything_arrives(pipeline: Pipeline) -> None:
    wait_until(lambda: pipeline.audit().equal, timeout=120, what="all of it to be in FolkForm")


def test_a_sink_that_was_frozen_and_wakes_writes_nothing_over_what_came_after(pipeline: Pipeline) -> None:
    pipeline.run("poll", "--once")
    frozen = pipeline.start("sink")
    wait_until(lambda: calls(pipeline) > 10, timeout=60, what="the first to write")
    frozen.freeze()
    other = pipeline.start("sink")
    before = calls(pipeline)
    wait_until(lambda: calls(pipeline) > before + 20, timeout=60, what="the second to take over")
    frozen.thaw()
    frozen.wait_for_line("process stood still", 30)
    frozen.wait_for_line(r"\"change\": ?\"lost\"", 30)
    everything_arrives(pipeline)
    for process in (frozen, other):
        process.terminate()
        assert process.wait(30) == 0
    audit = pipeline.audit()
    assert audit.equal, audit.sentence()


def test_after_a_kill_the_next_sink_works_when_the_session_is_over(pipeline: Pipeline) -> None:
    pipeline.run("poll", "--once")
    killed = pipeline.start("sink")
    wait_until(lambda: calls(pipeline) > 10, timeout=60, what="the first to write")
    other = pipeline.start("sink")
    killed.kill()
    at, before = time.monotonic(), calls(pipeline)
    wait_until(lambda: calls(pipeline) > before + 4, timeout=120, what="the second to take over")
    print(f"working again {time.monotonic() - at:.1f} s after the kill, session {SESSION_MS / 1000} s")  # noqa: T201
    everything_arrives(pipeline)
    other.terminate()
    assert other.wait(30) == 0
    audit = pipeline.audit()
    assert audit.equal, audit.sentence()


def test_a_broker_that_goes_away_and_comes_back_costs_a_sink_time_and_nothing_else(
    pipeline: Pipeline, kafka: KafkaBroker
) -> None:
    if not kafka.ours:
        pytest.skip("the broker is not ours to stop")
    pipeline.run("poll", "--once")
    sink = pipeline.start("sink")
    wait_until(lambda: calls(pipeline) > 10, timeout=60, what="it to write")
    kafka.kill()
    sink.wait_for_line(r"\"change\": ?\"lost\"", 90)
    kafka.start()
    everything_arrives(pipeline)
    sink.terminate()
    assert sink.wait(30) == 0
    audit = pipeline.audit()
    assert audit.equal, audit.sentence()
