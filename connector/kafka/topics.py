"""The topics: what they must be, creating them, comparing them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from connector.errors import ContractError, UnavailableError
from connector.kafka.config import MAX_RECORD_BYTES, Topics, admin_config
from connector.kafka.faults import reaction
from connector.settings import KafkaSettings

ASK_SECONDS = 15.0
_COMPACT = {"cleanup.policy": "compact", "max.message.bytes": str(MAX_RECORD_BYTES)}
_CURSORS = {**_COMPACT, "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
_SHELF = {
    "cleanup.policy": "delete",
    "retention.ms": str(90 * 86_400_000),
    "max.message.bytes": str(2 * MAX_RECORD_BYTES),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a topic that is not as it must be, and what to do."""

    topic: str
    problem: str
    advice: str


def wanted(topics: Topics) -> Mapping[str, Mapping[str, str]]:
    """Each topic's settings that matter to the promise."""
    return {
        topics.conversations: _COMPACT,
        topics.messages: _COMPACT,
        topics.pages: _COMPACT,
        topics.cursors: _CURSORS,
        topics.dead_letters: _SHELF,
    }


async def partition_counts(settings: KafkaSettings, topics: Topics) -> Mapping[str, int]:
    """
    How many partitions each topic has.

    Raises:
        UnavailableError: the broker does not answer.
        ContractError: a topic is missing, or two that must agree do not.
    """
    counts = await asyncio.to_thread(_counts, AdminClient(admin_config(settings)))
    missing = [name for name in wanted(topics) if name not in counts]
    if missing:
        raise ContractError(f"missing topics: {', '.join(missing)}", advice="run `connector topics create`")
    for one, other in _twins(topics):
        if counts[one] != counts[other]:
            raise ContractError(
                f"{one} has {counts[one]} partitions and {other} {counts[other]}: they must agree",
                advice="add partitions only with the procedure in docs/OPERATIONS.md",
            )
    return {name: counts[name] for name in wanted(topics)}


async def create(settings: KafkaSettings, topics: Topics) -> Sequence[str]:
    """Create what is missing; return the names created. Raises as ``partition_counts``."""
    return await asyncio.to_thread(_create, settings, topics)


async def check(settings: KafkaSettings, topics: Topics) -> Sequence[Finding]:
    """Compare what is there with what is needed. Raises UnavailableError."""
    return await asyncio.to_thread(_check, settings, topics)


def _twins(topics: Topics) -> Sequence[tuple[str, str]]:
    return ((topics.conversations, topics.messages), (topics.pages, topics.cursors))


def _counts(admin: AdminClient) -> dict[str, int]:
    try:
        found = admin.list_topics(timeout=ASK_SECONDS).topics
    except KafkaException as problem:
        raise reaction(problem.args[0], "asking the broker for its topics") from None
    return {name: len(topic.partitions) for name, topic in found.items() if topic.error is None}


def _create(settings: KafkaSettings, topics: Topics) -> Sequence[str]:
    admin = AdminClient(admin_config(settings))
    there = _counts(admin)
    brokers = len(admin.list_topics(timeout=ASK_SECONDS).brokers)
    copies = settings.replication_factor or min(3, brokers)
    missing = [
        NewTopic(
            name,
            num_partitions=settings.partitions,
            replication_factor=copies,
            config=_config(config, copies),
        )
        for name, config in wanted(topics).items()
        if name not in there
    ]
    if not missing:
        return []
    created = []
    for name, outcome in admin.create_topics(missing, operation_timeout=ASK_SECONDS).items():
        try:
            outcome.result()
            created.append(name)
        except KafkaException as problem:
            # Another replica's start may have been quicker.
            if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise reaction(problem.args[0], f"creating {name}") from None
    return created


def _config(config: Mapping[str, str], copies: int) -> dict[str, str]:
    return {**config, "min.insync.replicas": str(2 if copies >= 3 else 1)}  # noqa: PLR2004


def _check(settings: KafkaSettings, topics: Topics) -> Sequence[Finding]:
    admin = AdminClient(admin_config(settings))
    counts = _counts(admin)
    findings = [
        Finding(name, "missing", "run `connector topics create`")
        for name in wanted(topics)
        if name not in counts
    ]
    for one, other in _twins(topics):
        if one in counts and other in counts and counts[one] != counts[other]:
            findings.append(
                Finding(
                    one, f"{counts[one]} partitions, {other} has {counts[other]}", "make the numbers equal"
                )
            )
    return findings + _wrong_settings(admin, [name for name in wanted(topics) if name in counts], topics)


def _wrong_settings(admin: AdminClient, names: Sequence[str], topics: Topics) -> list[Finding]:
    if not names:
        return []
    asked = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
    findings = []
    for resource, outcome in asked.items():
        try:
            found = outcome.result(timeout=ASK_SECONDS)
        except (KafkaException, TimeoutError):
            raise UnavailableError("asking the broker for its topics' settings") from None
        for key, value in wanted(topics)[resource.name].items():
            has = found[key].value if key in found else None
            if not _good(key, value, has):
                findings.append(
                    Finding(
                        resource.name, f"{key} is {has}, needed: {value}", "alter the topic's configuration"
                    )
                )
    return findings


def _good(key: str, value: str, has: str | None) -> bool:
    if has is None:
        return False
    if key in ("max.message.bytes", "retention.ms"):
        # More room is fine, and -1 keeps for ever.
        return int(has) == -1 or int(has) >= int(value)
    if key == "cleanup.policy":
        return has == value
    # The rest is tuning, not promise.
    return True
