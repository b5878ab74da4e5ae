"""A hint reaches the page's poller, wherever it was heard, and anything else in that topic reaches nobody."""

from collections.abc import Callable

from connector.kafka.partitioner import partition_of
from connector.model import Partition
from tests.fakes.pages import FakeReader
from tests.fakes.polling import PollerProcess, Polling

Build = Callable[..., Polling]
PAGES = {f"p{n}": 1 for n in range(8)}


def hints(*processes: PollerProcess) -> dict[str, int]:
    found: dict[str, int] = {}
    for process in processes:
        for page_id, poller in process.fleet.pollers.items():
            assert isinstance(poller.reader, FakeReader)
            found[page_id] = len(poller.reader.hints)
    return found


async def test_a_hint_for_a_page_read_here_wakes_it(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    polling.source.steps["p1"] = 2
    process.fleet.hints.hint("p1")
    await polling.until(lambda: len(polling.cursors) == 2, within=5.0)
    assert not process.publisher.tries["hint"]


async def test_a_hint_heard_by_another_process_travels_to_the_owner(poll: Build) -> None:
    polling = poll(partitions=2, **PAGES)
    first, second = polling.start(), polling.start()
    await polling.until(lambda: len(hints(first)) + len(hints(second)) == len(PAGES) and hints(second))
    await polling.until(lambda: hints(first))
    theirs = next(iter(hints(second)))
    await polling.clock.advance(1.0)
    first.fleet.hints.hint(theirs)
    await polling.until(lambda: hints(second)[theirs] == 1, within=5.0)
    assert sum(hints(first, second).values()) == 1


async def test_pages_of_the_source_are_known_wherever_they_are_read(poll: Build) -> None:
    polling = poll(partitions=2, **PAGES)
    first, second = polling.start(), polling.start()
    await polling.until(lambda: hints(first) and hints(second) and len(hints(first, second)) == len(PAGES))
    assert all(process.fleet.hints.knows(page) for process in (first, second) for page in PAGES)
    assert not first.fleet.hints.knows("forged")


async def test_a_hint_for_nobody_and_broken_records_change_nothing(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    home = Partition(polling.broker.topics.pages, partition_of("p1", 1))
    for key in (b"forged\0hint", b"p1\0status", b"p1\0hint\0x", b"p1", b"\0hint", b"\xff\xfe\0hint", None):
        polling.broker.append(home, key, b"junk")
    await polling.clock.advance(5.0)
    assert hints(process) == {"p1": 0}
    assert not process.task.done()


async def test_many_hints_in_one_turn_are_one_look(poll: Build) -> None:
    polling = poll(p1=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    home = Partition(polling.broker.topics.pages, partition_of("p1", 1))
    for _ in range(400):
        polling.broker.append(home, b"p1\0hint", b"")
    await polling.clock.advance(1.0)
    assert hints(process) == {"p1": 1}


async def test_a_hint_that_the_broker_does_not_take_is_forgotten(poll: Build) -> None:
    polling = poll(p1=1, partitions=1)
    process = polling.start()
    await polling.until(lambda: polling.cursors)
    process.publisher.fail("hint")
    process.fleet.hints.hint("elsewhere")
    await polling.clock.advance(5.0)
    assert process.publisher.tries["hint"] == 1
    assert not process.task.done()
