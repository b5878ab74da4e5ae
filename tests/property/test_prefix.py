"""The only place that says which offset may be committed: never ahead of the work, never back."""

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.packing import Prefix, pack
from connector.model import Record
from tests.property.test_packing import conversation, windows


@given(windows(), st.data())
def test_in_whichever_order_the_work_ends(window: list[Record], data: st.DataObject) -> None:
    packed = pack(window)
    end = window[-1].next_offset
    prefix = Prefix(packed, end)
    starts = {lane.first_offset: conversation(lane.records[0]) for lane in packed.lanes}
    parts = [*starts, *(record.offset for record in packed.unreadable)]
    before = window[0].offset
    settled: set[int] = set()
    for first_offset in data.draw(st.permutations(parts)):
        assert not prefix.complete
        offset = prefix.settle(first_offset)
        settled |= {
            record.offset
            for record in window
            if record.offset == first_offset
            or (record.event and conversation(record) == starts.get(first_offset))
        }
        unsettled = [record.offset for record in window if record.offset not in settled]
        assert all(offset <= waiting for waiting in unsettled)
        assert before <= offset <= end
        before = offset
    assert prefix.complete
    assert before == end


@given(windows())
def test_in_order_every_part_moves_it(window: list[Record]) -> None:
    packed = pack(window)
    prefix = Prefix(packed, window[-1].next_offset)
    parts = sorted(
        [*(lane.first_offset for lane in packed.lanes), *(record.offset for record in packed.unreadable)]
    )
    moved = [prefix.settle(first_offset) for first_offset in parts]
    assert moved == [*parts[1:], window[-1].next_offset]
