"""A live scan pages behind a conversation in which somebody writes meanwhile."""

from connector.pancake.scan import PageScan
from connector.pancake.scroll import STUCK_SECONDS, STUCK_TRIES
from connector.pancake.shelf import Shelf
from connector.pancake.state import BackfillState, ConversationState, PageState, encode
from connector.pancake.steps import Listed, ListStep, Mode, Pace, ScanStep

PACE = Pace(interval=2.0, overlap=60.0)
NEWEST = 1_767_225_600_000
CONVERSATIONS = [Listed(f"c{age}", "customer", NEWEST - age, 1, b"snapshot") for age in range(3)]


def busy_page() -> PageScan:
    """Everything on it moved within the overlap, so that one page of results is never the last."""
    known = [
        encode(ConversationState(seen.updated_at, seen.count, "customer", seen.snapshot, read=True))
        for seen in CONVERSATIONS
    ]
    state = PageState(watermark=NEWEST, backfill=BackfillState(ended=True))
    return PageScan(state, Shelf("page", [seen.id for seen in CONVERSATIONS], known), PACE)


def handed_out(scan: PageScan, now: float) -> ScanStep:
    step = scan.next_step(now)
    assert step is not None
    return step


def list_page(scan: PageScan, page: list[Listed], now: float) -> ScanStep:
    step = handed_out(scan, now)
    assert isinstance(step, ListStep)
    scan.listed(step, page, now)
    scan.saved(step, {}, now)
    scan.saved(handed_out(scan, now), {}, now)
    return step


def meet_a_moved_cursor(scan: PageScan, now: float) -> None:
    list_page(scan, CONVERSATIONS, now)
    # The oldest was the cursor and is the newest now: behind it comes what was met already.
    assert list_page(scan, CONVERSATIONS[:-1], now) == ListStep(Mode.LIVE, "c2")


def test_the_scan_begins_again_at_the_top_after_its_usual_pause() -> None:
    scan = busy_page()
    meet_a_moved_cursor(scan, now=100.0)
    assert scan.wake_at() == 100.0 + PACE.interval
    assert handed_out(scan, 102.0) == ListStep(Mode.LIVE, "")
    assert scan.holes == 0


def test_a_list_that_goes_on_repeating_itself_is_asked_less_often() -> None:
    scan = busy_page()
    for _ in range(STUCK_TRIES):
        now = scan.wake_at() or 0.0
        meet_a_moved_cursor(scan, now)
    assert scan.wake_at() == now + STUCK_SECONDS
    assert scan.holes == 1


def test_a_scan_that_came_through_forgets_the_moved_cursors_before_it() -> None:
    scan = busy_page()
    for _ in range(STUCK_TRIES + 1):
        now = scan.wake_at() or 0.0
        meet_a_moved_cursor(scan, now)
        now += PACE.interval
        list_page(scan, CONVERSATIONS, now)
        list_page(scan, [], now)
        assert scan.wake_at() == now + PACE.interval
    assert scan.holes == 0
