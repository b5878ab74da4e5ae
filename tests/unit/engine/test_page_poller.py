"""One page: what was read is published before the cursor says so, whatever goes wrong in between."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from connector.errors import ContractError, ParkedError, RateLimitedError, UnavailableError
from connector.model import Event
from connector.telemetry import PUBLISHED, REJECTED_AT_SOURCE, STEPS_FAILED
from tests.fakes.pages import FakeReader, events_of
from tests.fakes.polling import PollerProcess, Polling

Build = Callable[..., Polling]


def published(pages: dict[str, int]) -> set[Event]:
    return {event for page, steps in pages.items() for n in range(steps) for event in events_of(page, n)}


def parked(process: PollerProcess, page_id: str) -> str | None:
    return process.fleet.pollers[page_id].parked


async def test_a_pass_publishes_everything_and_saves_where_it_is(poll: Build) -> None:
    polling = poll(p1=5)
    process = await polling.run_once()
    assert set(polling.events) == published({"p1": 5})
    assert len(polling.events) == 10
    assert {cursor.conversation_id for cursor in polling.cursors} == set("01234")
    assert process.metrics.total(PUBLISHED) == 10


async def test_a_second_pass_has_nothing_to_do(poll: Build) -> None:
    polling = poll(p1=5)
    await polling.run_once()
    await polling.run_once()
    assert len(polling.source.calls) == 5
    assert polling.source.opened == [("p1", 0), ("p1", 5)]


@pytest.mark.parametrize("call", ["publish", "put", "save"])
async def test_a_crash_at_any_acknowledgement_repeats_but_loses_nothing(poll: Build, call: str) -> None:
    polling = poll(p1=4, lanes=1)
    polling.source.rejecting.add(("p1", 1))
    process = polling.start(once=True)
    process.publisher.crash_after(call)
    await polling.until(process.task.done)
    assert process.crashed
    # A cursor never says more than what lies in the topics.
    assert {f"p1-{cursor.conversation_id}" for cursor in polling.cursors} <= {
        event.conversation_id for event in polling.events
    }
    await polling.run_once()
    assert set(polling.events) == published({"p1": 4})
    assert polling.shelved
    assert len(polling.source.calls) <= 4 + 1


async def test_events_are_acknowledged_before_their_dead_letters_and_those_before_the_cursor(
    poll: Build,
) -> None:
    polling = poll(p1=1)
    polling.source.rejecting.add(("p1", 0))
    process = await polling.run_once()
    calls = [call for call, _ in process.publisher.acknowledged if call in {"publish", "put", "save"}]
    assert calls == ["publish", "put", "save"]
    assert process.metrics.total(REJECTED_AT_SOURCE) == 1
    assert polling.shelved[0].problem.reason == "missing_id"


@pytest.mark.parametrize("call", ["publish", "put", "save"])
async def test_what_is_not_acknowledged_is_repeated_until_it_is(poll: Build, call: str) -> None:
    polling = poll(p1=2)
    polling.source.rejecting.add(("p1", 0))
    process = polling.start(once=True)
    process.publisher.fail(call, times=8)
    await polling.until(lambda: process.publisher.tries[call] >= 3)
    assert len(polling.cursors) == 0
    await polling.until(process.task.done)
    process.task.result()
    assert set(polling.events) == published({"p1": 2})
    assert len(polling.source.calls) == 2  # nothing is read again for it


async def test_no_cursor_is_saved_before_the_events_are_acknowledged(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start(once=True)
    acknowledge = process.publisher.hold("publish")
    await polling.until(lambda: process.publisher.tries["publish"])
    await polling.clock.advance(30.0)
    assert not polling.cursors
    assert not process.fleet.pollers["p1"].reader.caught_up
    acknowledge.set()
    await polling.until(process.task.done)
    assert len(polling.cursors) == 1


async def test_no_more_calls_run_side_by_side_than_lanes(poll: Build) -> None:
    polling = poll(p1=9, lanes=3)
    gates = [polling.source.hold("p1", n) for n in range(9)]
    process = polling.start(once=True)
    await polling.until(lambda: polling.source.on_the_wire["p1"] == 3)
    await polling.clock.advance(10.0)
    assert polling.source.on_the_wire["p1"] == 3
    for gate in gates:
        gate.set()
    await polling.until(process.task.done)
    assert polling.source.most_at_once["p1"] == 3
    assert len(polling.source.calls) == 9


async def test_a_call_that_fails_is_made_again(poll: Build) -> None:
    polling = poll(p1=3)
    polling.source.fail("p1", 1, *[UnavailableError("no")] * 6)
    process = await polling.run_once()
    assert set(polling.events) == published({"p1": 3})
    assert process.metrics.total(STEPS_FAILED, "p1") == 6


async def test_a_page_asked_to_wait_waits_that_long(poll: Build) -> None:
    polling = poll(p1=1)
    polling.source.fail("p1", 0, RateLimitedError("slow down", after=120.0))
    begun = polling.clock.monotonic()
    await polling.run_once()
    assert polling.clock.monotonic() - begun >= 120.0
    assert polling.source.tries["p1", 0] == 2


async def test_a_parked_page_says_what_to_do_and_does_not_stop_the_others(poll: Build) -> None:
    polling = poll(sick=3, well=3, lanes=1)
    polling.source.park("sick", times=2)
    process = polling.start()
    await polling.until(lambda: set(polling.events) >= published({"well": 3}))
    assert parked(process, "sick") == "sign in"
    await polling.until(lambda: set(polling.events) == published({"sick": 3, "well": 3}))
    assert parked(process, "sick") is None
    assert polling.source.tries["sick", 0] == 3


async def test_a_parked_page_is_asked_by_one_call_at_a_time(poll: Build) -> None:
    polling = poll(sick=8, lanes=4)
    for step in range(8):
        polling.source.fail("sick", step, *[ParkedError("no token", action="sign in")] * 9)
    process = polling.start()
    await polling.until(lambda: parked(process, "sick"))
    assert polling.source.most_at_once["sick"] == 4
    polling.source.most_at_once.clear()
    tries = polling.source.tries.total()
    await polling.clock.advance(300.0 + 600.0 + 1200.0 + 60.0)
    assert polling.source.most_at_once["sick"] == 1
    assert polling.source.tries.total() - tries == 3


async def test_a_call_begun_before_the_page_was_parked_does_not_free_it(poll: Build) -> None:
    polling = poll(sick=2, lanes=2)
    gate = polling.source.hold("sick", 1)
    polling.source.park("sick", times=2)
    process = polling.start()
    await polling.until(lambda: parked(process, "sick"))
    gate.set()
    await polling.until(lambda: polling.cursors)
    assert parked(process, "sick") == "sign in"


async def test_a_position_that_moves_does_not_free_a_parked_page(poll: Build) -> None:
    polling = poll(sick=3, lanes=1)
    polling.source.settling.add(("sick", 1))
    polling.source.fail("sick", 0, ParkedError("no token", action="sign in"))
    process = polling.start()
    await polling.until(lambda: parked(process, "sick"))
    reader = process.fleet.pollers["sick"].reader
    assert isinstance(reader, FakeReader)
    reader.done.add(0)  # what is tried next is the position, and then a call
    gate = polling.source.hold("sick", 2)
    await polling.until(lambda: polling.cursors)
    assert parked(process, "sick") == "sign in"
    gate.set()
    await polling.until(lambda: parked(process, "sick") is None, within=5.0)


async def test_a_parked_page_is_told_of_once_and_again_when_something_else_is_to_be_done(poll: Build) -> None:
    polling = poll(sick=1, lanes=1)
    words = ["sign in", "sign in", "pay", "pay"]
    polling.source.fail("sick", 0, *(ParkedError("refused", action=word) for word in words))
    with capture_logs() as logs:
        polling.start()
        await polling.until(lambda: polling.cursors, within=3 * 3600.0)
    told = [(line["event"], line.get("action")) for line in logs if line["event"].startswith("page ")]
    assert told == [("page parked", "sign in"), ("page parked", "pay"), ("page no longer parked", None)]


async def test_a_page_that_has_rested_is_read_on(poll: Build) -> None:
    polling = poll(p1=1)
    polling.start()
    await polling.until(lambda: len(polling.cursors) == 1)
    polling.source.steps["p1"] = 3
    await polling.until(lambda: set(polling.events) == published({"p1": 3}), within=120.0)


async def test_once_ends_although_a_page_is_parked_and_counts_it(poll: Build) -> None:
    polling = poll(sick=3, well=3)
    polling.source.park("sick", times=99)
    process = await polling.run_once()
    assert set(polling.events) >= published({"well": 3})
    assert process.fleet.left_out == 1


async def test_a_fatal_answer_to_one_page_ends_the_process(poll: Build) -> None:
    polling = poll(p1=3, p2=3)
    polling.source.fail("p1", 1, ContractError("unknown shape", advice="upgrade"))
    process = polling.start()
    await polling.until(process.task.done)
    with pytest.raises(ContractError, match="unknown shape"):
        process.task.result()
    assert not process.consumer.owned
    assert not process.fleet.pollers
    assert "1" not in {cursor.conversation_id for cursor in polling.cursors if cursor.page_id == "p1"}
