"""Two pollers and three sinks on a real Kafka and a real Redis, killed again and again."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.kafka import KafkaBroker
from tests.services.pipeline import Pipeline, Shape
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration

PAGES, CONVERSATIONS, MESSAGES = 4, 25, 40
LIMIT = 20
SHAPE = Shape(
    pancake=(
        *("--pages", str(PAGES), "--conversations", str(CONVERSATIONS), "--messages", str(MESSAGES)),
        *("--rate", f"{LIMIT}/1s", "--refusal", "mixed"),
    ),
    folkform=("--rate", "off", "--latency", "0.02"),
    partitions=6,
    env={
        "CONNECTOR_PANCAKE__RATE": f"{LIMIT}/1s",
        # This machine runs a dozen processes on two cores: a call may reach the simulator late.
        "CONNECTOR_BUDGET__JITTER": "0.25",
        "CONNECTOR_FOLKFORM__RATE": "200/1s",
        "CONNECTOR_POLLER__INTERVAL": "1",
        "CONNECTOR_SINK__WINDOW_RECORDS": "25",
    },
)
ROLES = ("poll", "poll", "sink", "sink", "sink")
KILLS_EACH = 2


@pytest.fixture
def pipeline(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_url: str) -> Iterator[Pipeline]:
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url, shape=SHAPE) as running:
        yield running


@pytest.mark.parametrize("seed", [20261124])
def test_whoever_is_killed_whenever_everything_arrives(pipeline: Pipeline, seed: int) -> None:
    dice = random.Random(seed)
    victims = [number for number in range(len(ROLES)) for _ in range(KILLS_EACH)]
    dice.shuffle(victims)
    running = [pipeline.start(role) for role in ROLES]
    for victim in victims:
        _let_something_happen(pipeline, running[victim], dice)
        running[victim].kill()
        running[victim] = pipeline.start(ROLES[victim])
        pipeline.pancake("activity", {"rate": 3})
    pipeline.pancake("activity", {"rate": 0})
    wait_until(lambda: pipeline.audit().equal, timeout=150, what=f"FolkForm to equal Pancake (seed {seed})")

    pancake, folkform = pipeline.pancake(), pipeline.folkform()
    assert pancake["calls_over_limit"] == 0, pancake["max_in_any_second"]
    # Of a process that was killed a call may still be under way; of two that live never.
    assert folkform["overlaps"] == 0
    # What a killed sink had written beyond its committed offset is written again from there, so a key may
    # pass through an older version on the way (docs/DESIGN.md, 7); the audit above says where it ended.
    assert folkform["upserts_of_unchanged"] <= _most_done_again()
    for process in running:
        process.terminate()
    assert [process.wait(20) for process in running] == [0] * len(running)


def _let_something_happen(pipeline: Pipeline, victim: ManagedProcess, dice: random.Random) -> None:
    """Wait until some more calls were made, by anybody: a moment that the seed chooses, not the clock."""
    more = dice.randrange(5, 60)
    reached = pipeline.pancake()["calls"] + pipeline.folkform()["calls"] + more
    victim.wait_for_line("listening", 60)

    def enough() -> bool:
        calls = pipeline.pancake()["calls"] + pipeline.folkform()["calls"]
        return bool(calls >= reached) or pipeline.audit().equal

    wait_until(enough, timeout=60, what=f"{more} more calls")


def _most_done_again() -> int:
    """G2: of a sink one batch per partition it had, of a poller what was under way of each of its pages."""
    sinks, pollers = ROLES.count("sink"), ROLES.count("poll")
    batch = int(SHAPE.env["CONNECTOR_SINK__WINDOW_RECORDS"])
    partitions = 2 * SHAPE.partitions // sinks
    by_sinks = sinks * KILLS_EACH * partitions * batch
    # The snapshots of a list, and a page of messages in each of the four lanes.
    by_pollers = pollers * KILLS_EACH * (PAGES // pollers) * (CONVERSATIONS + 4 * 30)
    return by_sinks + by_pollers
