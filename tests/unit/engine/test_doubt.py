"""HTTP 500: an outage, or a record that never passes; a flood of refusals; who waits for whom."""

from collections.abc import Callable, Sequence

import pytest

from connector.errors import DoubtfulError, FatalError, RateLimitedError, UnavailableError
from connector.model import Event, Partition
from connector.telemetry import DEAD_LETTERS, RETRIES
from tests.fakes.delivery import Delivery
from tests.fakes.events import message, snapshot

Build = Callable[..., Delivery]
FAULT = DoubtfulError("HTTP 500", status=500, answer="database")


async def test_one_record_that_fails_for_ever_is_shelved_alone_and_its_neighbours_pass(
    delivery: Delivery,
) -> None:
    delivery.sink.poison("m13")
    delivery.publish(*(message("c1", f"m{n}") for n in range(27)), message("c2", "other"))
    await delivery.run_once()
    assert set(delivery.sink.versions) == {f"m{n}" for n in range(27) if n != 13} | {"other"}
    (letter,) = delivery.shelved
    problem = letter.problem
    assert (letter.offset, problem.reason, problem.status) == (13, "refused_by_server", 500)
    assert problem.tries >= delivery.size.doubts
    assert delivery.committed() == 28


async def test_neighbours_do_not_wait_for_the_verdict(delivery: Delivery) -> None:
    delivery.sink.poison("m5")
    delivery.publish(*(message("c1", f"m{n}") for n in range(8)))
    delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 7)
    assert not delivery.shelved


async def test_a_snapshot_that_fails_for_ever_is_shelved_while_others_pass(delivery: Delivery) -> None:
    delivery.sink.poison("c3")
    delivery.publish(*(snapshot(f"c{n}") for n in range(6)))
    await delivery.run_once()
    assert [letter.offset for letter in delivery.shelved] == [3]
    assert len(delivery.sink.rows) == 5


async def test_when_all_fail_nothing_is_shelved_however_long_it_takes(delivery: Delivery) -> None:
    delivery.sink.outage = FAULT
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(30)), *(snapshot(f"c{n}") for n in range(30)))
    delivery.start()
    await delivery.clock.advance(3600.0)
    assert not delivery.shelved
    assert delivery.committed() == 0
    delivery.sink.outage = None
    # Not one at a time any more, once one has passed.
    delivery.sink.latency = lambda: 1.0
    await delivery.until(lambda: len(delivery.sink.rows) == 60, within=20.0)
    assert not delivery.shelved


async def test_an_outage_costs_few_calls(delivery: Delivery) -> None:
    delivery.sink.outage = UnavailableError("nobody there")
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(90)))
    process = delivery.start()
    await delivery.clock.advance(60.0)
    begun = delivery.sink.begun
    await delivery.clock.advance(60.0)
    # One looks every second or so (the longest wait of this stage is 2 s); ninety others wait.
    assert 20 <= delivery.sink.begun - begun <= 130
    assert process.metrics.total(RETRIES) == delivery.sink.begun


async def test_a_record_that_failed_all_through_an_outage_is_not_shelved_for_that(delivery: Delivery) -> None:
    delivery.sink.outage = FAULT
    delivery.publish(message("c1", "m1"), *(message(f"c{n}", f"m{n}") for n in range(2, 5)))
    delivery.start()
    await delivery.clock.advance(600.0)
    delivery.sink.outage = None
    delivery.sink.fail("c1", 2, FAULT)
    await delivery.until(lambda: len(delivery.sink.rows) == 4)
    assert not delivery.shelved


async def test_an_outage_of_one_route_shelves_nothing_although_the_other_works(delivery: Delivery) -> None:
    delivery.sink.poison(*(f"c{n}" for n in range(9)))
    delivery.publish(*(snapshot(f"c{n}") for n in range(9)), *(message(f"d{n}", f"m{n}") for n in range(9)))
    delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 9)
    await delivery.clock.advance(600.0)
    assert not delivery.shelved


async def test_alone_it_is_compared_with_what_passed_before(delivery: Delivery) -> None:
    delivery.publish(message("c1", "m1"))
    delivery.start()
    await delivery.until(lambda: delivery.committed() == 1)
    delivery.sink.poison("m2")
    delivery.publish(message("c2", "m2"))
    await delivery.until(lambda: delivery.shelved)
    assert delivery.sink.versions == {"m1": 1}
    # What passed before was sent again to see, and nothing else.
    assert set(delivery.sink.calls) == {(message("c1", "m1"),)}


async def test_who_is_shelved_is_no_sign_of_an_outage_any_more(delivery: Delivery) -> None:
    delivery.sink.poison("m3")
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(6)))
    process = delivery.start()
    await delivery.until(lambda: delivery.committed() == 6)
    weather = process.runner.worker.desk.weather(delivery.broker.topics.messages)
    assert weather.failing == 0


async def test_with_nobody_to_compare_with_it_waits(delivery: Delivery) -> None:
    delivery.sink.poison("m1")
    delivery.publish(message("c1", "m1"))
    delivery.start()
    await delivery.clock.advance(3600.0)
    assert not delivery.shelved
    assert delivery.committed() == 0


async def test_a_flood_of_refusals_stops_the_process_and_keeps_what_was_done(deliver: Build) -> None:
    delivery = deliver(in_row=5)
    delivery.sink.reject(*(f"m{n}" for n in range(3, 100)))
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(100)))
    process = delivery.start()
    await delivery.until(process.task.done)
    with pytest.raises(FatalError, match=r"\d conversations in a row") as caught:
        process.task.result()
    assert "REJECTS_IN_ROW" in caught.value.advice
    assert set(delivery.sink.versions) == {"m0", "m1", "m2"}
    # Those whose letters were on their way when it was noticed may lie there too.
    assert 5 <= len(delivery.shelved) <= 5 + delivery.size.lanes
    assert delivery.committed() <= 3 + len(delivery.shelved)


async def test_a_share_of_refusals_that_is_too_large_stops_it_too(deliver: Build) -> None:
    delivery = deliver(share=0.3, lanes=1)
    delivery.sink.reject(*(f"m{n}" for n in range(0, 400, 2)))
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(400)))
    process = delivery.start()
    await delivery.until(process.task.done)
    with pytest.raises(FatalError, match=r"5\d% of the last"):
        process.task.result()
    assert 40 <= len(delivery.shelved) <= 60


async def test_one_conversation_whose_messages_are_all_refused_is_no_flood(deliver: Build) -> None:
    delivery = deliver(in_row=5)
    delivery.sink.reject(*(f"m{n}" for n in range(60)), status=None)
    delivery.publish(*(message("c1", f"m{n}") for n in range(60)), message("c2", "other"))
    await delivery.run_once()
    assert len(delivery.shelved) == 60
    assert delivery.processes[0].metrics.total(DEAD_LETTERS) == 60


async def test_a_hundred_unreadable_records_in_a_row_are_a_flood(deliver: Build) -> None:
    delivery = deliver(in_row=20)
    for _ in range(100):
        delivery.broker.append(Partition(delivery.broker.topics.messages, 0), b"key", b"junk")
    process = delivery.start()
    await delivery.until(process.task.done)
    with pytest.raises(FatalError):
        process.task.result()
    assert 20 <= len(delivery.shelved) <= 20 + 8
    assert delivery.committed() <= len(delivery.shelved)


async def test_conversations_that_wait_for_their_next_try_leave_their_places_to_others(
    deliver: Build,
) -> None:
    delivery = deliver(lanes=2, partitions=2)
    sick = [f"s{n}" for n in range(4)]
    for conversation in sick:
        delivery.sink.fail(conversation, 10**6, RateLimitedError("slow down", after=5.0))
    delivery.publish(*(message(conversation, "m") for conversation in sick))
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(40)))
    delivery.start()
    await delivery.until(lambda: len(delivery.sink.rows) == 40, within=20.0)


async def test_what_is_live_goes_before_what_nobody_waits_for(deliver: Build) -> None:
    delivery = deliver(lanes=1)
    gate = delivery.sink.hold("first")
    delivery.publish(message("first", "m"))
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    delivery.publish(*(message(f"b{n}", f"b{n}", origin="backfill") for n in range(5)))
    delivery.publish(*(message(f"l{n}", f"l{n}") for n in range(3)))
    await delivery.clock.advance(1.0)
    gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 9)
    assert [lane[0].conversation_id[0] for lane in delivery.sink.calls] == list("flllbbbbb")


async def test_nobody_is_passed_over_for_ever(deliver: Build) -> None:
    delivery = deliver(lanes=1)
    gate = delivery.sink.hold("first")
    delivery.publish(message("first", "m"))
    delivery.start()
    await delivery.until(lambda: delivery.sink.on_the_wire)
    delivery.publish(message("b", "b", origin="backfill"), *(message(f"l{n}", f"l{n}") for n in range(60)))
    await delivery.clock.advance(1.0)
    gate.set()
    await delivery.until(lambda: len(delivery.sink.rows) == 62)
    place = [lane[0].conversation_id for lane in delivery.sink.calls].index("b")
    assert 15 <= place <= 25


async def test_snapshots_of_a_page_go_together_where_the_target_takes_several(deliver: Build) -> None:
    delivery = deliver(lanes=1)
    delivery.sink.width = 4
    delivery.publish(*(snapshot(f"c{n}") for n in range(10)), snapshot("other", page_id="p2"))
    delivery.publish(*(message(f"c{n}", f"m{n}") for n in range(3)))
    await delivery.run_once()
    assert sorted(len(call) for call in delivery.sink.together) == [2, 4, 4]
    assert all(len({event.page_id for event in call}) == 1 for call in pages(delivery.sink.together))
    assert len(delivery.sink.rows) == 14


async def test_of_several_snapshots_in_one_call_each_has_its_own_verdict(deliver: Build) -> None:
    delivery = deliver(lanes=1)
    delivery.sink.width = 4
    delivery.sink.reject("c1")
    delivery.sink.fail("c2", 2)
    delivery.publish(*(snapshot(f"c{n}") for n in range(4)))
    await delivery.run_once()
    assert [letter.offset for letter in delivery.shelved] == [1]
    assert set(delivery.sink.versions) == {"c0", "c2", "c3"}
    assert delivery.committed(delivery.broker.topics.conversations) == 4


def pages(calls: Sequence[Sequence[Sequence[Event]]]) -> list[list[Event]]:
    return [[event for lane in call for event in lane] for call in calls]
