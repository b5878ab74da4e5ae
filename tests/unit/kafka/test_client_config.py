"""Which properties the operator may set, and which the promise keeps."""

import pytest

from connector.kafka.config import Topics, consumer_config, producer_config, reader_config
from connector.settings import KafkaSettings

PROMISED = {
    "enable.auto.commit": True,
    "auto.commit.interval.ms": 100,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "allow.auto.create.topics": False,
}
PROMISED_BY_PRODUCER = {"enable.idempotence": True, "acks": "all", "allow.auto.create.topics": False}


def settings(**config: str | int | bool) -> KafkaSettings:
    return KafkaSettings(config={name.replace("_", "."): value for name, value in config.items()})


def test_what_the_promise_needs_cannot_be_set_otherwise() -> None:
    wrong = settings(
        enable_auto_commit=False,
        auto_offset_reset="latest",
        enable_auto_offset_store=True,
        enable_idempotence=False,
        acks="1",
    )
    assert consumer_config(wrong, "group", role="sink", ends=False).items() >= PROMISED.items()
    assert producer_config(wrong).items() >= PROMISED_BY_PRODUCER.items()


def test_the_rest_is_the_operators() -> None:
    mine = settings(session_timeout_ms=45_000, linger_ms=50, security_protocol="SASL_SSL")
    consumer = consumer_config(mine, "group", role="sink", ends=False)
    assert consumer["session.timeout.ms"] == 45_000
    assert consumer["security.protocol"] == producer_config(mine)["security.protocol"] == "SASL_SSL"
    assert producer_config(mine)["linger.ms"] == 50


def test_the_newer_protocol_is_not_given_what_it_refuses() -> None:
    newer = KafkaSettings(group_protocol="consumer")
    config = consumer_config(newer, "group", role="sink", ends=True)
    refused = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
    assert not refused & config.keys()
    assert config["group.protocol"] == "consumer"
    assert refused <= consumer_config(KafkaSettings(), "group", role="sink", ends=True).keys()


@pytest.mark.parametrize("ends", [True, False])
def test_ends_are_asked_for_where_they_are_needed(ends: bool) -> None:  # noqa: FBT001
    config = consumer_config(KafkaSettings(), "group", role="sink", ends=ends)
    assert config["enable.partition.eof"] is ends


def test_a_reader_commits_nothing() -> None:
    config = reader_config(KafkaSettings(), Topics("mine."))
    assert (config["enable.auto.commit"], config["group.id"]) == (False, "mine.connector-reader")


def test_a_prefix_keeps_two_installations_apart() -> None:
    ours, theirs = Topics("a."), Topics("b.")
    names = [
        (t.conversations, t.messages, t.pages, t.cursors, t.dead_letters, t.poller_group, t.sink_group)
        for t in (ours, theirs)
    ]
    assert not set(names[0]) & set(names[1])
    assert len(set(names[0])) == 7
