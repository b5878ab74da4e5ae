"""What comes in is broken: only that is left out, only for as long, and it is said."""

import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer

from connector.codec import decode_dead_letter, decode_event
from connector.model import DeadLetter, Event
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import USER_TOKEN, Pipeline, Shape
from tests.services.processes import ManagedProcess
from tests.services.redis import RedisServer
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration

SMALL = ("--pages", "2", "--conversations", "6", "--messages", "8", "--rate", "off")
QUICK = {"CONNECTOR_HTTP__MAX_RETRY_WAIT": "0.3", "CONNECTOR_POLLER__INTERVAL": "0.3"}
LEFT_OUT = 3


@pytest.fixture
def pipeline(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Pipeline]:
    with Pipeline(kafka, topic_prefix, tmp_path, shape=Shape(pancake=SMALL, env=QUICK)) as running:
        yield running


def ended(pipeline: Pipeline, *arguments: str) -> ManagedProcess:
    process = pipeline.start(*arguments)
    assert process.wait(60) == LEFT_OUT, process.text()[-3000:]
    return process


def shelf(pipeline: Pipeline) -> list[DeadLetter]:
    return [decode_dead_letter(record.value()) for record in pipeline.records(pipeline.topics.dead_letters)]


def events(pipeline: Pipeline) -> list[Event]:
    topics = (pipeline.topics.conversations, pipeline.topics.messages)
    return [decode_event(record.value()) for topic in topics for record in pipeline.records(topic)]


def fault(action: str, times: int = 3, **given: Any) -> dict[str, Any]:
    return {"action": action, "times": times, **given}


def test_a_record_that_nobody_can_read_is_shelved_and_its_neighbours_arrive(
    pipeline: Pipeline, kafka: KafkaBroker
) -> None:
    foreign = {
        "bad_frame": b'{"not": "ours"}',
        "unknown_schema": struct.pack(">bI", 0, 7) + b"x",
        "bad_avro": struct.pack(">bI", 0, 900_002) + b"\xff" * 9,
    }
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in foreign.values():
        producer.produce(pipeline.topics.messages, value, b"some key", partition=0)
    assert producer.flush(20) == 0
    pipeline.run("poll", "--once")
    headers: list[tuple[str, str | bytes | None]] = [("trace", b"\x00\xff"), ("nothing", None)]
    for value in foreign.values():
        producer.produce(
            pipeline.topics.conversations, value, b"some key", 1, timestamp=1_700_000, headers=headers
        )
    assert producer.flush(20) == 0
    ended(pipeline, "sink", "--once")
    assert pipeline.audit().equal, pipeline.audit().sentence()
    shelved = shelf(pipeline)
    assert Counter(letter.value for letter in shelved) == dict.fromkeys(foreign.values(), 2)
    assert {letter.problem.reason: letter.value for letter in shelved} == foreign
    assert {str(letter.partition) for letter in shelved} == {
        f"{pipeline.topics.messages}[0]",
        f"{pipeline.topics.conversations}[1]",
    }
    told = {(letter.timestamp, letter.headers) for letter in shelved if letter.headers}
    assert told == {(1_700_000, (("trace", b"\x00\xff"), ("nothing", b"")))}
    assert sum(bool(letter.headers) for letter in shelved) == 3


def test_a_conversation_without_customer_keeps_its_snapshot_and_only_its_messages_are_shelved(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    shape = Shape(pancake=(*SMALL, "--without-customer", "0.4"), env=QUICK)
    with Pipeline(kafka, topic_prefix, tmp_path, shape=shape) as pipeline:
        pipeline.run("poll", "--once")
        ended(pipeline, "sink", "--once")
        nameless = {event.conversation_id for event in events(pipeline) if not event.customer_id}
        assert nameless
        audit = pipeline.audit()
        assert audit.missing_conversations == audit.stale_conversations == []
        assert {conversation for conversation, _ in audit.missing_messages} == nameless
        assert len(audit.missing_messages) == len(nameless) * 8
        # Each of its messages, and what its list says beside them.
        shelved = shelf(pipeline)
        assert {letter.problem.reason for letter in shelved} == {"missing_customer_id"}
        assert len(shelved) == len(nameless) * 9


def test_a_page_without_user_name_is_read_and_written_like_any_other(pipeline: Pipeline) -> None:
    with urlopen(f"{pipeline.pancake_url}/v1/pages?access_token={USER_TOKEN}", timeout=10) as answer:  # noqa: S310
        listed = json.load(answer)
    nameless = listed["categorized"]["activated"][0]
    nameless["username"] = None
    pipeline.pancake("faults", {"action": "status", "route": "pages", "body": json.dumps(listed)})
    pipeline.run("poll", "--once")
    pipeline.run("sink", "--once")
    assert pipeline.audit().equal
    names = {event.page_username for event in events(pipeline) if event.page_id == nameless["id"]}
    assert names == {nameless["id"]}


def test_a_pancake_that_answers_nonsense_for_a_while_delays_and_loses_nothing(pipeline: Pipeline) -> None:
    broken = [
        fault("truncate"),
        fault("empty"),
        fault("cut"),
        fault("reset"),
        fault("status", status=200),
        fault("status", status=502),
        fault("error", code=999),
        fault("error", code=429),
        fault("status", status=200, body='{"success":true}'),
        fault("status", status=200, body='{"success":true,"conversations":{},"messages":null}'),
        fault("content_type"),
    ]
    routes = ("pages", "conversations", "messages")
    pipeline.pancake(
        "faults",
        [rule | {"route": route, "times": 1} for route in routes for rule in broken if route != "pages"]
        + [fault("truncate", 1, route="pages"), fault("status", 1, route="pages", body="{}")],
    )
    pipeline.run("poll", "--once")
    pipeline.run("sink", "--once")
    assert pipeline.audit().equal, pipeline.audit().sentence()
    met = pipeline.pancake("faults")
    assert all(rule["hits"] for rule in met), met


def test_a_page_that_needs_a_person_does_not_stop_the_other(pipeline: Pipeline) -> None:
    page = next(pipeline.dump()).page_id
    pipeline.pancake("act", {"verb": "park", "page_id": page, "code": 122})
    poller = ended(pipeline, "poll", "--once")
    assert "renew it, or leave the page out" in poller.stderr()
    pipeline.run("sink", "--once")
    assert {event.page_id for event in events(pipeline)} == {
        shelf.page_id for shelf in pipeline.dump() if shelf.page_id != page
    }
    assert len(pipeline.audit().missing_conversations) == 6
    pipeline.pancake("act", {"verb": "unpark", "page_id": page})
    pipeline.run("poll", "--once")
    pipeline.run("sink", "--once")
    assert pipeline.audit().equal


def test_a_folkform_in_trouble_for_a_while_makes_no_dead_letters(pipeline: Pipeline) -> None:
    trouble = [
        fault("status", status=503),
        fault("status", status=502),
        fault("error", status=500, code="DB"),
        fault("error", status=429, code="BIZ_002"),
        fault("reset"),
        fault("reset", after=True),
        fault("truncate"),
        fault("cut"),
        fault("empty"),
        fault("status", status=200, body="<html>welcome</html>"),
        fault("partial", route="message/*"),
    ]
    pipeline.run("poll", "--once")
    pipeline.folkform("faults", trouble)
    pipeline.run("sink", "--once")
    assert pipeline.audit().equal, pipeline.audit().sentence()
    assert shelf(pipeline) == []
    assert all(rule["hits"] == 3 for rule in pipeline.folkform("faults"))
    assert pipeline.folkform()["regressions"] == 0


def test_a_redis_that_dies_is_said_once_and_stops_nothing(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_server: RedisServer, redis_url: str
) -> None:
    rates = {"CONNECTOR_PANCAKE__RATE": "50/1s", "CONNECTOR_FOLKFORM__RATE": "100/1s"}
    shape = Shape(pancake=SMALL, env=QUICK | rates)
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url, shape=shape) as pipeline:
        poller, sink = pipeline.start("poll"), pipeline.start("sink")
        wait_until(lambda: pipeline.audit().equal, timeout=60, what="everything to arrive")
        redis_server.kill()
        change_something(pipeline)
        for process in (poller, sink):
            process.wait_for_line("budget degraded", 30)
        wait_until(lambda: pipeline.audit().equal, timeout=60, what="a change without Redis")
        redis_server.restart()
        poller.wait_for_line("budget shared again", 30)
        change_something(pipeline)
        wait_until(lambda: pipeline.audit().equal, timeout=60, what="a change after Redis came back")
        sink.wait_for_line("budget shared again", 30)
        for process in (poller, sink):
            process.terminate()
            assert process.wait(15) == 0
            assert process.stderr().count('"budget degraded"') == 1


def change_something(pipeline: Pipeline) -> None:
    held = next(pipeline.dump())
    where = {"page_id": held.page_id, "conversation_id": held.conversation_id}
    pipeline.pancake("act", {"verb": "add_message", **where})
    pipeline.pancake("act", {"verb": "touch", **where})
