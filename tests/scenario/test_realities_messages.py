"""Pancake's realities 21 to 31, messages: every one of them once, whole, and again only when it changed."""

import json
from collections.abc import Callable
from typing import Literal

import pytest

from connector.http.client import Request
from connector.model import Event, Kind
from connector.pancake.steps import Pace
from connector.simulator import oddities
from connector.simulator.inbox import Conversation
from connector.simulator.options import PancakeOptions
from connector.simulator.world import WorldConfig
from tests.fakes.near import Shop

SLOW = Pace(30.0, 60.0, reconcile=600.0, deep_every=1)
LENGTHS = (0, 1, 20, 25, 30, 60, 73)


def shop_of(messages: int, *, conversations: int = 1, pace: Pace = SLOW, **given: object) -> Shop:
    """A page whose conversations have so many messages each."""
    options = PancakeOptions(rate=None)
    for name, value in given.items():
        setattr(options, name, value)
    config = WorldConfig(
        pages=1, conversations_per_page=conversations, messages_per_conversation=messages, plain=True
    )
    return Shop(config, options, pace=pace)


def only(shop: Shop) -> Conversation:
    return shop.newest_first[0]


def on_messages(shop: Shop, number: int, strike: Callable[[], None]) -> None:
    """Do something just before the messages call of that number, counted from 1."""
    met = 0

    def before(request: Request) -> None:
        nonlocal met
        if request.route == "messages":
            met += 1
            if met == number:
                strike()

    shop.client.before = before


def published(shop: Shop, kind: Kind, since: int = 0) -> list[Event]:
    return [event for event in shop.topic.events[since:] if event.kind is kind]


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
@pytest.mark.parametrize("size", [30, 25, 20])
async def test_21_either_order_and_any_page_size_give_every_message_once(
    order: Literal["newest_first", "oldest_first"], size: int
) -> None:
    for length in LENGTHS:
        shop = shop_of(length, message_order=order, message_page=size)
        await shop.once()
        assert shop.differs() == []
        assert len(published(shop, Kind.MESSAGE)) == length


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
@pytest.mark.parametrize("size", [30, 25, 20])
async def test_22_an_offset_counted_from_the_oldest_gives_every_message_all_the_same(
    order: Literal["newest_first", "oldest_first"], size: int
) -> None:
    for length in LENGTHS:
        shop = shop_of(length, current_count_from="oldest", message_order=order, message_page=size)
        await shop.once()
        shop.world.add_message(shop.page.id, only(shop).id)
        await shop.once()
        assert shop.differs() == []


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("arriving", [1, 3, 29, 30, 31, 40, 200])
async def test_22_messages_that_arrive_while_we_page_shift_nothing_out_of_sight(
    number: int, arriving: int
) -> None:
    shop = shop_of(100)

    def arrive() -> None:
        for _ in range(arriving):
            shop.world.add_message(shop.page.id, only(shop).id)

    on_messages(shop, number, arrive)
    await shop.once()
    await shop.once()
    assert shop.differs() == []


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("vanishing", [1, 3])
async def test_22_messages_that_vanish_while_we_page_make_us_skip_none(number: int, vanishing: int) -> None:
    shop = shop_of(100)

    def vanish() -> None:
        for message in only(shop).messages[-vanishing:]:
            shop.world.remove_message(shop.page.id, only(shop).id, message.id, vanish=True)

    on_messages(shop, number, vanish)
    await shop.once()
    await shop.for_seconds(1500.0)
    assert shop.differs() == []


async def test_23_an_ignored_offset_is_a_hole_with_a_name_and_not_a_whole_conversation() -> None:
    shop = shop_of(73, conversations=2, current_count_ignored=True)
    await shop.once()
    assert shop.pollers[shop.page.id].reader.holes > 0
    assert shop.calls("messages") < 100
    shop.options.current_count_ignored = False
    await shop.for_seconds(4 * 3600.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


async def test_23_an_offset_beyond_the_end_gives_nothing_and_is_the_end() -> None:
    shop = shop_of(30)
    only(shop).drift = 500
    shop.world.touch(shop.page.id, only(shop).id)
    await shop.for_seconds(1500.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


async def test_24_many_messages_of_one_second_are_as_many_messages() -> None:
    shop = shop_of(0)
    at = shop.clock.epoch_ms()
    for _ in range(70):
        shop.world.add_message(shop.page.id, only(shop).id, at_ms=at)
    assert len({json.loads(m.data)["inserted_at"] for m in only(shop).messages}) == 1
    await shop.once()
    shop.world.add_message(shop.page.id, only(shop).id, at_ms=at)
    await shop.once()
    assert shop.differs() == []


@pytest.mark.parametrize("place", [-1, -31, 0])
async def test_25_an_edit_is_published_under_its_old_id_and_time_however_deep_it_is(place: int) -> None:
    shop = shop_of(100)
    await shop.once()
    before = len(shop.topic.events)
    edited = only(shop).messages[place]
    shop.world.edit_message(shop.page.id, only(shop).id, edited.id, text="sửa")
    await shop.for_seconds(1500.0)
    assert shop.differs() == []
    told = [event for event in published(shop, Kind.MESSAGE, before) if event.message_id == edited.id]
    assert [(event.inserted_at, event.payload) for event in told] == [
        (edited.inserted_us // 1000, edited.data)
    ]


async def test_25_a_removal_is_published_as_what_pancake_makes_of_it() -> None:
    shop = shop_of(5)
    await shop.once()
    removed = only(shop).messages[2]
    shop.world.remove_message(shop.page.id, only(shop).id, removed.id)
    await shop.once()
    payload = json.loads(shop.topic.messages[only(shop).id, removed.id].payload)
    assert (payload["is_removed"], payload["removed_by"], payload["message"]) == (True, "1000", "")


@pytest.mark.parametrize("drift", [-5, -1, 1, 7, 1000])
@pytest.mark.parametrize("counted", ["newest", "oldest"])
async def test_26_a_count_that_is_not_what_is_listed_loses_nothing_and_causes_no_endless_reading(
    drift: int, counted: Literal["newest", "oldest"]
) -> None:
    # Of 57, counted from the oldest, the third page is the first one again.
    shop = shop_of(57, conversations=3, current_count_from=counted)
    for conversation in shop.newest_first:
        conversation.drift = drift
        shop.world.touch(shop.page.id, conversation.id)
    await shop.for_seconds(1000.0)
    assert shop.pollers[shop.page.id].reader.holes == 0
    shop.world.add_message(shop.page.id, only(shop).id)
    await shop.for_seconds(1000.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0
    before = shop.calls("messages")
    await shop.for_seconds(550.0)
    # One reconcile, which reads each of the three to its end.
    assert shop.calls("messages") - before <= 16


async def test_27_where_a_customer_is_required_every_conversation_that_has_one_is_read() -> None:
    shop = shop_of(40, conversations=3, customer_id_required=True)
    await shop.once()
    assert shop.differs() == []


async def test_27_a_conversation_without_the_customer_that_is_required_is_a_hole_and_no_outage() -> None:
    shop = shop_of(4, conversations=3, customer_id_required=True)
    nameless = shop.newest_first[1]
    shop.world.merge_customer(shop.page.id, nameless.id, None)
    await shop.once()
    assert {line.split()[1] for line in shop.differs()} == {nameless.id}
    assert shop.pollers[shop.page.id].reader.holes == 1
    shop.world.merge_customer(shop.page.id, nameless.id, "found")
    await shop.for_seconds(1500.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("odd", ["from_null", "from_missing", "system", "admin", "automation"])
async def test_28_whoever_or_whatever_sent_a_message_it_is_published(odd: str) -> None:
    await _arrives_as_it_is(odd)


TEXTS = (
    "html", "media_only", "emoji", "escaped_pairs", "nfc", "nfd", "right_to_left", "nul",
    "control_characters", "long_text", "lone_surrogate",
)  # fmt: skip


@pytest.mark.parametrize("odd", TEXTS)
async def test_29_a_text_is_published_byte_for_byte_whatever_is_in_it(odd: str) -> None:
    await _arrives_as_it_is(odd)


@pytest.mark.parametrize("odd", ["unknown_attachment", "attachments_object", "base64", "long_url"])
async def test_31_an_attachment_is_published_as_it_is_whatever_it_is(odd: str) -> None:
    await _arrives_as_it_is(odd)


async def _arrives_as_it_is(odd: str) -> None:
    assert odd in oddities.MESSAGES
    shop = shop_of(3)
    shop.world.add_message(shop.page.id, only(shop).id, odd=odd)
    await shop.once()
    message = shop.world.add_message(shop.page.id, only(shop).id, odd=odd)
    await shop.once()
    assert shop.differs() == []
    assert shop.topic.shelved == []
    # And it is not taken for a change when it is seen again.
    before = len(shop.topic.events)
    shop.world.touch(shop.page.id, only(shop).id)
    await shop.once()
    assert published(shop, Kind.MESSAGE, before) == []
    assert shop.topic.messages[only(shop).id, message.id].payload == message.data


async def test_30_ten_thousand_messages_of_one_conversation_keep_no_other_waiting() -> None:
    shop = Shop(
        WorldConfig(
            pages=1, conversations_per_page=4, messages_per_conversation=5, huge_conversations=1, plain=True
        ),
        pace=SLOW,
    )
    huge = next(iter(shop.page.conversations.values()))
    reached: list[set[str]] = []

    def before(request: Request) -> None:
        if int(request.params.get("current_count", 0)) > 3000 and not reached:
            reached.append(
                {event.conversation_id for event in shop.topic.events if event.kind is Kind.MESSAGE}
            )

    shop.client.before = before
    await shop.once()
    assert shop.differs() == []
    assert len(huge.messages) == 10_000
    assert reached[0] == set(shop.page.conversations)
    before_it = shop.calls("messages")
    shop.world.add_message(shop.page.id, huge.id)
    await shop.once()
    assert shop.differs() == []
    assert shop.calls("messages") - before_it == 1


async def test_30_a_conversation_without_any_message_is_published_all_the_same() -> None:
    shop = shop_of(0, conversations=3)
    await shop.once()
    assert set(shop.topic.conversations) == set(shop.page.conversations)
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("odd", ["facebook_url", "s3_url", "emoji"])
async def test_31_urls_that_are_signed_anew_on_each_read_are_not_taken_for_changes(odd: str) -> None:
    config = WorldConfig(pages=1, conversations_per_page=6, messages_per_conversation=5)
    shop = Shop(config, PancakeOptions(rate=None, signed_urls_change=True), pace=SLOW)
    for conversation in shop.newest_first:
        shop.world.add_message(shop.page.id, conversation.id, odd=odd)
    await shop.once()
    before = len(shop.topic.events)
    for conversation in shop.newest_first:
        shop.world.touch(shop.page.id, conversation.id)
    await shop.for_seconds(1500.0)
    assert published(shop, Kind.MESSAGE, before) == []
    edited = only(shop).messages[-1]
    shop.world.edit_message(shop.page.id, only(shop).id, edited.id, text="thật sự sửa")
    await shop.once()
    assert [event.message_id for event in published(shop, Kind.MESSAGE, before)] == [edited.id]
