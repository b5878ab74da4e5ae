"""Whatever a partition holds: each record is settled by one batch, and the newest of each key is sent."""

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.packing import Batch, Waiting
from connector.engine.survey import Survey
from connector.engine.versions import DAY_MS, outdated, stamp
from connector.model import Event, Partition, Record
from tests.fakes.events import message, snapshot

PARTITION = Partition("pancake.messages", 0)
# Long after every version, as if each had been published late: then the version alone decides.
LATE = 1_000_000


def record(offset: int, event: Event, timestamp: int = LATE) -> Record:
    return Record(PARTITION, offset, timestamp, f"{event.kind}\0{event.message_id}".encode(), b"", event)


@st.composite
def windows(draw: st.DrawFn) -> list[Record]:
    """One conversation in offset order, with gaps where compaction was, and few keys."""
    events = st.one_of(
        st.builds(message, st.just("c"), st.sampled_from(["a", "b", "c"]), st.integers(1, 5)),
        st.builds(snapshot, st.just("c"), st.integers(1, 5)),
    )
    found, offset = [], draw(st.integers(0, 10))
    for event in draw(st.lists(events, min_size=1, max_size=25)):
        found.append(record(offset, event))
        offset += draw(st.integers(1, 3))
    return found


def version(one: Record) -> tuple[int, int, int]:
    assert one.event is not None
    return (*one.event.version, one.offset)


@given(windows())
def test_of_each_key_the_newest_version_is_sent_and_of_equal_ones_the_last(window: list[Record]) -> None:
    batch = Batch(window[0].offset)
    for one in window:
        batch.add(one)
    for one in window:
        assert version(batch.records[one.key]) >= version(one)
    assert batch.count == len(window)
    assert batch.size == sum(one.size for one in window)


@given(windows(), st.integers(1, 6))
def test_batches_keep_the_order_and_their_bound(window: list[Record], most: int) -> None:
    waiting, batches = Waiting(most), []
    for one in window:
        (waiting.open_batch() or waiting.begin(one.offset)).add(one)
    while waiting:
        batches.append(waiting.take())
    assert sum(batch.count for batch in batches) == len(window)
    starts = [start for batch in batches for start in batch.starts]
    assert starts == sorted(starts)
    for batch in batches:
        offsets = [one.offset for one in batch.records.values()]
        assert 1 <= len(offsets) <= most
        assert offsets == sorted(offsets)


@given(windows(), st.integers(0, 40))
def test_a_survey_names_the_record_that_a_batch_would_send(window: list[Record], length: int) -> None:
    survey = Survey(window[0].offset + length)
    batch = Batch(window[0].offset)
    for one in window:
        survey.see(one)
        if one.offset < survey.until:
            batch.add(one)
    for one in window:
        if one.offset < survey.until:
            assert survey.newest(one) == batch.records[one.key].offset
        else:
            assert survey.newest(one) is None
    assert survey.whole == (window[-1].next_offset >= survey.until)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 20))
def test_a_snapshot_is_as_old_as_the_source_says(
    one: int, other: int, seen: int, seen_again: int, published: int
) -> None:
    """Whatever our own clocks say, when the source's times differ."""
    held = stamp(record(1, snapshot("c", one, observed_at=seen)))
    again = snapshot("c", other, observed_at=seen_again)
    if one != other:
        assert outdated(record(2, again, published), held) == (other < one)


@given(st.integers(1, 10**6), st.integers(-600_000, 600_000), st.integers(0, 400))
def test_clocks_that_differ_put_out_no_edit(read: int, skew: int, late: int) -> None:
    """A reader whose clock is behind, and who publishes at once, is believed: what it read is later."""
    first = message("c", "m", 10**7)
    edit = message("c", "m", 10**7 + read + skew)
    behind = edit.observed_at < first.observed_at - late
    if behind:
        assert not outdated(record(2, edit, edit.observed_at + late), stamp(record(1, first)))


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_read_that_was_published_late_is_known_for_old(earlier: int, waited: int) -> None:
    newer = message("c", "m", 10**7)
    older = message("c", "m", 10**7 - earlier)
    published = older.observed_at + earlier + waited
    assert outdated(record(2, older, published), stamp(record(1, newer)))


def test_a_date_in_the_future_does_not_shut_out_what_comes_after() -> None:
    now = 1_700_000_000_000
    held = stamp(record(1, snapshot("c", now + 400 * DAY_MS, observed_at=now), now))
    assert not outdated(record(2, snapshot("c", now + 1000, observed_at=now + 2000), now + 2000), held)
