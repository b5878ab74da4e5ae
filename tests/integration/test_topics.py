"""``connector topics`` on a real Kafka."""

from collections.abc import Callable

import pytest

from connector.errors import ContractError
from connector.kafka.config import Topics
from connector.kafka.topics import check, create, partition_counts, wanted
from connector.settings import KafkaSettings
from tests.services.kafka import KafkaBroker
from tests.services.processes import ManagedProcess

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: KafkaBroker, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap, topic_prefix=topic_prefix, partitions=4)


async def test_topics_are_created_once_and_are_then_as_they_must_be(settings: KafkaSettings) -> None:
    topics = Topics(settings.topic_prefix)
    assert set(await create(settings, topics)) == set(wanted(topics))
    assert await create(settings, topics) == []
    assert await check(settings, topics) == []
    assert set((await partition_counts(settings, topics)).values()) == {4}


async def test_a_missing_topic_is_named_with_what_to_do(settings: KafkaSettings) -> None:
    topics = Topics(settings.topic_prefix)
    assert {finding.topic for finding in await check(settings, topics)} == set(wanted(topics))
    with pytest.raises(ContractError, match=f"missing topics: {settings.topic_prefix}pancake"):
        await partition_counts(settings, topics)


async def test_a_topic_that_would_forget_is_found(kafka: KafkaBroker, settings: KafkaSettings) -> None:
    topics = Topics(settings.topic_prefix)
    kafka.create_topic(topics.messages, partitions=4, cleanup_policy="delete")
    await create(settings, topics)
    problems = {finding.problem for finding in await check(settings, topics)}
    assert "cleanup.policy is delete, needed: compact" in problems


async def test_event_topics_of_different_size_are_refused(
    kafka: KafkaBroker, settings: KafkaSettings
) -> None:
    topics = Topics(settings.topic_prefix)
    kafka.create_topic(topics.messages, partitions=3, cleanup_policy="compact")
    await create(settings, topics)
    with pytest.raises(ContractError, match="must agree"):
        await partition_counts(settings, topics)


def test_check_ends_with_three_when_something_differs(
    kafka: KafkaBroker, topic_prefix: str, start_connector: Callable[..., ManagedProcess]
) -> None:
    env = {
        "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
        "CONNECTOR_KAFKA__TOPIC_PREFIX": topic_prefix,
        "CONNECTOR_KAFKA__PARTITIONS": "2",
    }
    checked = start_connector("topics", "check", "--json", **env)
    assert checked.wait(60) == 3
    assert '"problem": "missing"' in checked.stdout()
    assert start_connector("topics", "create", **env).wait(60) == 0
    assert start_connector("topics", "check", **env).wait(60) == 0
