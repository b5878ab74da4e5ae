"""Pollers that freeze, die in the middle of a scan, or meet a rival: real processes on a real Kafka."""

import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from connector.codec import cursor_owner, decode_event
from tests.integration.dying import Point
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import Pipeline, Shape
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration

PAGES, CONVERSATIONS, LANES, LIMIT = 4, 12, 4, 20
SHAPE = Shape(
    pancake=(
        *("--pages", str(PAGES), "--conversations", str(CONVERSATIONS), "--messages", "20"),
        *("--rate", f"{LIMIT}/1s", "--refusal", "mixed"),
    ),
    partitions=4,
    env={
        "CONNECTOR_PANCAKE__RATE": f"{LIMIT}/1s",
        "CONNECTOR_BUDGET__JITTER": "0.25",
        "CONNECTOR_POLLER__INTERVAL": "1",
        "CONNECTOR_POLLER__LANES": str(LANES),
    },
)


@pytest.fixture
def pipeline(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_url: str) -> Iterator[Pipeline]:
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url, shape=SHAPE) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Saved:
    """A record of the cursors' topic: whose, where, and whether it is a claim."""

    owner: str
    offset: int
    claim: bool


def saved(pipeline: Pipeline) -> Mapping[int, Sequence[Saved]]:
    """All of them, partition by partition, in order."""
    found: dict[int, list[Saved]] = defaultdict(list)
    for record in pipeline.records(pipeline.topics.cursors):
        number, offset = record.partition(), record.offset()
        assert number is not None
        assert offset is not None
        found[number].append(Saved(cursor_owner(record.value()), offset, record.key() == b"claim"))
    return found


def owners(pipeline: Pipeline) -> Mapping[int, str]:
    """By partition, who claimed it last."""
    return {
        number: next(record.owner for record in reversed(records) if record.claim)
        for number, records in saved(pipeline).items()
    }


def more_calls(pipeline: Pipeline, count: int) -> None:
    reached = pipeline.pancake()["calls"] + count
    wait_until(lambda: pipeline.pancake()["calls"] >= reached, timeout=60, what=f"{count} more calls")


def behind_a_claim(records: Sequence[Saved], owner: str) -> int:
    """How much somebody saved after another had claimed, and before he claimed again himself."""
    holder, late = "", 0
    for record in records:
        if record.claim:
            holder = record.owner
        elif record.owner == owner:
            late += holder != owner
    return late


def steps_back(pipeline: Pipeline) -> int:
    """Snapshots that lie behind a newer one of the same conversation."""
    newest: dict[bytes, int] = {}
    found = 0
    for record in pipeline.records(pipeline.topics.conversations):
        key, updated_at = record.key() or b"", decode_event(record.value()).updated_at
        found += updated_at < newest.get(key, 0)
        newest[key] = max(newest.get(key, 0), updated_at)
    return found


def all_is_there(pipeline: Pipeline) -> None:
    """What is published, written to FolkForm, is what Pancake holds."""
    assert pipeline.start("sink", "--once").wait(90) == 0
    audit = pipeline.audit()
    assert audit.equal, audit.sentence()


def end(*processes: ManagedProcess) -> None:
    for process in processes:
        process.terminate()
    assert [process.wait(30) for process in processes] == [0] * len(processes)


def test_a_poller_that_was_frozen_and_wakes_publishes_no_more_than_was_on_its_way(pipeline: Pipeline) -> None:
    frozen = pipeline.start("poll")
    wait_until(lambda: len(owners(pipeline)) == SHAPE.partitions, timeout=60, what="all to be claimed")
    (zombie,) = set(owners(pipeline).values())
    pipeline.pancake("activity", {"rate": 5})
    more_calls(pipeline, 40)
    other = pipeline.start("poll")
    wait_until(lambda: len(set(owners(pipeline).values())) == 2, timeout=60, what="the second to own some")
    more_calls(pipeline, 40)
    frozen.freeze()
    wait_until(lambda: zombie not in owners(pipeline).values(), timeout=60, what="the other to own all")
    more_calls(pipeline, 40)
    frozen.thaw()
    frozen.wait_for_line(r"partition claimed by another process|\"change\": ?\"lost\"", 60)
    more_calls(pipeline, 80)
    pipeline.pancake("activity", {"rate": 0})
    end(frozen, other)

    assert pipeline.start("poll", "--once").wait(90) == 0
    for records in saved(pipeline).values():
        assert behind_a_claim(records, zombie) <= LANES
    assert steps_back(pipeline) <= CONVERSATIONS
    assert pipeline.pancake()["calls_over_limit"] == 0
    all_is_there(pipeline)


def test_two_pollers_forced_on_the_same_pages_take_turns_and_lose_nothing(pipeline: Pipeline) -> None:
    pipeline.pancake("activity", {"rate": 5})
    rivals = [pipeline.start("poll"), pipeline.start_python("tests.integration.rival", "rivals")]
    for rival in rivals:
        rival.wait_for_line("partition claimed by another process", 90)
    rivals[0].wait_for_line("partition claimed again", 60)
    pipeline.pancake("activity", {"rate": 0})
    end(*rivals)

    assert pipeline.start("poll", "--once").wait(90) == 0
    for records in saved(pipeline).values():
        for owner in {record.owner for record in records}:
            turns = sum(record.claim and record.owner != owner for record in records)
            assert behind_a_claim(records, owner) <= LANES * max(1, turns)
    assert pipeline.pancake()["calls_over_limit"] == 0
    all_is_there(pipeline)


@pytest.mark.parametrize("calls", [4, 30, 75])
def test_a_poller_killed_in_the_middle_of_a_scan_leaves_the_older_part_to_the_next(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, calls: int
) -> None:
    # Three pages of results: the scan goes from the newest change down and dies on its way.
    shape = Shape(
        pancake=("--pages", "1", "--conversations", "150", "--messages", "3", "--plain", "--rate", "off")
    )
    with Pipeline(kafka, topic_prefix, tmp_path, shape=shape) as pipeline:
        assert pipeline.start("poll", "--once").wait(90) == 0
        for shelf in list(pipeline.dump()):
            where = {"page_id": shelf.page_id, "conversation_id": shelf.conversation_id}
            pipeline.pancake("act", {"verb": "add_message", **where})
        dying = pipeline.start_python("tests.integration.dying", Point.POLL_AFTER_CALL.value, str(calls))
        assert dying.wait(90) == -signal.SIGKILL, dying.text()[-2000:]
        assert pipeline.start("poll", "--once").wait(90) == 0
        all_is_there(pipeline)


def test_a_broker_that_goes_away_and_comes_back_costs_a_poller_time_and_nothing_else(
    pipeline: Pipeline, kafka: KafkaBroker
) -> None:
    if not kafka.ours:
        pytest.skip("the broker is not ours to stop")
    poller = pipeline.start("poll")
    wait_until(lambda: len(owners(pipeline)) == SHAPE.partitions, timeout=60, what="all to be claimed")
    # Few enough that what is edited while nobody looks is still on a newest page of messages afterwards:
    # deeper edits beside new messages are the reconcile's, and --once has none.
    pipeline.pancake("activity", {"rate": 3})
    more_calls(pipeline, 30)
    kafka.kill()
    # Longer than a session: the poller must take its pages for lost before what it sent has timed out.
    poller.wait_for_line(r"\"change\": ?\"lost\"", 90)
    kafka.start()
    more_calls(pipeline, 60)
    pipeline.pancake("activity", {"rate": 0})
    end(poller)
    assert pipeline.start("poll", "--once").wait(90) == 0
    all_is_there(pipeline)
