"""Whatever a window holds: one lane settles each record, and the newest of each key is sent."""

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.packing import Packed, pack
from connector.model import Event, Partition, Problem, Record
from tests.fakes.events import message, snapshot

PARTITION = Partition("pancake.messages", 0)


@st.composite
def windows(draw: st.DrawFn) -> list[Record]:
    """One partition in offset order, with gaps where compaction was, a few keys, and junk in between."""
    ids = st.sampled_from(["a", "b", "c"])
    events = st.one_of(
        st.none(),
        st.builds(message, ids, ids, st.integers(1, 4)),
        st.builds(snapshot, ids, st.integers(1, 4)),
    )
    records = []
    offset = draw(st.integers(0, 10))
    for event in draw(st.lists(events, min_size=1, max_size=25)):
        key = None if event is None else f"{event.conversation_id}\0{event.message_id}".encode()
        problem = Problem("bad_frame", "junk") if event is None else None
        records.append(Record(PARTITION, offset, 0, key, b"", event, problem))
        offset += draw(st.integers(1, 3))
    return records


def conversation(record: Record) -> str:
    return event_of(record).conversation_id


def event_of(record: Record) -> Event:
    assert record.event is not None
    return record.event


@given(windows())
def test_every_record_belongs_to_exactly_one_lane_or_is_unreadable(window: list[Record]) -> None:
    packed = pack(window)
    assert list(packed.unreadable) == [record for record in window if record.event is None]
    assert sum(lane.count for lane in packed.lanes) + len(packed.unreadable) == len(window)
    names = [conversation(lane.records[0]) for lane in packed.lanes]
    assert len(set(names)) == len(names)
    for name, lane in zip(names, packed.lanes, strict=True):
        own = [record for record in window if record.event and conversation(record) == name]
        assert (lane.count, lane.first_offset) == (len(own), own[0].offset)
        assert set(lane.records) <= set(own)


@given(windows())
def test_of_each_key_the_newest_version_is_sent_and_of_equal_ones_the_last(window: list[Record]) -> None:
    sent = {record.key: record for lane in pack(window).lanes for record in lane.records}
    for record in window:
        if record.event is None:
            continue
        chosen = sent[record.key]
        assert (event_of(chosen).version, chosen.offset) >= (record.event.version, record.offset)
    assert len(sent) == sum(len(lane.records) for lane in pack(window).lanes)


@given(windows())
def test_lanes_come_by_their_first_offset_and_records_in_order(window: list[Record]) -> None:
    packed: Packed = pack(window)
    starts = [lane.first_offset for lane in packed.lanes]
    assert starts == sorted(starts)
    for lane in packed.lanes:
        offsets = [record.offset for record in lane.records]
        assert offsets
        assert offsets == sorted(offsets)
