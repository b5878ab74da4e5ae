"""Pancake's realities 11 to 20, paging through conversations: nothing is lost by any of them."""

from collections.abc import Callable
from typing import Literal

import pytest

from connector.http.client import Request
from connector.model import Kind
from connector.pancake.state import decode_page
from connector.pancake.steps import Pace
from connector.simulator.options import PancakeOptions
from connector.simulator.world import WorldConfig
from tests.fakes.near import Shop

QUICK = Pace(2.0, 5.0)
SLOW = Pace(30.0, 60.0, reconcile=600.0, deep_every=1)


def shop_of(conversations: int, *, messages: int = 1, pace: Pace = QUICK, **given: object) -> Shop:
    """A page with so many conversations, and lists of 25 so that they have several pages."""
    options = PancakeOptions(rate=None, conversation_page=25)
    for name, value in given.items():
        setattr(options, name, value)
    config = WorldConfig(
        pages=1, conversations_per_page=conversations, messages_per_conversation=messages, plain=True
    )
    return Shop(config, options, pace=pace)


def on_list(shop: Shop, number: int, strike: Callable[[], None]) -> None:
    """Do something just before the list call of that number, counted from 1."""
    met = 0

    def before(request: Request) -> None:
        nonlocal met
        if request.route == "conversations":
            met += 1
            if met == number:
                strike()

    shop.client.before = before


def everyone_moves(shop: Shop) -> None:
    for conversation in shop.newest_first:
        shop.world.add_message(shop.page.id, conversation.id)


@pytest.mark.parametrize("conversations", [0, 59, 60, 61, 120])
async def test_11_a_last_page_that_is_exactly_full_is_not_the_end_and_costs_one_empty_call(
    conversations: int,
) -> None:
    shop = shop_of(conversations, conversation_page=60)
    await shop.once()
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.caught_up


@pytest.mark.parametrize("number", [2, 3, 4, 5])
async def test_12_conversations_that_jump_to_the_top_while_we_page_are_found_all_the_same(
    number: int,
) -> None:
    shop = shop_of(80)
    await shop.once()
    everyone_moves(shop)

    def jump() -> None:
        for conversation in shop.newest_first[-7:]:
            shop.world.add_message(shop.page.id, conversation.id)

    on_list(shop, number, jump)
    await shop.once()
    await shop.once()
    assert shop.differs() == []


@pytest.mark.parametrize("mode", ["follow", "stay", "empty", "error"])
@pytest.mark.parametrize("number", [2, 3])
async def test_13_a_cursor_conversation_that_moves_loses_nothing_whatever_the_server_makes_of_it(
    mode: Literal["follow", "stay", "empty", "error"], number: int
) -> None:
    shop = shop_of(80, cursor_moved=mode)
    await shop.once()
    everyone_moves(shop)
    on_list(shop, number, lambda: _touch(shop, 25 * (number - 1) - 1))
    await shop.once()
    shop.client.before = lambda _: None
    await shop.once()
    assert shop.differs() == []


def _touch(shop: Shop, place: int) -> None:
    shop.world.touch(shop.page.id, shop.newest_first[place].id)


@pytest.mark.parametrize("mode", ["empty", "restart", "error"])
@pytest.mark.parametrize("number", [2, 3, 6, 7])
async def test_13_a_cursor_conversation_that_vanishes_loses_nothing_whatever_the_server_makes_of_it(
    mode: Literal["empty", "restart", "error"], number: int
) -> None:
    shop = shop_of(80, cursor_missing=mode)
    cursors: list[str] = []

    def vanish() -> None:
        asked = shop.client.requests[-1].params.get("last_conversation_id")
        if asked in shop.page.conversations:
            cursors.append(str(asked))
            shop.world.remove_conversation(shop.page.id, str(asked))

    on_list(shop, number, vanish)
    await shop.once()
    await shop.for_seconds(60.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.caught_up


async def test_14_a_list_that_repeats_its_page_ends_the_walk_and_is_never_taken_for_a_whole_one() -> None:
    shop = shop_of(60, cursor_ignored=True)
    await shop.once()
    assert shop.pollers[shop.page.id].reader.holes > 0
    assert shop.calls("conversations") < 120
    shop.options.cursor_ignored = False
    await shop.once()
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("conversations", [0, 1, 24, 25, 26, 80])
async def test_14_a_page_that_begins_with_its_cursor_is_no_endless_list(conversations: int) -> None:
    shop = shop_of(conversations, cursor_inclusive=True)
    await shop.once()
    everyone_moves(shop)
    await shop.once()
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


async def test_15_unread_first_is_never_asked_for() -> None:
    shop = shop_of(30)
    await shop.once()
    assert not any("unread_first" in request.params for request in shop.client.requests)


async def test_15_a_list_that_is_not_sorted_by_time_hides_nothing_from_the_next_full_walk() -> None:
    shop = shop_of(60, pace=SLOW, always_unread_first=True)
    for conversation in shop.newest_first[:40]:
        shop.world.touch(shop.page.id, conversation.id, seen=False)
    await shop.once()
    # All but the read ones are unread and stay on top; what moves is far down, behind what is old.
    for conversation in [c for c in shop.newest_first if c.seen]:
        shop.world.touch(shop.page.id, conversation.id, snippet="bị che")
    await shop.for_seconds(1500.0)
    assert shop.differs() == []


async def test_15_a_list_that_has_the_unread_first_all_the_same_is_read_whole() -> None:
    shop = shop_of(80, always_unread_first=True)
    for conversation in shop.newest_first[::3]:
        shop.world.touch(shop.page.id, conversation.id, seen=False)
    await shop.once()
    assert shop.differs() == []


@pytest.mark.parametrize("conversations", [25, 50, 70])
async def test_16_conversations_of_one_moment_across_the_border_of_pages_are_all_met(
    conversations: int,
) -> None:
    shop = shop_of(conversations)
    await shop.once()
    everyone_moves(shop)
    at = shop.world.now_us
    for conversation in shop.newest_first:
        shop.page.move(conversation, at)
        shop.world.touch(shop.page.id, conversation.id, silent=True, snippet="tie")
    await shop.once()
    assert shop.differs() == []


async def test_17_what_a_window_of_time_leaves_out_is_found_because_no_window_is_asked_for() -> None:
    shop = shop_of(80, window_leaves_out=0.5)
    await shop.once()
    everyone_moves(shop)
    await shop.once()
    assert shop.differs() == []


async def test_17_what_the_list_by_time_never_shows_is_found_by_the_full_walk_and_counted() -> None:
    shop = shop_of(60, pace=SLOW, list_leaves_out=0.3)
    await shop.once()
    assert shop.differs() == []
    everyone_moves(shop)
    await shop.for_seconds(100.0)
    hidden = len({line.split()[1] for line in shop.differs()})
    assert hidden > 5
    await shop.for_seconds(1500.0)
    assert shop.differs() == []
    state = decode_page(shop.topic.cursors[shop.page.id, ""].state)
    assert state.reconcile.healed >= hidden


@pytest.mark.parametrize("what", ["tags", "newest message", "deepest message"])
async def test_18_a_change_that_does_not_move_its_conversation_is_found_by_the_full_walk(what: str) -> None:
    shop = shop_of(10, messages=70, pace=SLOW)
    await shop.once()
    target = shop.newest_first[5]
    if what == "tags":
        shop.world.touch(shop.page.id, target.id, silent=True)
    else:
        message = target.messages[-1 if what == "newest message" else 0]
        shop.world.edit_message(shop.page.id, target.id, message.id, silent=True)
    await shop.for_seconds(1500.0)
    assert shop.differs() == []


async def test_18_a_change_of_tags_alone_is_published_and_costs_no_message_twice() -> None:
    shop = shop_of(10)
    await shop.once()
    before = len(shop.topic.events)
    for conversation in shop.newest_first:
        shop.world.touch(shop.page.id, conversation.id)
    await shop.once()
    assert shop.differs() == []
    assert {event.kind for event in shop.topic.events[before:]} == {Kind.CONVERSATION}


@pytest.mark.parametrize("mode", ["empty", "restart", "error"])
async def test_19_a_conversation_that_is_gone_stays_in_the_topic_and_comes_back_as_it_then_is(
    mode: Literal["empty", "restart", "error"],
) -> None:
    shop = shop_of(30, pace=SLOW, cursor_missing=mode)
    await shop.once()
    gone = shop.newest_first[3]
    shop.world.remove_conversation(shop.page.id, gone.id)
    await shop.for_seconds(1500.0)
    assert gone.id in shop.topic.conversations
    assert shop.differs() == []
    told = [event.kind for event in shop.topic.events if event.conversation_id == gone.id]
    assert told.count(Kind.VANISHED) == 1
    shop.world.restore_conversation(shop.page.id, gone.id)
    shop.world.add_message(shop.page.id, gone.id, text="em đây")
    await shop.once()
    assert shop.differs() == []


async def test_19_a_conversation_that_goes_between_the_list_and_its_messages_is_no_hole_for_ever() -> None:
    shop = shop_of(10, pace=SLOW)
    doomed = shop.newest_first[0]

    def before(request: Request) -> None:
        if request.route == "messages" and doomed.id in shop.page.conversations:
            shop.world.remove_conversation(shop.page.id, doomed.id)

    shop.client.before = before
    await shop.once()
    await shop.for_seconds(3600.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("lag", [1.0, 5.0, 30.0])
async def test_20_a_message_that_is_listed_later_than_its_conversation_tells_is_not_missed(
    lag: float,
) -> None:
    shop = shop_of(10, messages=5, read_lag=lag)
    await shop.once()
    for conversation in shop.newest_first[:4]:
        _now(shop)
        shop.world.add_message(shop.page.id, conversation.id, text="muộn")
    await shop.for_seconds(200.0)
    assert shop.differs() == []


@pytest.mark.parametrize("lag", [1.0, 5.0, 30.0])
async def test_20_an_edit_that_is_shown_later_than_its_conversation_tells_is_not_missed(lag: float) -> None:
    shop = shop_of(10, messages=5, read_lag=lag)
    await shop.once()
    for conversation in shop.newest_first[:4]:
        _now(shop)
        shop.world.edit_message(shop.page.id, conversation.id, conversation.messages[-2].id, text="sửa muộn")
    await shop.for_seconds(200.0)
    assert shop.differs() == []


def _now(shop: Shop) -> None:
    """Let the world's time be the clock's, so that a lag begins when something happens."""
    shop.world.tick(shop.clock.epoch_ms())
