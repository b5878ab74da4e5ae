"""A broker's or client's error and the reaction it calls for."""

# ruff: noqa: SLF001 - librdkafka's own error codes begin with an underscore

import pytest
from confluent_kafka import KafkaError

from connector.errors import ContractError, FatalError, RetryableError, UnauthorizedError
from connector.kafka.faults import FATAL, reaction

# What comes and goes with brokers and networks: it must never end a process.
PASSING = [
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._RESOLVE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
]


@pytest.mark.parametrize("code", FATAL)
def test_what_a_person_must_repair_is_fatal_and_says_how(code: int) -> None:
    problem = reaction(KafkaError(code), "pancake.messages[3]")
    assert isinstance(problem, FatalError)
    assert problem.advice
    assert "pancake.messages[3]" in str(problem)


@pytest.mark.parametrize("code", PASSING)
def test_what_may_pass_later_is_tried_again(code: int) -> None:
    assert isinstance(reaction(KafkaError(code), "producing"), RetryableError)


def test_a_missing_right_is_not_a_missing_topic() -> None:
    assert isinstance(reaction(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "x"), UnauthorizedError)
    assert isinstance(reaction(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), "x"), ContractError)
    assert isinstance(reaction(KafkaError(KafkaError._AUTO_OFFSET_RESET), "x"), ContractError)
