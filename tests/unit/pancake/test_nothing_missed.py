"""What lists and counts do not tell at once, or not at all: it is found, said, and healed."""

import pytest

from connector.model import Event, Kind, Origin
from connector.pancake.completeness import completeness, decode_completeness
from connector.pancake.debts import LAG_WAITS, WAITS
from connector.pancake.state import Owed, PageState, Reason, encode_page
from connector.pancake.steps import Pace
from connector.simulator.options import PancakeOptions
from tests.unit.pancake.direct import rewritten
from tests.unit.pancake.test_page_reading import Desk, desk

RECONCILE = 1000.0
SLOW = Pace(2.0, 60.0, reconcile=RECONCILE, deep_every=1)


def since(here: Desk, before: int) -> list[Event]:
    return here.topic.events[before:]


async def test_a_message_that_is_counted_before_it_is_listed_is_waited_for() -> None:
    here = desk(conversations=2, messages=3, options=PancakeOptions(read_lag=5.0))
    await here.hand.steps()
    here.say(here.conversations[1])
    await here.next_scan()
    assert here.differs() != []
    assert here.hand.reader.completeness.rereads == 1
    for wait in LAG_WAITS:
        await here.clock.advance(wait)
        here.world.tick(here.clock.epoch_ms())
        await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.completeness.rereads == 0


async def test_what_is_waited_for_survives_a_crash() -> None:
    here = desk(conversations=1, messages=3, options=PancakeOptions(read_lag=5.0))
    await here.hand.steps()
    here.say(here.conversations[0])
    await here.next_scan()
    here.hand.crash()
    await here.clock.advance(sum(LAG_WAITS))
    here.world.tick(here.clock.epoch_ms())
    await here.hand.steps()
    assert here.differs() == []


async def test_a_count_that_is_always_wrong_is_waited_for_once_and_not_for_ever() -> None:
    here = desk(conversations=1, messages=3)
    await here.hand.steps()
    conversation = here.conversations[0]
    conversation.drift = 2
    here.say(conversation)
    for wait in (2.0, *LAG_WAITS, 300.0):
        await here.clock.advance(wait)
        await here.hand.steps()
    asked = here.client.count("messages")
    assert asked <= 2 + 1 + len(LAG_WAITS) + 1
    for _ in range(20):
        await here.clock.advance(60.0)
        await here.hand.steps()
    assert here.client.count("messages") == asked
    assert here.hand.reader.completeness.complete


async def test_an_edit_far_below_the_newest_messages_is_found_by_the_move_that_nothing_explains() -> None:
    here = desk(conversations=2, messages=200)
    await here.hand.steps()
    conversation = here.conversations[1]
    here.world.edit_message(conversation.page_id, conversation.id, conversation.messages[3].id)
    for wait in (2.0, *LAG_WAITS, 1.0):
        await here.clock.advance(wait)
        await here.hand.steps()
    assert here.differs() == []


async def test_a_reading_to_the_end_that_finds_no_change_publishes_nothing() -> None:
    here = desk(conversations=3, messages=100, pace=SLOW)
    await here.hand.steps()
    await here.next_scan()
    before, asked = len(here.topic.events), here.client.count("messages")
    await here.clock.advance(RECONCILE)
    await here.hand.steps()
    assert since(here, before) == []
    assert here.client.count("messages") == asked + 3 * 4


@pytest.mark.parametrize("place", [0, 50, -1])
async def test_an_edit_that_moves_nothing_is_found_by_the_slow_walk(place: int) -> None:
    here = desk(conversations=3, messages=100, pace=SLOW)
    await here.hand.steps()
    conversation = here.conversations[1]
    message = conversation.messages[place]
    here.world.edit_message(conversation.page_id, conversation.id, message.id, silent=True)
    await here.next_scan()
    assert here.differs() != []
    await here.clock.advance(RECONCILE)
    await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.completeness.reconcile.ended > 0


async def test_what_the_list_by_time_never_shows_is_found_counted_and_healed() -> None:
    here = desk(conversations=8, messages=3, pace=SLOW)
    await here.hand.steps()
    here.client.options.list_leaves_out = 0.999
    for conversation in here.conversations[:4]:
        here.say(conversation)
    await here.next_scan()
    assert here.differs() != []
    before = len(here.topic.events)
    await here.clock.advance(RECONCILE)
    await here.hand.steps()
    assert here.differs() == []
    told = here.hand.reader.completeness.reconcile
    assert (told.found, told.healed) == (4, 4)
    assert {event.origin for event in since(here, before)} == {Origin.RECONCILE}


@pytest.mark.parametrize("unknown", ["error", "empty"])
async def test_a_conversation_that_vanishes_is_said_to_and_its_return_as_well(unknown: str) -> None:
    here = desk(conversations=4, messages=2, pace=SLOW)
    here.client.options.unknown_conversation = "empty" if unknown == "empty" else "error"
    await here.hand.steps()
    await here.next_scan()
    gone = here.conversations[2]
    here.world.remove_conversation(gone.page_id, gone.id)
    await here.clock.advance(RECONCILE)
    await here.hand.steps()
    assert here.topic.vanished[gone.id].payload == b'{"vanished":true}'
    assert here.hand.reader.completeness.reconcile.vanished == 1
    here.hand.crash()
    here.world.restore_conversation(gone.page_id, gone.id)
    before = len(here.topic.events)
    await here.hand.steps()
    assert here.topic.vanished[gone.id].payload == b'{"vanished":false}'
    assert [event.kind for event in since(here, before)].count(Kind.CONVERSATION) == 1
    assert here.differs() == []


async def test_a_walk_that_was_broken_off_says_nothing_of_what_it_did_not_show() -> None:
    options = PancakeOptions(conversation_page=3)
    here = desk(conversations=9, messages=1, options=options, pace=SLOW)
    await here.hand.steps()
    await here.next_scan()
    await here.clock.advance(RECONCILE)
    here.client.options.cursor_ignored = True
    await here.hand.steps()
    assert here.topic.vanished == {}
    assert here.hand.reader.completeness.reconcile.ended == 0


@pytest.mark.parametrize("messages", [5, 30, 31, 59, 60, 61, 95])
async def test_an_offset_that_counts_from_the_oldest_message_loses_none(messages: int) -> None:
    options = PancakeOptions(current_count_from="oldest")
    here = desk(conversations=2, messages=messages, options=options)
    await here.hand.steps()
    assert here.differs() == []
    for _ in range(40):
        here.say(here.conversations[1])
    await here.next_scan()
    assert here.differs() == []


@pytest.mark.parametrize("arrived", [1, 28, 29, 30, 31, 65])
async def test_messages_that_come_while_a_conversation_is_read_hide_no_older_one(arrived: int) -> None:
    here = desk(conversations=1, messages=100)
    await here.hand.steps(1 + 1 + 1)
    for _ in range(arrived):
        here.say(here.conversations[0])
    await here.hand.steps()
    await here.next_scan()
    assert here.differs() == []


@pytest.mark.parametrize("vanished", [1, 5, 29, 40])
async def test_messages_that_vanish_while_a_conversation_is_read_hide_no_other(vanished: int) -> None:
    here = desk(conversations=1, messages=150)
    await here.hand.steps(1 + 1 + 2)
    conversation = here.conversations[0]
    for message in conversation.messages[-vanished:]:
        here.world.remove_message(conversation.page_id, conversation.id, message.id, vanish=True)
    await here.hand.steps()
    assert here.differs() == []


async def test_a_moment_in_the_far_future_does_not_end_the_scans_after_it() -> None:
    here = desk(conversations=5, messages=1, pace=Pace(2.0, 0.0))
    await here.hand.steps()
    page = here.world.pages[here.hand.page_id]
    last = here.conversations[-1]
    page.move(last, last.updated_us + 400 * 86_400_000_000)
    last.data = rewritten(last.data, updated_at="2027-02-01T00:00:00.000000")
    await here.next_scan()
    assert here.state.watermark < here.clock.epoch_ms()
    for conversation in here.conversations[1:4]:
        here.say(conversation)
    await here.next_scan()
    assert here.differs() == []


async def test_the_back_fill_says_how_much_is_left_and_goes_on_with_it_after_a_crash() -> None:
    here = desk(conversations=200, messages=35)
    while not here.hand.reader.completeness.backfill.list_ended:
        await here.hand.steps(1)
        await here.clock.advance(0.2)
    told = here.hand.reader.completeness.backfill
    assert told.listed == 200
    assert told.owed == 140
    assert told.calls_left == 140 * 2
    here.hand.crash()
    again = here.hand.reader.completeness.backfill
    assert (again.list_ended, again.owed, again.calls_left) == (True, 140, 280)
    for _ in range(100):
        await here.hand.steps(1)
        await here.clock.advance(0.2)
    told = here.hand.reader.completeness.backfill
    assert 0 < told.share < 1
    assert told.seconds_left == pytest.approx(told.calls_left / 5, rel=0.2)
    await here.hand.steps()
    assert here.hand.reader.completeness.backfill.done
    assert here.differs() == []


def test_one_without_a_customer_where_one_is_required_is_a_hole_with_its_reason() -> None:
    page = PageState(holes=1, debts={"c": Owed(Reason.CUSTOMER_REQUIRED, "", 1, 1, 1)})
    told = decode_completeness("p", encode_page(page))
    assert told == completeness("p", page)
    assert told is not None
    assert [(hole.conversation_id, hole.reason) for hole in told.holes] == [("c", "customer_required")]
    assert WAITS[Reason.CUSTOMER_REQUIRED][0] > WAITS[Reason.UNREADABLE][0]
    assert decode_completeness("p", b"\x81\xa9watermark\x01") is None
