"""Ownership comes and goes; what was earned goes with it, and nothing else."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from connector.model import Partition, Position
from connector.telemetry import OWNERSHIP
from tests.fakes.clock import settle
from tests.fakes.delivery import Delivery, Process
from tests.fakes.events import message

Build = Callable[..., Delivery]


async def test_leaving_begins_nothing_new_and_brings_home_what_is_on_the_wire(deliver: Build) -> None:
    delivery = deliver(lanes=2)
    gates = [delivery.sink.hold(f"c{n}") for n in range(4)]
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(4)))
    process = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire == 2)
    process.stop.set()
    await delivery.clock.advance(1.0)
    assert not process.task.done()
    for gate in gates:
        gate.set()
    await delivery.until(process.task.done)
    process.task.result()
    assert set(delivery.sink.versions) == {"m0", "m1"}
    assert delivery.committed() == 2


async def test_the_next_offset_of_a_hand_over_is_the_contiguous_prefix(deliver: Build) -> None:
    delivery = deliver(drain=0.0)
    delivery.sink.hold("c1")
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(4)))
    process = delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 3)
    process.stop.set()
    await delivery.until(process.task.done)
    assert delivery.committed() == 1
    assert set(delivery.sink.versions) == {"m0", "m2", "m3"}
    assert delivery.sink.on_the_wire == 0  # what did not come home is abandoned


async def test_a_partition_left_in_the_middle_of_a_retry_is_left_at_once(delivery: Delivery) -> None:
    delivery.sink.fail("c1", times=10**6)
    delivery.publish(message("c1", "m1"), message("c2", "m2"))
    process = delivery.start()
    await delivery.until(lambda: delivery.sink.rows)
    process.stop.set()
    await settle()
    await delivery.until(process.task.done, within=0.3)
    assert delivery.committed() == 0


async def test_a_partition_left_in_front_of_a_deaf_shelf_is_left_at_once(delivery: Delivery) -> None:
    delivery.sink.reject("poison")
    delivery.letters.fail("put", times=10**6)
    delivery.publish(message("c1", "poison"))
    process = delivery.start()
    await delivery.until(lambda: delivery.letters.tries["put"] > 3)
    process.stop.set()
    await delivery.until(process.task.done, within=0.3)
    assert delivery.committed() == 0


async def test_the_next_owner_goes_on_exactly_there(deliver: Build) -> None:
    delivery = deliver(partitions=4)
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(40)))
    first = delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 40)
    second = delivery.start()
    await delivery.until(lambda: len(second.consumer.owned) == 4)
    assert len(first.consumer.owned) == 4
    delivery.publish(*(message(f"c{n}", f"n{n}") for n in range(40)))
    await delivery.until(lambda: len(delivery.sink.rows) == 80)
    assert sum(len(lane) for lane in delivery.sink.calls) == 80  # nothing is done twice
    assert delivery.sink.overlaps == 0


async def test_what_is_lost_is_abandoned_and_stored_no_more(deliver: Build) -> None:
    delivery = deliver()
    gate = delivery.sink.hold("c1")
    delivery.publish(message("c0", "m0"), message("c1", "m1"))
    frozen = delivery.start()
    await delivery.until(lambda: delivery.committed() == 1)
    frozen.consumer.expel()
    await delivery.until(lambda: frozen.metrics.total(OWNERSHIP, "lost"))
    await delivery.clock.advance(0.5)
    gate.set()
    frozen.stop.set()
    await delivery.until(frozen.task.done)
    await delivery.run_once()
    assert delivery.committed() == 2
    assert delivery.sink.overlaps == 0


async def test_offsets_of_a_partition_lost_meanwhile_move_nothing(deliver: Build) -> None:
    delivery = deliver()
    gate = delivery.sink.hold("c0")
    delivery.publish(message("c0", "m0"))
    frozen = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    frozen.consumer.expel()
    other = delivery.start()
    gate.set()
    await settle()
    await delivery.until(lambda: delivery.committed() == 1)
    assert frozen.metrics.total(OWNERSHIP, "lost") == 2  # one partition of each topic
    # Both may have written it, but only one of them says so.
    stores = [turn.store for turn in (*frozen.consumer.turns, *other.consumer.turns) if turn.store]
    assert delivery.sink.versions == {"m0": 1}
    assert stores


async def test_a_partition_that_comes_back_is_not_paused_any_more(deliver: Build) -> None:
    delivery = deliver(window_records=1)
    gate = delivery.sink.hold("c1")
    delivery.publish(*(message("c1", f"m{n}") for n in range(10)))
    process = delivery.start()
    await delivery.until(lambda: process.consumer.paused)
    process.consumer.expel()
    await delivery.until(lambda: process.metrics.total(OWNERSHIP, "lost"))
    gate.set()
    await delivery.until(lambda: delivery.committed() == 10)


async def test_a_partition_that_comes_back_full_is_paused_again(deliver: Build) -> None:
    delivery = deliver(window_records=1, poll_records=2)
    delivery.sink.hold("c1")
    delivery.publish(*(message("c1", f"m{n}") for n in range(50)))
    process = delivery.start()
    await delivery.until(lambda: process.consumer.paused)
    process.consumer.expel()
    await delivery.until(lambda: process.metrics.total(OWNERSHIP, "lost"))
    await delivery.clock.advance(20.0)
    assert max(book.held_records for book in process.runner.books.values()) <= 4


def stored(process: Process) -> list[int | Position]:
    return [position for turn in process.consumer.turns for position in turn.store.values()]


async def test_what_was_stored_and_not_committed_is_stored_again(delivery: Delivery) -> None:
    delivery.publish(message("c1", "m1"))
    process = delivery.start()
    await delivery.until(lambda: Position(1, 1 + delivery.size.ahead) in stored(process))
    process.consumer.expel()
    await delivery.until(lambda: delivery.committed() == 1, within=10.0)
    assert len(delivery.sink.calls) == 2


async def test_once_reads_a_partition_that_comes_back_to_its_end_again(delivery: Delivery) -> None:
    gate = delivery.sink.hold("c1")
    delivery.publish(message("c1", "m1"))
    process = delivery.start(once=True)
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(1.0)
    process.consumer.expel()
    await delivery.until(lambda: process.metrics.total(OWNERSHIP, "lost"))
    gate.set()
    await delivery.until(process.task.done)
    process.task.result()
    assert delivery.committed() == 1


async def test_a_partition_taken_over_again_begins_at_the_committed_offset(deliver: Build) -> None:
    delivery = deliver(poll_records=3, window_records=3)
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(9)))
    process = delivery.start()
    await delivery.until(lambda: delivery.committed() == 9)
    process.consumer.expel()
    delivery.publish(message("c9", "m9"))
    await delivery.until(lambda: delivery.committed() == 10)
    assert len(delivery.sink.calls) == 10


async def test_places_among_the_lanes_come_back_whenever_a_partition_is_lost(deliver: Build) -> None:
    # A worker that is abandoned between taking a place and using it must give it back: the places are
    # shared by all partitions of the process.
    for moment in range(30):
        delivery = deliver(lanes=1)
        delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(4)))
        process = delivery.start()
        for _ in range(moment):
            await asyncio.sleep(0)
        await process.runner.lost([Partition(delivery.broker.topics.messages, 0)])
        assert process.runner.worker.desk.calls == 0, moment
        await process.end()


async def one_call_is_out(delivery: Delivery) -> None:
    await delivery.until(lambda: delivery.sink.on_the_wire == 1)


async def test_places_come_back_to_a_worker_that_waits_for_one(deliver: Build) -> None:
    for moment in range(30):
        delivery = deliver(lanes=1, partitions=2)
        conversations = [delivery.conversation(number) for number in range(2)]
        places = [delivery.broker.put(message(c, "m"))[0] for c in conversations]
        gate = delivery.sink.hold(conversations[0])
        process = delivery.start()
        await one_call_is_out(delivery)
        gate.set()
        for _ in range(moment):
            await asyncio.sleep(0)
        await process.runner.lost(places)
        assert process.runner.worker.desk.calls == 0, moment
        await process.end()


async def test_a_hand_over_takes_no_key_a_step_back(deliver: Build) -> None:
    delivery = deliver()
    delivery.sink.fail("sick", times=8)
    delivery.publish(message("sick", "m"), message("c1", "m1", 1), message("c1", "m1", 2))
    first = delivery.start()
    await delivery.until(lambda: delivery.sink.versions == {"m1": 2})
    first.stop.set()
    await delivery.until(first.task.done)
    # All that the first poll brings is what a worker begins with.
    delivery.size = dataclasses.replace(delivery.size, poll_records=2)
    delivery.start()
    await delivery.until(lambda: delivery.committed() == 3)
    assert delivery.sink.versions == {"m": 1, "m1": 2}
    assert not delivery.sink.steps_back


@pytest.mark.parametrize("records", [0, 5])
async def test_a_run_that_is_cancelled_gives_its_partitions_back(delivery: Delivery, records: int) -> None:
    delivery.publish(*(message("c1", f"m{n}") for n in range(records)))
    process = delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == records and process.consumer.owned)
    process.task.cancel()
    await delivery.until(process.task.done)
    assert process.task.cancelled()
    assert not process.consumer.owned
