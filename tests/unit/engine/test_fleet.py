"""Which pages a process reads: those of its partitions, from where anybody left off."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from connector.errors import UnauthorizedError, UnavailableError
from connector.model import Page, Partition
from connector.telemetry import OWNERSHIP, STEPS_FAILED
from tests.fakes.clock import settle
from tests.fakes.pages import events_of
from tests.fakes.polling import PAGES_INTERVAL, PollerProcess, Polling

Build = Callable[..., Polling]
MANY = {f"p{n}": 3 for n in range(12)}


def everything(pages: dict[str, int]) -> set[str]:
    return {f"{page}-{n}" for page, steps in pages.items() for n in range(steps)}


def conversations(polling: Polling) -> set[str]:
    return {event.conversation_id for event in polling.events}


def partition_of_page(process: PollerProcess, page_id: str) -> Partition:
    number = process.fleet._source.partition_of(page_id)  # noqa: SLF001
    return Partition("pancake.pages", number)


async def test_all_pages_are_read_by_one_process_that_owns_all(poll: Build) -> None:
    polling = poll(partitions=4, **MANY)
    process = await polling.run_once()
    assert conversations(polling) == everything(MANY)
    assert len(polling.events) == 12 * 3 * 2
    assert process.metrics.total(OWNERSHIP, "assigned") == 4


async def test_two_processes_read_every_page_once_between_them(poll: Build) -> None:
    polling = poll(partitions=4, **MANY)
    first, second = polling.start(), polling.start()
    await polling.until(lambda: conversations(polling) == everything(MANY))
    await polling.until(lambda: len(first.consumer.owned) == len(second.consumer.owned) == 2)
    await polling.until(lambda: len(first.fleet.pollers) + len(second.fleet.pollers) == 12)
    assert not set(first.fleet.pollers) & set(second.fleet.pollers)
    assert len(polling.source.calls) == 12 * 3


async def test_pages_are_announced_by_their_owner_and_not_at_every_look(poll: Build) -> None:
    polling = poll(partitions=2, p1=1, p2=1)
    polling.start()
    await polling.until(lambda: len(polling.cursors) == 2)
    announced = polling.announced
    assert {stored.key for stored in announced} == {b"p1", b"p2"}
    await polling.clock.advance(5 * PAGES_INTERVAL)
    assert polling.announced == announced
    assert polling.directory.looks > 4


async def test_a_page_that_cannot_be_announced_is_read_all_the_same_and_announced_later(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    process.publisher.fail("announce", times=3)
    await polling.until(lambda: polling.cursors, within=PAGES_INTERVAL / 2)
    assert not polling.announced
    await polling.until(lambda: polling.announced)


async def test_a_new_page_is_read_from_the_next_look_on(poll: Build) -> None:
    polling = poll(p1=1)
    polling.start()
    await polling.until(lambda: polling.cursors)
    polling.source.steps["p2"] = 2
    polling.directory.listed.append("p2")
    await polling.until(lambda: conversations(polling) == everything({"p1": 1, "p2": 2}))


async def test_a_page_that_leaves_the_list_is_read_no_more_and_goes_on_when_it_returns(poll: Build) -> None:
    polling = poll(p1=1, p2=1)
    process = polling.start()
    await polling.until(lambda: len(polling.cursors) == 2)
    polling.directory.listed.remove("p2")
    await polling.until(lambda: "p2" not in process.fleet.pollers)
    polling.source.steps["p2"] = 3
    await polling.clock.advance(2 * PAGES_INTERVAL)
    assert polling.source.tries["p2", 1] == 0
    polling.directory.listed.append("p2")
    await polling.until(lambda: conversations(polling) == everything({"p1": 1, "p2": 3}))
    assert polling.source.opened == [("p1", 0), ("p2", 0), ("p2", 1)]
    assert polling.source.tries["p2", 0] == 1


async def test_a_list_that_cannot_be_had_is_asked_for_again(poll: Build) -> None:
    polling = poll(p1=1)
    polling.directory.fail(*[UnavailableError("no")] * 5)
    await polling.run_once()
    assert conversations(polling) == everything({"p1": 1})


async def test_a_list_refused_at_the_start_ends_the_process(poll: Build) -> None:
    polling = poll(p1=1)
    polling.directory.fail(UnauthorizedError("refused", advice="renew the token"))
    process = polling.start()
    await polling.until(process.task.done)
    with pytest.raises(UnauthorizedError):
        process.task.result()


async def test_a_list_refused_later_lets_the_pages_go_on(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    polling.directory.fail(UnauthorizedError("refused", advice="renew the token"))
    looks = polling.directory.looks
    await polling.until(lambda: polling.directory.looks >= looks + 2)
    polling.source.steps["p1"] = 2
    await polling.until(lambda: len(polling.cursors) == 2)
    assert not process.task.done()


async def test_taking_over_goes_on_where_the_other_saved(poll: Build) -> None:
    polling = poll(p1=4, lanes=1)
    polling.source.hold("p1", 2)
    first = polling.start()
    await polling.until(lambda: len(polling.cursors) == 2)
    first.crash()
    await first.end()
    polling.source.hold("p1", 2).set()
    await polling.run_once()
    assert polling.source.opened == [("p1", 0), ("p1", 2)]
    assert len(polling.events) == 4 * 2


async def test_cursors_that_cannot_be_read_are_asked_for_again_before_any_call(poll: Build) -> None:
    polling = poll(p1=2)
    process = polling.start(once=True)
    process.publisher.fail("load", times=4)
    await polling.until(lambda: process.publisher.tries["load"] == 3)
    assert not polling.source.tries
    await polling.until(process.task.done)
    process.task.result()
    assert conversations(polling) == everything({"p1": 2})


async def test_a_revoked_partition_finishes_the_calls_under_way_and_begins_no_other(poll: Build) -> None:
    polling = poll(p1=4, lanes=2)
    gates = [polling.source.hold("p1", n) for n in range(4)]
    process = polling.start()
    await polling.until(lambda: polling.source.on_the_wire["p1"] == 2)
    process.stop.set()
    await polling.clock.advance(1.0)
    assert not process.task.done()
    for gate in gates:
        gate.set()
    await polling.until(process.task.done)
    process.task.result()
    assert {cursor.conversation_id for cursor in polling.cursors} == {"0", "1"}
    await polling.run_once()
    assert len(polling.source.calls) == 4  # nothing is done twice
    assert len(polling.events) == 8


async def test_a_call_that_does_not_come_home_in_time_is_made_again_by_the_next(poll: Build) -> None:
    polling = poll(p1=2, lanes=2, drain=0.0)
    gate = polling.source.hold("p1", 0)
    process = polling.start()
    await polling.until(lambda: len(polling.cursors) == 1)
    process.stop.set()
    await polling.until(process.task.done)
    gate.set()
    await polling.run_once()
    assert conversations(polling) == everything({"p1": 2})
    assert polling.source.tries["p1", 0] == 2


async def test_a_hand_over_does_not_wait_for_grants(poll: Build) -> None:
    polling = poll(p1=4, lanes=2, drain=1000.0)
    grants = polling.source.ration("p1")
    process = polling.start()
    await polling.until(lambda: process.fleet.pollers)
    process.stop.set()
    await polling.until(process.task.done, within=2.0)
    assert not polling.source.tries  # a call that was not on the wire is not made
    assert not process.metrics.total(STEPS_FAILED)
    grants.set()
    await polling.run_once()
    assert conversations(polling) == everything({"p1": 4})


async def test_a_hand_over_does_not_wait_for_a_broker_that_is_away(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    process.publisher.fail("publish", times=10**6)
    await polling.until(lambda: process.publisher.tries["publish"] > 3)
    process.stop.set()
    await polling.until(process.task.done, within=2.0)
    assert not polling.cursors


async def test_only_the_pages_of_the_revoked_partition_are_left(poll: Build) -> None:
    polling = poll(partitions=2, **MANY)
    first = polling.start()
    await polling.until(lambda: len(first.fleet.pollers) == 12)
    kept = dict(first.fleet.pollers)
    second = polling.start()
    await polling.until(lambda: len(second.fleet.pollers) and len(first.fleet.pollers) < 12)
    await polling.until(lambda: len(first.fleet.pollers) + len(second.fleet.pollers) == 12)
    assert all(kept[page] is poller for page, poller in first.fleet.pollers.items())


async def test_a_lost_partition_is_left_at_once(poll: Build) -> None:
    polling = poll(p1=2, drain=1000.0)
    gate = polling.source.hold("p1", 0)
    process = polling.start()
    await polling.until(lambda: polling.source.on_the_wire["p1"] == 1)
    process.consumer.expel()
    await polling.until(lambda: process.metrics.total(OWNERSHIP, "lost"), within=5.0)
    gate.set()
    await polling.until(lambda: conversations(polling) == everything({"p1": 2}))


async def test_a_page_that_returns_while_its_partition_leaves_is_not_read_by_two(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    polling.directory.listed.clear()
    await polling.until(lambda: not process.fleet.pollers)
    reading = process.publisher.hold("load")
    polling.directory.listed.append("p1")
    await polling.until(lambda: process.publisher.tries["load"] == 2)
    await process.fleet.revoked([partition_of_page(process, "p1")])
    reading.set()
    await settle()
    assert not process.fleet.pollers


async def test_a_page_may_leave_the_list_and_its_partition_at_the_same_time(poll: Build) -> None:
    polling = poll(p1=2, lanes=1)
    gate = polling.source.hold("p1", 0)
    process = polling.start()
    await polling.until(lambda: polling.source.on_the_wire["p1"] == 1)
    polling.directory.listed.clear()
    looks = polling.directory.looks
    await polling.until(lambda: polling.directory.looks > looks)
    revoking = asyncio.create_task(process.fleet.revoked([partition_of_page(process, "p1")]))
    await settle()
    assert not revoking.done()
    gate.set()
    await revoking
    await polling.clock.advance(1.0)
    assert not process.fleet.pollers
    assert not process.task.done()
    assert {cursor.conversation_id for cursor in polling.cursors} == {"0"}


async def test_a_page_that_got_another_name_is_announced_again(poll: Build) -> None:
    polling = poll(p1=1)
    names = ["old"]

    async def pages() -> list[Page]:
        return [Page("p1", names[0])]

    polling.directory.pages = pages  # type: ignore[method-assign]
    polling.start()
    await polling.until(lambda: len(polling.announced) == 1)
    names[0] = "new"
    await polling.until(lambda: len(polling.announced) == 2)


async def test_once_ends_without_pages(poll: Build) -> None:
    polling = poll(partitions=3)
    process = await polling.run_once()
    assert process.fleet.left_out == 0


async def test_once_ends_without_partitions(poll: Build) -> None:
    polling = poll(p1=1)
    polling.source.hold("p1", 0)
    owner = polling.start()
    await polling.until(lambda: owner.consumer.owned)
    process = await polling.run_once()
    assert not process.fleet.pollers


async def test_known_gaps_are_counted_at_the_end(poll: Build) -> None:
    polling = poll(p1=1)
    gate = polling.source.hold("p1", 0)
    process = polling.start(once=True)
    await polling.until(lambda: process.fleet.pollers)
    process.fleet.pollers["p1"].reader.holes = 3  # type: ignore[misc]
    gate.set()
    await polling.until(process.task.done)
    assert process.fleet.left_out == 3


@pytest.mark.parametrize("steps", [1, 5])
async def test_every_event_of_every_page_is_published_whoever_dies(poll: Build, steps: int) -> None:
    pages = dict.fromkeys(MANY, steps)
    polling = poll(partitions=4, **pages)
    for call in ("publish", "save", "load", "announce"):
        process = polling.start(once=True)
        process.publisher.crash_after(call)
        await polling.until(process.task.done)
        await process.end()
    await polling.run_once()
    assert conversations(polling) == everything(pages)
    assert {event for page in pages for n in range(steps) for event in events_of(page, n)} == set(
        polling.events
    )


async def test_a_turn_of_the_loop_costs_the_same_however_many_pages_there_are(poll: Build) -> None:
    costs = []
    for count in (2, 200):
        polling = poll(partitions=4, **dict.fromkeys((f"p{n}" for n in range(count)), 1))
        process = polling.start()
        await polling.clock.advance(12.0)  # until all is read and told, and everybody rests
        assert len(polling.cursors) == count
        turns = len(process.consumer.turns)
        costs.append(await calls_of(polling.clock.advance(0.1)))
        assert len(process.consumer.turns) == turns + 1
    assert costs[0] == costs[1]


async def calls_of(work: Awaitable[None]) -> int:
    """How many functions are called until ``work`` is done."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        await work
    finally:
        sys.setprofile(before)
    return calls


async def test_a_thousand_pages_on_four_processes_are_each_read_by_one_and_once(poll: Build) -> None:
    pages = {f"p{n}": 2 for n in range(1000)}
    polling = poll(partitions=12, **pages)
    processes = [polling.start() for _ in range(4)]
    await polling.until(lambda: len(polling.cursors) >= 2000)
    await polling.until(lambda: sum(len(process.fleet.pollers) for process in processes) == 1000)
    owned = [page for process in processes for page in process.fleet.pollers]
    assert len(owned) == len(set(owned)) == 1000
    assert all(process.fleet.pollers for process in processes)
    # What one had begun when another joined may be read twice: of each page no more than its lanes.
    assert set(polling.source.calls) == {(page, step) for page in pages for step in range(2)}
    assert conversations(polling) == everything(pages)
