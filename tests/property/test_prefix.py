"""The only place that says which offset may be committed: never ahead of the work, never back."""

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.prefix import Prefix


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Where each piece begins, and the offset that is read when it is opened; gaps are compaction's."""
    at, found = draw(st.integers(0, 5)), []
    for _ in range(draw(st.integers(1, 12))):
        reads = draw(st.integers(1, 3))
        found.append((at, at + reads))
        at += reads + draw(st.integers(0, 3))
    return found


@given(pieces(), st.data())
def test_in_whichever_order_the_work_ends(opened: list[tuple[int, int]], data: st.DataObject) -> None:
    prefix = Prefix()
    for start, end in opened:
        prefix.open(start)
        prefix.extend(end)
    waiting = {start for start, _ in opened}
    before = opened[0][0]
    for start in data.draw(st.permutations([start for start, _ in opened])):
        assert prefix.next_offset == min(waiting)
        prefix.settle([start])
        waiting.discard(start)
        after = prefix.next_offset
        assert after is not None
        assert after >= before
        before = after
    assert before == opened[-1][1]


@given(pieces(), st.data())
def test_opening_and_settling_may_alternate(opened: list[tuple[int, int]], data: st.DataObject) -> None:
    prefix, waiting = Prefix(), set[int]()
    for start, end in opened:
        prefix.open(start)
        prefix.extend(end)
        waiting.add(start)
        done = data.draw(st.sets(st.sampled_from(sorted(waiting)))) if waiting else set()
        prefix.settle(done)
        waiting -= done
        assert prefix.next_offset == min(waiting, default=end)


def test_what_needs_no_work_is_passed_once_nothing_before_it_waits() -> None:
    prefix = Prefix()
    prefix.open(3)
    prefix.extend(9)
    assert prefix.next_offset == 3
    prefix.settle([3])
    assert prefix.next_offset == 9
    prefix.extend(12)
    assert prefix.next_offset == 12
