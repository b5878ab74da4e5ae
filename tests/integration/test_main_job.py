"""The main job on a real Kafka: everything Pancake has is in FolkForm, byte for byte."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import redis

from connector.codec import decode_event
from connector.kafka.partitioner import partition_of
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import FOLKFORM_TOKEN, USER_TOKEN, Pipeline, Shape, metrics_url, number
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def pipeline(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_url: str) -> Iterator[Pipeline]:
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url) as running:
        yield running


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_one_pass_of_each_role_moves_everything(pipeline: Pipeline, protocol: str) -> None:
    env = {"CONNECTOR_KAFKA__GROUP_PROTOCOL": protocol}
    if protocol == "consumer":
        env["CONNECTOR_KAFKA__CONFIG"] = "{}"
    pipeline.run("poll", "--once", **env)
    pipeline.run("sink", "--once", **env)
    audit = pipeline.audit()
    assert audit.equal, audit.sentence()
    assert audit.messages == 2 * 10 * 40
    counters = pipeline.folkform()
    assert counters["overlaps"] == counters["regressions"] == 0
    # One call for each conversation's snapshot and one for its messages, or a few more where a window
    # closed in the middle of a conversation; one for each event would be 840.
    assert 40 <= counters["calls"] <= 80


def test_a_second_pass_finds_nothing_to_do(pipeline: Pipeline) -> None:
    pipeline.run("poll", "--once")
    pipeline.run("sink", "--once")
    calls = pipeline.folkform()["calls"]
    pipeline.run("poll", "--once")
    pipeline.run("sink", "--once")
    assert pipeline.folkform()["calls"] == calls
    assert len(pipeline.records(pipeline.topics.messages)) == 2 * 10 * 41  # messages and threads


def test_what_changes_while_both_run_arrives(pipeline: Pipeline) -> None:
    poller = pipeline.start("poll", CONNECTOR_POLLER__INTERVAL="0.3")
    sink = pipeline.start("sink")
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="everything there at first to arrive")
    page, conversation = _some_conversation(pipeline)
    where = {"page_id": page, "conversation_id": conversation}
    added = pipeline.pancake("act", {"verb": "add_message", **where})
    pipeline.pancake("act", {"verb": "add_message", **where})
    pipeline.pancake("act", {"verb": "edit_message", "message_id": added["id"], "text": "đã sửa", **where})
    pipeline.pancake("act", {"verb": "touch", **where})
    pipeline.pancake("act", {"verb": "add_conversation", "page_id": page})
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="the changes to arrive")
    assert pipeline.folkform()["overlaps"] == 0
    for process in (poller, sink):
        process.terminate()
        assert process.wait(15) == 0, process.text()


def test_records_lie_where_their_conversation_belongs(pipeline: Pipeline) -> None:
    pipeline.run("poll", "--once")
    for topic in (pipeline.topics.conversations, pipeline.topics.messages):
        for record in pipeline.records(topic):
            conversation = (record.key() or b"").split(b"\0")[0].decode()
            assert record.partition() == partition_of(conversation, pipeline.shape.partitions)


def test_a_member_that_leaves_hands_over_without_doing_anything_twice(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_url: str
) -> None:
    shape = Shape(
        pancake=("--pages", "1", "--conversations", "60", "--messages", "30", "--rate", "off"),
        folkform=("--rate", "off", "--latency", "0.05"),
        env={"CONNECTOR_SINK__LANES": "4", "CONNECTOR_SINK__WINDOW_RECORDS": "200"},
    )
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url, shape=shape) as pipeline:
        pipeline.run("poll", "--once")
        first = pipeline.start("sink")
        wait_until(lambda: pipeline.folkform()["calls"] >= 8, timeout=60, what="the first sink to be at work")
        first.terminate()
        assert first.wait(15) == 0, first.text()
        done = pipeline.folkform()
        pipeline.run("sink", "--once")
        assert pipeline.audit().equal
        after = pipeline.folkform()
        assert after["upserts_of_unchanged"] <= done["upserts_of_unchanged"] + _in_flight(pipeline)
        assert after["overlaps"] == 0


def _in_flight(pipeline: Pipeline) -> int:
    # A batch settles lane by lane and its offset is a contiguous prefix: what was done ahead of the
    # prefix is done again, at most one window for each partition of both topics.
    return int(pipeline.shape.env["CONNECTOR_SINK__LANES"]) * 2 * pipeline.shape.partitions * 30


def test_no_token_is_found_anywhere(pipeline: Pipeline) -> None:
    poller = pipeline.start("poll", CONNECTOR_LOG__LEVEL="debug")
    sink = pipeline.start("sink", CONNECTOR_LOG__LEVEL="debug")
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="everything to arrive")
    page, _ = _some_conversation(pipeline)
    pipeline.pancake("act", {"verb": "kill_token", "page_id": page})
    pipeline.pancake("act", {"verb": "add_conversation", "page_id": page})
    pipeline.pancake(
        "faults", [{"action": "reset", "times": 3}, {"action": "status", "status": 500, "times": 3}]
    )
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="the new token to be used")
    told = [urlopen(metrics_url(process) + "/metrics", timeout=10).read() for process in (poller, sink)]  # noqa: S310
    for process in (poller, sink):
        process.terminate()
        assert process.wait(15) == 0
        told.append(process.text().encode())
    names = pipeline.topics
    for topic in (names.conversations, names.messages, names.pages, names.cursors, names.dead_letters):
        told += [(record.value() or b"") + (record.key() or b"") for record in pipeline.records(topic)]
    told += _redis_dump(pipeline.environment()["CONNECTOR_REDIS__URL"])
    secrets = [USER_TOKEN, FOLKFORM_TOKEN, *_page_tokens(pipeline)]
    found = Counter(secret for secret in secrets for text in told if secret.encode() in text)
    assert not found
    assert any(b"connector_http_calls" in text for text in told)


def test_readiness_and_metrics_tell_the_truth(pipeline: Pipeline) -> None:
    pipeline.run("poll", "--once")
    sink = pipeline.start("sink")
    url = metrics_url(sink)
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="everything to arrive")
    with urlopen(url + "/readyz", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    with urlopen(url + "/livez", timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    page = urlopen(url + "/metrics", timeout=10).read().decode()  # noqa: S310
    assert number(page, "connector_events_delivered_total") == 20 + 2 * 10 * 41
    # One call found out that this FolkForm is not of the second generation.
    told = pipeline.folkform()
    assert number(page, "connector_sink_writes_total") == told["calls"] - told["routes"]["unknown"]["calls"]
    assert told["routes"]["unknown"]["calls"] == 1


def _some_conversation(pipeline: Pipeline) -> tuple[str, str]:
    record = pipeline.records(pipeline.topics.conversations)[0]
    event = decode_event(record.value())
    return event.page_id, event.conversation_id


def _page_tokens(pipeline: Pipeline) -> list[str]:
    with urlopen(f"{pipeline.pancake_url}/v1/pages?access_token={USER_TOKEN}", timeout=10) as answer:  # noqa: S310
        pages = json.load(answer)["categorized"]["activated"]
    return [page["settings"]["page_access_token"] for page in pages]


def _redis_dump(url: str) -> list[bytes]:
    with redis.Redis.from_url(url) as client:
        keys = client.keys("*")
        return [*keys, *(client.dump(key) or b"" for key in keys)]
