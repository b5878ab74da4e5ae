"""A page on which nothing else moves must not wait for ever, and a busy one must not starve its back-fill."""

from connector.pancake.jobs import HOLE_TRIES_AT_MOST
from connector.pancake.scan import PageScan
from connector.pancake.shelf import Shelf
from connector.pancake.state import PageState, Reason
from connector.pancake.steps import Listed, ListStep, MessagesStep, Mode, OweStep, Pace, SettleStep

NOW = 1000.0
PACE = Pace(interval=2.0, overlap=60.0)
NEW = Listed("c1", "customer", 1_767_225_600_000, 3, b"snapshot")


def test_the_only_conversation_that_moves_and_never_comes_is_set_aside_at_last() -> None:
    scan = PageScan(PageState(watermark=1), Shelf("page"), PACE)
    listing = scan.next_step(NOW)
    assert isinstance(listing, ListStep)
    scan.listed(listing, [NEW], NOW)
    scan.saved(listing, {}, NOW)
    for _ in range(HOLE_TRIES_AT_MOST):
        step = scan.next_step(NOW)
        assert isinstance(step, MessagesStep)
        assert scan.holes == 0
        scan.failed(step, NOW)
    # The scan goes on only when it is saved that this conversation is owed.
    owe = scan.next_step(NOW)
    assert isinstance(owe, OweStep)
    assert scan.next_step(NOW) is None
    state = scan.owing(owe)
    assert state.owed is not None
    assert state.owed.reason is Reason.UNREADABLE
    scan.saved(owe, {"c1": state}, NOW)
    assert scan.holes == 1
    settle = scan.next_step(NOW)
    assert isinstance(settle, SettleStep)
    assert scan.settled(settle, NOW).debts == {"c1": state.owed}


def test_the_back_fill_begins_its_list_behind_a_live_scan_however_long_that_took() -> None:
    scan = PageScan(PageState(watermark=1), Shelf("page"), PACE)
    live = scan.next_step(NOW)
    assert live == ListStep(Mode.LIVE, "")
    assert isinstance(live, ListStep)
    scan.listed(live, [], NOW)
    late = NOW + 60.0
    scan.saved(live, {}, late)
    settle = scan.next_step(late)
    assert settle is not None
    scan.saved(settle, {}, late)
    assert scan.next_step(late) == ListStep(Mode.BACKFILL, "")
