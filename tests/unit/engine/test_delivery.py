"""What a partition's worker does with its records, whatever the target answers."""

from collections.abc import Callable

import pytest

from connector.errors import ContractError, RejectedError, UnauthorizedError, UnknownOutcomeError
from connector.telemetry import DEAD_LETTERS, DELIVERED, REFUSALS, RETRIES, WRITES
from tests.fakes.delivery import Delivery
from tests.fakes.events import message, snapshot
from tests.fakes.sink import CRASH_AFTER_WRITE, CRASH_BEFORE_WRITE

Build = Callable[..., Delivery]


async def test_everything_arrives_and_the_offset_stands_behind_it(delivery: Delivery) -> None:
    delivery.publish(message("c1", "m1"), message("c2", "m2"), snapshot("c1"))
    await delivery.run_once()
    assert delivery.sink.versions == {"m1": 1, "m2": 1, "c1": 1}
    assert delivery.committed() == 2
    assert delivery.committed(delivery.broker.topics.conversations) == 1


async def test_a_window_of_one_conversation_is_one_call(delivery: Delivery) -> None:
    delivery.publish(*(message("c1", f"m{n}") for n in range(50)), message("c2", "m"))
    await delivery.run_once()
    assert [len(lane) for lane in delivery.sink.calls] == [50, 1]
    metrics = delivery.processes[0].metrics
    assert (metrics.total(WRITES), metrics.total(DELIVERED)) == (2, 51)


async def test_what_gathers_while_a_call_is_out_goes_in_one_call(deliver: Build) -> None:
    delivery = deliver(poll_records=1)
    gate = delivery.sink.hold("c1")
    delivery.publish(*(message("c1", f"m{n}") for n in range(20)))
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(5.0)
    gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 20)
    first, second = (len(lane) for lane in delivery.sink.calls)
    # One more may come while the broker is told how far writes may reach.
    assert first <= 2
    assert first + second == 20


async def test_a_window_is_never_wider_than_its_bound(deliver: Build) -> None:
    delivery = deliver(window_records=7)
    delivery.publish(*(message("c1", f"m{n}") for n in range(30)))
    await delivery.run_once()
    assert [len(lane) for lane in delivery.sink.calls] == [7, 7, 7, 7, 2]


async def test_only_the_newest_version_of_a_key_is_sent(delivery: Delivery) -> None:
    delivery.publish(snapshot("c1", 5), snapshot("c1", 7), snapshot("c1", 6))
    await delivery.run_once()
    assert delivery.sink.calls == [(snapshot("c1", 7),)]
    assert delivery.committed(delivery.broker.topics.conversations) == 3


@pytest.mark.parametrize("crash", [CRASH_BEFORE_WRITE, CRASH_AFTER_WRITE])
@pytest.mark.parametrize("at", range(4))
async def test_a_crash_around_a_write_replays_but_never_skips(deliver: Build, crash: bytes, at: int) -> None:
    delivery = deliver(window_records=2, ahead=2)
    # Longer than a turn of the loop, so that what was done is committed before the next batch.
    delivery.sink.latency = lambda: 0.3
    events = [message(f"c{n}", f"m{n}") for n in range(4)]
    events[at] = message(f"c{at}", f"m{at}", payload=crash)
    delivery.publish(*events)
    await delivery.run_once()
    assert delivery.processes[0].crashed
    assert delivery.committed() <= at
    await delivery.run_once()
    assert set(delivery.sink.versions) == {"m0", "m1", "m2", "m3"}
    assert delivery.committed() == 4
    # G2: what is done again is bounded by how far writes run ahead.
    assert len(delivery.sink.calls) <= 4 + 2


async def test_a_crash_between_the_dead_letter_and_the_offset_shelves_twice_but_never_skips(
    delivery: Delivery,
) -> None:
    delivery.sink.reject("poison")
    delivery.letters.crash_after("put")
    delivery.publish(message("c1", "poison"), message("c2", "m2"))
    await delivery.run_once()
    assert delivery.processes[0].crashed
    assert delivery.committed() == 0
    await delivery.run_once()
    assert [letter.offset for letter in delivery.shelved] == [0, 0]
    assert (set(delivery.sink.versions), delivery.committed()) == ({"m2"}, 2)


async def test_what_may_pass_later_is_repeated_until_it_does_and_shelved_never(delivery: Delivery) -> None:
    delivery.sink.fail("c1", times=40)
    delivery.publish(message("c1", "m1"))
    await delivery.run_once()
    assert set(delivery.sink.versions) == {"m1"}
    assert not delivery.shelved
    assert delivery.processes[0].metrics.total(RETRIES) == 40


async def test_an_unknown_outcome_is_sent_again(delivery: Delivery) -> None:
    delivery.sink.fail("c1", error=UnknownOutcomeError("the connection broke"))
    delivery.publish(message("c1", "m1"))
    await delivery.run_once()
    assert delivery.sink.calls == [(message("c1", "m1"),)] * 2
    assert delivery.committed() == 1


async def test_a_repeated_write_holds_its_partition_and_nobody_else(deliver: Build) -> None:
    delivery = deliver(partitions=2, window_records=2)
    sick, well = delivery.conversation(0), delivery.conversation(1)
    delivery.sink.fail(sick, times=10**6)
    delivery.publish(*(message(c, f"m{n}") for n in range(6) for c in (sick, well)))
    process = delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 6)
    turns = len(process.consumer.turns)
    await delivery.clock.advance(10.0)
    assert len(process.consumer.turns) > turns + 50  # the poll goes on
    assert delivery.committed(number=1) == 6
    assert delivery.committed(number=0) == 0
    assert {event.conversation_id for event in delivery.sink.rows.values()} == {well}


async def test_a_conversation_that_waits_stops_the_offset_not_its_neighbours(delivery: Delivery) -> None:
    gate = delivery.sink.hold("c2")
    delivery.publish(*(message(c, c) for c in ("c1", "c2", "c3")))
    delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 2)
    await delivery.clock.advance(1.0)
    assert set(delivery.sink.versions) == {"c1", "c3"}
    assert delivery.committed() == 1
    gate.set()
    await delivery.until(lambda: delivery.committed() == 3)


async def test_writes_run_ahead_of_the_committed_offset_so_far_and_no_further(deliver: Build) -> None:
    delivery = deliver(window_records=2, ahead=5)
    gate = delivery.sink.hold("c0")
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(9)))
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(5.0)
    assert set(delivery.sink.versions) == {"m1", "m2", "m3", "m4"}
    assert delivery.committed() == 0
    gate.set()
    await delivery.until(lambda: delivery.committed() == 9)


async def test_no_conversation_is_ever_written_twice_at_once(deliver: Build) -> None:
    delivery = deliver(partitions=3, window_records=3, poll_records=5)
    delivery.sink.latency = lambda: 0.05
    events = [message(f"c{n % 7}", f"m{n}") for n in range(100)]
    events += [snapshot(f"c{n % 7}", n) for n in range(50)]
    delivery.publish(*events)
    await delivery.run_once()
    assert delivery.sink.overlaps == 0
    assert len(delivery.sink.rows) == 107


async def test_all_partitions_together_write_no_more_conversations_at_once_than_told(deliver: Build) -> None:
    delivery = deliver(partitions=4, lanes=3)
    gates = [delivery.sink.hold(f"c{n}") for n in range(20)]
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(20)))
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    await delivery.clock.advance(2.0)
    assert delivery.sink.on_the_wire == 3
    for gate in gates:
        gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 20)


@pytest.mark.parametrize("culprit", range(9))
async def test_only_the_culprit_is_shelved_and_its_neighbours_pass_at_once(
    delivery: Delivery, culprit: int
) -> None:
    delivery.sink.reject(f"m{culprit}")
    delivery.publish(*(message("c1", f"m{n}") for n in range(9)), message("c2", "other"))
    await delivery.run_once()
    assert set(delivery.sink.versions) == {f"m{n}" for n in range(9) if n != culprit} | {"other"}
    (letter,) = delivery.shelved
    assert (letter.offset, letter.key) == (culprit, f"c1\0m{culprit}".encode())
    assert (letter.problem.reason, letter.problem.status, letter.problem.tries) == ("poison", 422, 3)
    assert delivery.committed() == 10
    metrics = delivery.processes[0].metrics
    # Halves find it: log2 of the window, and three tries of the culprit alone.
    assert metrics.total(REFUSALS) <= 4 + 3
    assert metrics.total(DEAD_LETTERS, "poison") == 1


async def test_several_culprits_are_all_found(delivery: Delivery) -> None:
    delivery.sink.reject("m0", "m3", "m4", "m9")
    delivery.publish(*(message("c1", f"m{n}") for n in range(10)))
    await delivery.run_once()
    assert sorted(letter.offset or 0 for letter in delivery.shelved) == [0, 3, 4, 9]
    assert len(delivery.sink.rows) == 6


async def test_what_we_see_ourselves_is_not_tried_again(delivery: Delivery) -> None:
    delivery.sink.reject("poison", status=None)
    delivery.publish(message("c1", "poison"))
    await delivery.run_once()
    assert delivery.sink.begun == 1
    assert delivery.shelved[0].problem.tries == 1


async def test_a_refusal_that_does_not_last_shelves_nothing(delivery: Delivery) -> None:
    delivery.sink.fail("c1", times=2, error=RejectedError("odd", "maybe", status=400))
    delivery.publish(message("c1", "m1"))
    await delivery.run_once()
    assert not delivery.shelved
    assert set(delivery.sink.versions) == {"m1"}


async def test_the_offset_waits_for_the_dead_letters_acknowledgement(delivery: Delivery) -> None:
    delivery.sink.reject("poison")
    acknowledge = delivery.letters.hold("put")
    delivery.publish(message("c1", "poison"), message("c2", "m2"))
    process = delivery.start()
    await delivery.until(lambda: delivery.letters.tries["put"])
    await delivery.clock.advance(5.0)
    assert set(delivery.sink.versions) == {"m2"}
    assert delivery.committed() == 0
    acknowledge.set()
    await delivery.until(lambda: delivery.committed() == 2)
    assert not process.task.done()


async def test_a_shelf_that_does_not_take_it_is_asked_again_and_the_offset_stays(delivery: Delivery) -> None:
    delivery.sink.reject("poison")
    delivery.letters.fail("put", times=10)
    delivery.publish(message("c1", "poison"))
    delivery.start()
    await delivery.until(lambda: delivery.letters.tries["put"] == 10)
    assert delivery.committed() == 0
    await delivery.until(lambda: delivery.committed() == 1)
    assert len(delivery.shelved) == 1


async def test_a_record_that_cannot_be_read_is_shelved_in_its_turn(delivery: Delivery) -> None:
    partition, _ = delivery.broker.put(message("c1", "m1"))
    delivery.broker.append(partition, b"key", b"\x17junk")
    delivery.broker.append(partition, None, None)
    delivery.publish(message("c1", "m2"))
    await delivery.run_once()
    assert [(letter.offset, letter.problem.reason) for letter in delivery.shelved] == [
        (1, "bad_frame"),
        (2, "bad_frame"),
    ]
    assert [(letter.key, letter.value) for letter in delivery.shelved] == [(b"key", b"\x17junk"), (b"", b"")]
    assert set(delivery.sink.versions) == {"m1", "m2"}
    assert delivery.committed() == 4


async def test_an_unreadable_record_moves_nothing_before_it_is_acknowledged(delivery: Delivery) -> None:
    partition, _ = delivery.broker.put(message("c1", "m1"))
    delivery.broker.append(partition, b"key", b"junk")
    acknowledge = delivery.letters.hold("put")
    delivery.start()
    await delivery.until(lambda: delivery.letters.tries["put"] and delivery.sink.rows)
    await delivery.clock.advance(2.0)
    assert delivery.committed() == 1
    acknowledge.set()
    await delivery.until(lambda: delivery.committed() == 2)


async def test_a_fatal_answer_ends_the_run_and_stores_nothing_more(deliver: Build) -> None:
    delivery = deliver(window_records=4)
    delivery.sink.fail("c1", error=ContractError("unknown shape", advice="upgrade"))
    gate = delivery.sink.hold("c1")
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(4)))
    process = delivery.start()
    await delivery.until(lambda: delivery.committed() == 1)
    turns = len(process.consumer.turns)
    gate.set()
    await delivery.until(process.task.done)
    with pytest.raises(ContractError, match="unknown shape"):
        process.task.result()
    assert not any(turn.store for turn in process.consumer.turns[turns:])
    assert delivery.committed() == 1


async def test_a_fatal_answer_stores_nothing_of_the_other_partitions_either(deliver: Build) -> None:
    delivery = deliver(partitions=2)
    conversations = [delivery.conversation(number) for number in range(2)]
    delivery.publish(*(message(c, "m") for c in conversations))
    gates = [delivery.sink.hold(c) for c in conversations]
    delivery.sink.fail(conversations[0], error=UnauthorizedError("refused", advice="renew the token"))
    process = delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire == 2)
    for gate in gates:
        gate.set()
    await delivery.until(process.task.done)
    with pytest.raises(UnauthorizedError):
        process.task.result()
    assert [delivery.committed(number=number) for number in range(2)] == [0, 0]
    assert process.runner.ready is False
