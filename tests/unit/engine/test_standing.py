"""How pages stand is told when it changes, and seldom when only time goes by."""

from collections.abc import Callable

from connector.telemetry import PASSES
from tests.fakes.pages import FakeReader
from tests.fakes.polling import PollerProcess, Polling

Build = Callable[..., Polling]


def reader(process: PollerProcess, page_id: str) -> FakeReader:
    found = process.fleet.pollers[page_id].reader
    assert isinstance(found, FakeReader)
    return found


def prove(process: PollerProcess, page_id: str, until: int) -> None:
    reader(process, page_id).proved_until = until


async def test_a_page_that_stands_still_is_told_once(poll: Build) -> None:
    polling = poll(p1=1, p2=1)
    polling.start()
    await polling.clock.advance(200.0)
    assert sorted(status.completeness.page_id for status in polling.statuses) == ["p1", "p2"]
    assert {status.owner for status in polling.statuses} == {"process 0"}


async def test_what_changed_is_told_within_ten_seconds_and_time_alone_within_a_minute(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.clock.advance(15.0)
    assert len(polling.statuses) == 1
    polling.source.steps["p1"] = 2
    await polling.clock.advance(10.0)
    assert len(polling.statuses) == 2
    for moment in range(1, 31):
        prove(process, "p1", moment)
        await polling.clock.advance(10.0)
    told = [status.completeness.proved_until for status in polling.statuses]
    assert 5 <= len(told) - 2 <= 7


async def test_a_parked_page_says_what_to_do_and_since_when(poll: Build) -> None:
    polling = poll(p1=1)
    polling.source.park("p1", times=3)
    parked_at = polling.clock.epoch_ms()
    polling.start()
    await polling.clock.advance(100.0)
    last = polling.statuses[-1]
    assert last.parked == "sign in"
    assert parked_at <= last.parked_since <= parked_at + 1000
    await polling.until(lambda: not polling.statuses[-1].parked)
    assert polling.statuses[-1].parked_since == 0


async def test_what_the_broker_does_not_take_is_told_again(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    process.publisher.fail("report", times=2)
    await polling.clock.advance(50.0)
    assert process.publisher.tries["report"] >= 3
    assert len(polling.statuses) == 1


async def test_one_pass_ends_with_a_word_on_every_page(poll: Build) -> None:
    polling = poll(p1=2, p2=3)
    await polling.run_once()
    told = {status.completeness.page_id: status.completeness.backfill for status in polling.statuses}
    assert {page: backfill.owed for page, backfill in told.items()} == {"p1": 0, "p2": 0}


async def test_the_gauges_count_pages_parked_pages_holes_and_how_late_the_latest_is(poll: Build) -> None:
    polling = poll(p1=1, p2=1, p3=1)
    polling.source.park("p3", times=99)
    process = polling.start()
    await polling.until(lambda: len(polling.cursors) == 2)
    reader(process, "p1").holes = 3
    now = polling.clock.epoch_ms()
    prove(process, "p1", now - 90_000)
    prove(process, "p2", now - 1_000)
    page = process.metrics.page().decode()
    assert "connector_pages_owned 3.0" in page
    assert "connector_pages_parked 1.0" in page
    assert "connector_pages_holes 3.0" in page
    assert "connector_pages_unproved_seconds 90.0" in page


async def test_a_scan_that_came_through_is_a_pass(poll: Build) -> None:
    polling = poll(p1=3)
    polling.source.settling.add(("p1", 2))
    process = await polling.run_once()
    assert process.metrics.total(PASSES) == 1


async def test_many_pages_are_told_a_few_at_a_time(poll: Build) -> None:
    polling = poll(**dict.fromkeys((f"p{n}" for n in range(60)), 1))
    process = polling.start()
    await polling.until(lambda: len(polling.statuses) == 60)
    sizes = [count for call, count in process.publisher.acknowledged if call == "report"]
    assert max(sizes) <= 10
