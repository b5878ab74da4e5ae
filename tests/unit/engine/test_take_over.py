"""A new owner writes of no key anything older than what the last one may have written."""

import asyncio
import dataclasses
from collections.abc import Callable

from connector.engine.book import Book, Reach
from connector.model import Partition, Position, Record, Start
from tests.fakes.delivery import Delivery, Process
from tests.fakes.events import message, snapshot

Build = Callable[..., Delivery]
PARTITION = Partition("pancake.messages", 0)


async def stuck_at_the_first(delivery: Delivery, *, poll_records: int = 500) -> Process:
    """A process that has written all but what is at offset 0, so that its offset stays there."""
    delivery.sink.fail("sick", times=10**6)
    process = delivery.start()
    await delivery.until(lambda: delivery.sink.versions == {"m1": 2, "m2": 1})
    delivery.size = dataclasses.replace(delivery.size, poll_records=poll_records)
    return process


def sick_and_two_versions(delivery: Delivery) -> None:
    delivery.publish(
        message("sick", "m"), message("c1", "m1", 1), message("c2", "m2"), message("c1", "m1", 2)
    )


async def recover(delivery: Delivery) -> None:
    delivery.sink.recover("sick")
    delivery.start()
    await delivery.until(lambda: delivery.committed() == 4)


async def test_after_a_crash_no_key_goes_back(deliver: Build) -> None:
    delivery = deliver(window_records=2)
    sick_and_two_versions(delivery)
    crashed = await stuck_at_the_first(delivery, poll_records=1)
    await crashed.end()
    await recover(delivery)
    assert delivery.sink.versions == {"m": 1, "m1": 2, "m2": 1}
    assert not delivery.sink.steps_back


async def test_a_superseded_record_is_settled_with_the_newer_one_and_not_before(deliver: Build) -> None:
    delivery = deliver()
    delivery.publish(
        message("sick", "m"), message("c1", "m1", 1), message("c2", "m2"), message("c1", "m1", 2)
    )
    crashed = await stuck_at_the_first(delivery)
    await crashed.end()
    gate = delivery.sink.hold("c1")
    delivery.sink.recover("sick")
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(2.0)
    assert delivery.committed() == 1  # offset 1 waits for offset 3
    gate.set()
    await delivery.until(lambda: delivery.committed() == 4)


async def test_who_left_in_good_order_leaves_nothing_to_read_twice(deliver: Build) -> None:
    delivery = deliver()
    delivery.publish(message("c1", "m1"), message("c2", "m2"))
    await delivery.run_once()
    delivery.publish(message("c1", "m1", 2))
    process = delivery.start()
    await delivery.until(lambda: delivery.committed() == 3)
    assert not any(turn.rewind for turn in process.consumer.turns)
    assert len(delivery.sink.calls) == 3


async def test_nothing_is_written_before_the_broker_knows_that_it_may_be(delivery: Delivery) -> None:
    # Whoever left in good order has said that nothing lies written beyond. Who then writes and dies
    # before its first commit must have unsaid it, or the next one would read nothing twice.
    delivery.publish(message("c1", "m1"))
    await delivery.run_once()
    group = delivery.processes[0].consumer.group
    assert group.positions[PARTITION] == Position(1, 1)
    delivery.publish(message("c1", "m1", 2))
    reach: list[int | None] = []

    def look() -> float:
        reach.append(group.positions[PARTITION].reach)
        return 0.0

    delivery.sink.latency = look
    delivery.start()
    await delivery.until(lambda: delivery.sink.versions == {"m1": 2})
    assert reach == [1 + delivery.size.ahead]


async def test_a_call_that_never_came_home_is_waited_for(deliver: Build) -> None:
    delivery = deliver(drain=0.0, quarantine=5.0)
    delivery.sink.hold("c1")
    delivery.publish(message("c1", "m1"))
    leaving = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    leaving.stop.set()
    await delivery.until(leaving.task.done)
    delivery.sink.release("c1")
    left_at = delivery.clock.monotonic()
    delivery.start()
    await delivery.until(lambda: delivery.sink.rows)
    assert delivery.clock.monotonic() - left_at >= 5.0


async def test_a_hand_over_in_good_order_is_not_waited_for(deliver: Build) -> None:
    delivery = deliver(partitions=2, quarantine=500.0)
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(20)))
    first = delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 20)
    second = delivery.start()
    await delivery.until(lambda: len(second.consumer.owned) == 2)
    first.stop.set()
    delivery.publish(*(message(f"c{n}", f"n{n}") for n in range(20)))
    await delivery.until(lambda: len(delivery.sink.rows) == 40, within=10.0)


async def test_an_older_snapshot_that_comes_late_is_not_written_over_a_newer_one(delivery: Delivery) -> None:
    delivery.publish(snapshot("c1", 7))
    process = delivery.start()
    topic = delivery.broker.topics.conversations
    await delivery.until(lambda: delivery.committed(topic) == 1)
    delivery.publish(snapshot("c1", 5))
    await delivery.until(lambda: delivery.committed(topic) == 2)
    assert delivery.sink.calls == [(snapshot("c1", 7),)]
    assert not process.task.done()


async def test_a_snapshot_whose_content_is_there_is_not_sent_again(delivery: Delivery) -> None:
    one = snapshot("c1", 7)
    delivery.publish(one)
    delivery.start()
    topic = delivery.broker.topics.conversations
    await delivery.until(lambda: delivery.committed(topic) == 1)
    delivery.publish(dataclasses.replace(one, updated_at=9, observed_at=9))
    await delivery.until(lambda: delivery.committed(topic) == 2)
    assert len(delivery.sink.calls) == 1
    delivery.publish(dataclasses.replace(one, updated_at=8, observed_at=8, content_hash=b"other"))
    await delivery.until(lambda: delivery.committed(topic) == 3)
    assert len(delivery.sink.calls) == 1  # older than what is there, if only by its date


async def test_what_the_process_has_forgotten_it_writes_again(deliver: Build) -> None:
    delivery = deliver(remembered=0)
    one = snapshot("c1", 7)
    delivery.publish(one)
    delivery.start()
    topic = delivery.broker.topics.conversations
    await delivery.until(lambda: delivery.committed(topic) == 1)
    delivery.publish(one)
    await delivery.until(lambda: delivery.committed(topic) == 2)
    assert delivery.sink.calls == [(one,), (one,)]


def record(offset: int, key: str = "m", version: int = 1) -> Record:
    event = message("c", key, version)
    return Record(PARTITION, offset, 10**6, key.encode(), b"", event)


def book(start: Start, *, ahead: int = 10) -> Book:
    return Book(PARTITION, start, Reach(records=5, ahead=ahead), lambda: 100)


def test_a_gap_wider_than_writes_may_run_ahead_holds_up_nobody() -> None:
    one = book(Start(5, 1000, reach=5))
    one.committed(Position(5, 15))
    assert one.offer(record(700)) is None
    assert one.next_offset == 700
    (lane,) = one.committed(Position(700, 710))
    assert lane.has_work


def test_a_newest_version_that_is_compacted_away_meanwhile_holds_up_nobody() -> None:
    one = book(Start(5, 8, reach=8))
    for seen in (record(5), record(7, version=2)):
        one.offer(seen)
    assert one.surveyed
    assert one.rewound() == 5
    assert one.offer(record(5)) is None
    assert one.next_offset == 5
    one.offer(record(9, version=3))
    assert one.next_offset == 9


def test_who_owned_it_before_us_may_have_reached_further_than_we_would() -> None:
    one = book(Start(5, 100, reach=50), ahead=10)
    assert one.last_position == Position(5, 50)
    one.offer(record(49))
    assert one.surveyed


def test_beyond_the_end_nobody_can_have_written() -> None:
    assert book(Start(5, 5, reach=50)).last_position == Position(5, 5)


def test_without_a_word_of_the_last_owner_it_may_have_written_as_far_as_we_would() -> None:
    assert book(Start(5, 100), ahead=10).last_position == Position(5, 15)


async def test_a_call_of_the_last_owner_is_not_overtaken_when_it_is_told_to_leave(deliver: Build) -> None:
    delivery = deliver()
    gate = delivery.sink.hold("c1")
    delivery.publish(message("c1", "m1"))
    first = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    first.stop.set()
    second = delivery.start()
    await delivery.clock.advance(3.0)
    assert delivery.sink.begun == 1
    gate.set()
    await delivery.until(lambda: delivery.committed() == 1)
    await delivery.until(lambda: second.consumer.owned)
    await asyncio.sleep(0)
    assert delivery.sink.overlaps == 0
    assert len(delivery.sink.calls) == 1


def test_what_is_only_sent_again_takes_no_new_record_along() -> None:
    one = book(Start(0, 0))
    one.committed(Position(0, 10))
    lane = one.offer(record(0))
    assert lane is not None
    trial = one.begin(lane, 0, lambda _book, _batch: None)
    assert trial is not None
    one.settle(lane, trial.batch)
    again = one.again(record(0))
    assert again is one.offer(record(1, version=2))
    assert again is not None
    assert again.waiting.take().starts == []
    assert again.waiting.take().starts == [1]
    assert one.next_offset == 1
