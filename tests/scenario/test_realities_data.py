"""Pancake's realities 29 and 32 to 40, the shape of data: from Pancake's bytes to FolkForm's, unchanged."""

from dataclasses import replace

import pytest

from connector.model import Kind
from connector.pancake.steps import Pace
from connector.pancake.wire import mend
from connector.simulator import oddities
from connector.simulator.audit import compare
from connector.simulator.options import PancakeOptions
from connector.simulator.world import WorldConfig
from tests.fakes.delivered import delivered
from tests.fakes.near import Shop

FEW = WorldConfig(pages=1, conversations_per_page=3, messages_per_conversation=4)
SLOW = Pace(30.0, 60.0, reconcile=600.0, deep_every=1)
# FolkForm stores half a pair as U+FFFD, so that one is compared in a test of its own.
SAME = tuple(name for name in oddities.EVERY if name != "lone_surrogate")

# aiohttp would rather stream what is over 1 MiB.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


def shop_of(config: WorldConfig = FEW, *, conversation_page: int = 60) -> Shop:
    return Shop(config, PancakeOptions(rate=None, conversation_page=conversation_page), pace=SLOW)


async def arrives(shop: Shop) -> None:
    """Everything of the world is in FolkForm byte for byte, and nothing was shelved on the way."""
    await shop.once()
    assert shop.topic.shelved == []
    async with delivered(shop.topic) as (folkform, refused):
        assert refused == {}
        assert compare(shop.world, folkform.store).differences() == {}


async def test_29_half_a_surrogate_pair_is_sent_as_it_is_and_stored_as_folkform_stores_it() -> None:
    shop = shop_of(replace(FEW, odd=("lone_surrogate",), odd_share=1.0))
    await shop.once()
    assert shop.differs() == []
    async with delivered(shop.topic) as (folkform, refused):
        assert refused == {}
        for conversation in shop.world.conversations():
            assert b"\\ud83d" in conversation.data
            document = folkform.store.first(conversation.id)
            assert document is not None
            assert document.data == mend(conversation.data)
            for message in conversation.messages:
                assert folkform.store.items[message.id].data == mend(message.data)


async def test_29_to_40_every_rare_content_at_once_arrives_byte_for_byte() -> None:
    many = WorldConfig(
        pages=7, conversations_per_page=12, messages_per_conversation=8, odd=SAME, odd_share=0.6
    )
    await arrives(shop_of(many))


@pytest.mark.parametrize("odd", ["time_without_fraction", "numeric_time", "numeric_siblings"])
async def test_32_a_time_means_the_same_moment_in_whatever_form_it_comes(odd: str) -> None:
    shop = shop_of(replace(FEW, odd=(odd,), odd_share=1.0))
    await arrives(shop)
    for conversation in shop.world.conversations():
        told = shop.topic.conversations[conversation.id]
        # Without its fraction, or as whole seconds, a moment is told to the second.
        assert abs(told.updated_at - conversation.updated_us // 1000) < 1000
        for message in conversation.messages:
            said = shop.topic.messages[conversation.id, message.id]
            assert abs(said.inserted_at - message.inserted_us // 1000) < 1000


async def test_33_tags_that_are_null_numbers_or_words_arrive_as_they_are() -> None:
    await arrives(shop_of(replace(FEW, odd=("tags_with_null",), odd_share=1.0)))


@pytest.mark.parametrize("odd", ["nulls", "missing_keys", "birthday_zeros"])
async def test_34_a_null_stays_a_null_and_what_is_missing_stays_missing(odd: str) -> None:
    await arrives(shop_of(replace(FEW, odd=(odd,), odd_share=1.0)))


@pytest.mark.parametrize("odd", ["phones_as_strings", "attachments_object"])
async def test_35_a_field_of_two_types_arrives_in_the_one_it_came_in(odd: str) -> None:
    await arrives(shop_of(replace(FEW, odd=(odd,), odd_share=1.0)))


IDS = (
    "123456789012345678",
    "0012",
    "9007199254740993",
    "tt_0:1:22:33",
    "wa_84903@c.us_1",
    "a.b",
    "x%2Fy",
    "Lê",
)


async def test_36_ids_stay_the_strings_they_are_whatever_they_look_like() -> None:
    shop = shop_of(replace(FEW, conversations_per_page=0))
    for ident in IDS:
        shop.world.add_conversation(shop.page.id, id=ident, messages=0)
        shop.world.add_message(shop.page.id, ident, id=f"{ident}1")
    await arrives(shop)
    assert set(shop.topic.conversations) == set(IDS)


async def test_36_integers_beyond_all_floats_keep_every_digit() -> None:
    shop = shop_of(replace(FEW, odd=("big_integers",), odd_share=1.0))
    await arrives(shop)
    texts = [event.payload for event in shop.topic.events]
    assert any(b"123456789012345678901234567890" in text for text in texts)
    assert any(b"9007199254740993" in text for text in texts)


async def test_36_the_same_number_on_two_pages_is_two_conversations() -> None:
    shop = shop_of(
        WorldConfig(pages=2, conversations_per_page=5, messages_per_conversation=3, shared_people=True)
    )
    await arrives(shop)
    assert len(shop.topic.conversations) == 10


async def test_36_the_very_same_id_on_two_pages_leaves_each_page_its_own_cursor_and_events() -> None:
    shop = shop_of(replace(FEW, pages=2, conversations_per_page=0))
    for page_id in shop.world.pages:
        shop.world.add_conversation(page_id, id="77", messages=3)
    await shop.once()
    told = {event.page_id for event in shop.topic.events if event.kind is Kind.CONVERSATION}
    assert told == set(shop.world.pages)
    assert {page for page, conversation in shop.topic.cursors if conversation == "77"} == told
    assert len({m for event in shop.topic.events if (m := event.message_id)}) == 6


async def test_37_keys_that_are_data_arrive_with_their_dots_and_dollars() -> None:
    shop = shop_of(replace(FEW, odd=("dotted_keys",), odd_share=1.0))
    await arrives(shop)
    assert all(b'"$set"' in event.payload for event in shop.topic.conversations.values())


@pytest.mark.parametrize("odd", ["unknown_fields", "unknown_type", "unknown_attachment"])
async def test_38_what_nobody_has_heard_of_yet_passes_untouched(odd: str) -> None:
    await arrives(shop_of(replace(FEW, odd=(odd,), odd_share=1.0)))


async def test_39_without_a_customer_the_snapshot_arrives_and_the_messages_once_there_is_one() -> None:
    shop = shop_of(replace(FEW, without_customer=1.0))
    await shop.once()
    async with delivered(shop.topic) as (folkform, refused):
        assert set(refused) == set(shop.page.conversations)
        assert set(refused.values()) == {"missing_customer_id"}
        assert len(folkform.store.documents) == 3
    for conversation in list(shop.page.conversations.values()):
        shop.world.merge_customer(shop.page.id, conversation.id, f"k-{conversation.id}", silent=True)
    await shop.for_seconds(1500.0)
    await arrives(shop)


@pytest.mark.parametrize("silent", [False, True])
async def test_39_a_customer_that_changes_by_a_merge_changes_in_folkform(*, silent: bool) -> None:
    shop = shop_of()
    await shop.once()
    merged = shop.newest_first[1]
    shop.world.merge_customer(shop.page.id, merged.id, "merged", silent=silent)
    await shop.for_seconds(1500.0)
    await arrives(shop)
    async with delivered(shop.topic) as (folkform, _):
        document = folkform.store.first(merged.id)
        assert document is not None
        assert document.customer_id == "merged"


async def test_40_a_page_of_several_megabytes_is_one_page_like_any_other() -> None:
    heavy = WorldConfig(
        pages=1, conversations_per_page=61, messages_per_conversation=1, odd=("heavy",), odd_share=1.0
    )
    shop = shop_of(heavy)
    assert sum(len(c.data) for c in shop.world.conversations()) > 3_000_000
    await arrives(shop)


async def test_10_pages_of_every_platform_with_their_prefixes_arrive_under_their_own_ids() -> None:
    shop = shop_of(WorldConfig(pages=7, conversations_per_page=3, messages_per_conversation=2))
    await arrives(shop)
    told = {event.page_id for event in shop.topic.events}
    assert told == set(shop.world.pages)
    assert {page_id.partition("_")[0] for page_id in told if "_" in page_id} == {"igo", "pzl", "tt", "waba"}
