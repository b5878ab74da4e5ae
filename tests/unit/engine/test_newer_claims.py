"""An owner that another process has overtaken writes nothing more, and comes back only if it is the owner."""

from collections.abc import Callable

from structlog.testing import capture_logs

from connector.kafka.partitioner import partition_of
from connector.telemetry import OWNERSHIP
from tests.fakes.clock import settle
from tests.fakes.pages import events_of
from tests.fakes.polling import PollerProcess, Polling

Build = Callable[..., Polling]
SESSION_SECONDS = 15.0
NEVER = 1e9


def written(process: PollerProcess) -> int:
    """How often it decided to write events, dead letters or cursors."""
    return sum(process.publisher.tries[call] for call in ("publish", "put", "save"))


def published(polling: Polling, page_id: str = "p1") -> set[str]:
    return {event.conversation_id for event in polling.events if event.page_id == page_id}


async def frozen(polling: Polling, seconds: float) -> PollerProcess:
    """One that stands still with an answer in its hands."""
    gate = polling.source.hold("p1", 1)
    process = polling.start()
    await polling.until(lambda: polling.cursors and polling.source.on_the_wire["p1"])
    process.frost.freeze()
    gate.set()
    await polling.clock.advance(seconds)
    return process


async def overtaken(polling: Polling) -> tuple[PollerProcess, PollerProcess]:
    """One stands still, and another has taken over and read the page."""
    old = await frozen(polling, SESSION_SECONDS)
    old.consumer.expel()
    new = polling.start()
    await polling.until(lambda: len(published(polling)) == polling.source.steps["p1"])
    return old, new


async def test_a_frozen_owner_that_wakes_publishes_nothing_once_another_has_claimed(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    polling.sight = NEVER  # so it is found out by asking alone
    old, _ = await overtaken(polling)
    events, cursors, decided = len(polling.events), len(polling.cursors), written(old)
    old.frost.thaw()
    await polling.clock.advance(60.0)
    assert written(old) == decided
    assert (len(polling.events), len(polling.cursors)) == (events, cursors)


async def test_what_was_on_its_way_when_it_froze_is_all_that_comes_of_it(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    old = polling.start()
    await polling.until(lambda: polling.cursors)
    await polling.until(lambda: old.publisher.tries["publish"] == 6)
    polling.source.steps["p1"] = 8
    sent = old.publisher.tries["publish"]
    old.publisher.decided = lambda call, _: old.frost.freeze() if call == "publish" else None
    await polling.until(lambda: old.frost.frozen, within=120.0)
    await polling.clock.advance(SESSION_SECONDS)
    old.consumer.expel()
    polling.start()
    await polling.until(lambda: len(published(polling)) == 8)
    events = len(polling.events)
    old.publisher.decided = lambda *_: None
    old.frost.thaw()
    await polling.clock.advance(60.0)
    assert len(polling.events) == events + len(events_of("p1", 6))
    assert old.publisher.tries["publish"] == sent + 1
    # The cursor of what was on its way is not saved any more.
    assert [cursor.conversation_id for cursor in polling.cursors].count("6") == 1


async def test_an_owner_that_never_stood_still_stops_when_it_sees_the_claim(poll: Build) -> None:
    polling = poll(p1=9, lanes=2)
    polling.sight = 0.2
    process = polling.start()
    grants = polling.source.ration("p1")
    await polling.until(lambda: process.fleet.pollers)
    polling.claim("p1")
    await polling.clock.advance(0.5)
    grants.set()
    await polling.clock.advance(5.0)
    assert written(process) == 0
    assert not process.fleet.pollers
    assert process.metrics.total(OWNERSHIP, "claimed by another") == 1


async def test_a_claim_in_the_middle_of_a_publishing_lets_no_cursor_follow(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    acknowledge = process.publisher.hold("publish")
    await polling.until(lambda: process.publisher.tries["publish"])
    polling.claim("p1")
    acknowledge.set()
    await polling.clock.advance(10.0)
    assert not polling.cursors


async def test_who_owns_it_by_the_group_comes_back_after_a_claim_of_nobody(poll: Build) -> None:
    polling = poll(p1=3)
    process = polling.start()
    await polling.until(lambda: process.fleet.pollers)
    with capture_logs() as logs:
        polling.claim("p1")
        await polling.until(lambda: not process.fleet.pollers, within=2.0)
        polling.source.steps["p1"] = 5
        await polling.clock.advance(15.0)
        assert not process.fleet.pollers
        await polling.until(lambda: len(published(polling)) == 5, within=15.0)
    said = [line["event"] for line in logs if line["event"].startswith("partition claimed")]
    assert said == ["partition claimed by another process", "partition claimed again"]
    # It goes on from what is saved, and repeats nothing.
    assert len(polling.source.calls) == 5


async def test_who_lost_it_by_the_group_does_not_come_back(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    old, new = await overtaken(polling)
    old.consumer.expel()
    old.frost.thaw()
    await polling.clock.advance(120.0)
    assert not old.fleet.pollers
    assert set(new.fleet.pollers) == {"p1"}
    assert new.metrics.total(OWNERSHIP, "claimed by another") == 0


async def test_a_claim_stops_the_pages_of_its_partition_alone(poll: Build) -> None:
    pages = {f"p{n}": 2 for n in range(8)}
    polling = poll(partitions=2, **pages)
    process = polling.start()
    await polling.until(lambda: len(polling.cursors) == 16)
    home = partition_of("p1", 2)
    polling.claim("p1")
    await polling.until(lambda: "p1" not in process.fleet.pollers, within=2.0)
    assert set(process.fleet.pollers) == {page for page in pages if partition_of(page, 2) != home}


async def test_nothing_is_published_while_nobody_can_tell_whose_it_is(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    process = await frozen(polling, 5.0)
    process.publisher.fail("catch_up", times=3)
    decided = written(process)
    process.frost.thaw()
    await polling.until(lambda: process.publisher.tries["catch_up"] >= 2, within=30.0)
    assert written(process) == decided
    await polling.until(lambda: len(published(polling)) == 6)
    assert process.publisher.tries["catch_up"] == 4


async def test_a_hand_over_does_not_wait_for_the_claims(poll: Build) -> None:
    polling = poll(p1=6, lanes=1, drain=1000.0)
    process = await frozen(polling, 5.0)
    process.publisher.fail("catch_up", times=10**6)
    process.frost.thaw()
    await polling.until(lambda: process.publisher.tries["catch_up"])
    process.stop.set()
    await polling.until(process.task.done, within=5.0)


async def test_a_short_pause_costs_no_question(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    process = await frozen(polling, 2.0)
    process.frost.thaw()
    await polling.until(lambda: len(published(polling)) == 6)
    assert process.publisher.tries["catch_up"] == 0


async def test_a_pause_while_the_claims_are_looked_up_is_a_pause_again(poll: Build) -> None:
    polling = poll(p1=6, lanes=1)
    polling.sight = NEVER
    process = await frozen(polling, 5.0)
    process.publisher.decided = lambda call, _: process.frost.freeze() if call == "caught up" else None
    process.frost.thaw()
    await polling.until(lambda: process.frost.frozen)
    await polling.clock.advance(5.0)
    process.publisher.decided = lambda *_: None
    polling.claim("p1")
    decided = written(process)
    process.frost.thaw()
    await polling.clock.advance(5.0)
    assert written(process) == decided


async def test_one_pass_ends_although_a_stranger_claimed_its_pages(poll: Build) -> None:
    polling = poll(p1=4, lanes=1)
    grants = polling.source.ration("p1")
    process = polling.start(once=True)
    await polling.until(lambda: process.fleet.pollers)
    polling.claim("p1")
    grants.set()
    await settle()
    await polling.until(process.task.done)
    process.task.result()
    assert len(published(polling)) == 4
