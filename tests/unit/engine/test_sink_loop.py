"""The sink's loop: how much it holds, and when it is done."""

from collections.abc import Callable

from connector.model import Partition
from connector.telemetry import CONSUMED
from tests.fakes.delivery import Delivery
from tests.fakes.events import message, snapshot

Build = Callable[..., Delivery]


async def test_once_ends_when_what_was_there_is_delivered(deliver: Build) -> None:
    delivery = deliver(partitions=3)
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(30)))
    await delivery.run_once()
    assert len(delivery.sink.rows) == 30
    assert sum(delivery.committed(number=n) for n in range(3)) == 30


async def test_once_ends_with_nothing_to_do(deliver: Build) -> None:
    delivery = deliver(partitions=3)
    await delivery.run_once()
    assert not delivery.sink.begun


async def test_once_ends_when_everything_was_delivered_before(delivery: Delivery) -> None:
    delivery.publish(message("c1", "m1"))
    await delivery.run_once()
    await delivery.run_once()
    assert len(delivery.sink.calls) == 1


async def test_once_ends_without_any_partition(deliver: Build) -> None:
    delivery = deliver(partitions=1)
    owner = delivery.start()
    await delivery.until(lambda: len(owner.consumer.owned) == 2)
    second = delivery.start()
    await delivery.until(lambda: len(second.consumer.owned) == 1)
    await delivery.run_once()
    assert not owner.task.done()


async def test_once_waits_for_the_records_that_a_full_buffer_keeps_out(deliver: Build) -> None:
    delivery = deliver(window_records=2, poll_records=3)
    delivery.sink.latency = lambda: 0.7
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(50)))
    await delivery.run_once()
    assert len(delivery.sink.rows) == 50


async def test_once_ends_although_more_keeps_coming(delivery: Delivery) -> None:
    delivery.publish(message("c0", "m0"))
    process = delivery.start(once=True)
    delivery.sink.latency = lambda: 0.15
    for n in range(1, 500):
        delivery.publish(message(f"c{n}", f"m{n}"))
        await delivery.clock.advance(0.05)
        if process.task.done():
            break
    assert process.task.done()
    process.task.result()
    assert "m0" in delivery.sink.versions
    assert delivery.committed() < 100


async def test_a_full_partition_is_paused_and_goes_on_at_half(deliver: Build) -> None:
    delivery = deliver(window_records=4, poll_records=2)
    gate = delivery.sink.hold("c0")
    delivery.publish(*(message("c0", f"m{n}") for n in range(40)))
    process = delivery.start()
    partition = Partition(delivery.broker.topics.messages, 0)
    await delivery.until(lambda: partition in process.consumer.paused)
    worker = process.runner.books[partition]
    held = worker.held_records
    assert 8 <= held <= 8 + 2
    await delivery.clock.advance(5.0)
    assert worker.held_records == held
    gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 40)
    assert max(len(lane) for lane in delivery.sink.calls) <= 4
    await delivery.until(lambda: not process.consumer.paused)
    pauses = [turn for turn in process.consumer.turns if turn.pause]
    resumes = [turn for turn in process.consumer.turns if turn.resume]
    assert len(pauses) == len(resumes)
    assert pauses


async def test_a_buffer_is_counted_in_bytes_too(deliver: Build) -> None:
    delivery = deliver(window_bytes=20_000, poll_records=1)
    gate = delivery.sink.hold("c0")
    delivery.publish(*(message("c0", f"m{n}", payload=b"x" * 1500) for n in range(40)))
    process = delivery.start()
    partition = Partition(delivery.broker.topics.messages, 0)
    await delivery.until(lambda: partition in process.consumer.paused)
    # Two partitions share 20,000 bytes, and in the other nothing is saved by holding more.
    assert 17_500 <= process.runner.books[partition].held_bytes <= 17_500 + 2_000
    gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 40)
    assert process.runner.books[partition].held_bytes == 0


async def test_snapshots_do_not_fill_the_buffer_for_they_are_a_call_each(deliver: Build) -> None:
    delivery = deliver(window_bytes=40_000, poll_records=1, lanes=1)
    delivery.sink.hold("c0")
    delivery.publish(*(snapshot(f"c{n}", payload=b"x" * 1500) for n in range(40)))
    process = delivery.start()
    partition = Partition(delivery.broker.topics.conversations, 0)
    await delivery.until(lambda: partition in process.consumer.paused)
    assert 5_000 <= process.runner.books[partition].held_bytes <= 5_000 + 2_000


async def test_a_record_larger_than_the_buffer_passes_all_the_same(deliver: Build) -> None:
    delivery = deliver(window_bytes=20_000)
    delivery.publish(message("c0", "m0", payload=b"x" * 100_000), message("c1", "m1"))
    await delivery.run_once()
    assert len(delivery.sink.rows) == 2


async def test_a_full_partition_does_not_keep_the_others_from_reading(deliver: Build) -> None:
    delivery = deliver(window_records=2, poll_records=4)
    delivery.sink.hold("c0")
    delivery.publish(*(message("c0", f"m{n}") for n in range(20)))
    process = delivery.start()
    await delivery.until(lambda: process.consumer.paused)
    delivery.publish(*(snapshot(f"c{n}") for n in range(1, 21)))
    await delivery.until(lambda: delivery.committed(delivery.broker.topics.conversations) == 20)
    assert len(delivery.sink.rows) == 20


async def test_every_record_is_counted_once(delivery: Delivery) -> None:
    delivery.publish(*(message("c0", f"m{n}") for n in range(7)), snapshot("c0"))
    await delivery.run_once()
    metrics = delivery.processes[0].metrics
    assert metrics.total(CONSUMED, delivery.broker.topics.messages) == 7
    assert metrics.total(CONSUMED) == 8


async def test_the_loop_says_that_it_turns_and_that_it_is_ready(delivery: Delivery) -> None:
    process = delivery.start()
    await delivery.until(lambda: process.runner.ready)
    beat = process.runner.beat
    await delivery.clock.advance(3.0)
    assert process.runner.beat > beat + 2.5
    process.stop.set()
    await delivery.until(process.task.done)
    assert not process.runner.ready
