"""Rare contents, one by one: each is legal JSON, is what its name says, and is there only when asked for."""

import json
import unicodedata

import pytest

from connector.simulator import oddities
from connector.simulator.audit import pancake_dump, sha256
from connector.simulator.content import fields, render, signed
from connector.simulator.inbox import Message
from connector.simulator.world import World, WorldConfig

SMALL = WorldConfig(pages=1, conversations_per_page=4, messages_per_conversation=10)


def said(odd: str) -> Message:
    world = World(SMALL)
    conversation = next(world.conversations())
    return world.add_message(conversation.page_id, conversation.id, odd=odd)


@pytest.mark.parametrize("name", sorted(oddities.MESSAGES))
def test_an_odd_message_is_json_and_keeps_its_id(name: str) -> None:
    message = said(name)
    assert json.loads(message.data)["id"] == message.id
    assert render(fields(message.data)) == message.data


@pytest.mark.parametrize("name", sorted(oddities.CONVERSATIONS))
def test_a_world_of_odd_conversations_is_json_and_still_changes(name: str) -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=3, odd=(name,), odd_share=1.0))
    for conversation in list(world.conversations()):
        usual = json.loads(World(WorldConfig(pages=1, conversations_per_page=3)).conversation(
            conversation.page_id, conversation.id).data)  # fmt: skip
        assert json.loads(conversation.data) != usual
        world.add_message(conversation.page_id, conversation.id)
        assert json.loads(conversation.data)["message_count"] == 21


def test_half_a_pair_stays_half_a_pair_through_an_edit_of_something_else() -> None:
    world = World(SMALL)
    conversation = next(world.conversations())
    message = world.add_message(conversation.page_id, conversation.id, odd="lone_surrogate")
    assert b'\\ud83d"' in message.data
    assert b'\\ud83d"' in conversation.data  # its snippet
    world.edit_message(conversation.page_id, conversation.id, message.id, like_count=3)
    assert b'\\ud83d"' in message.data
    assert b'"like_count":3' in message.data


def test_nfc_and_nfd_look_the_same_and_are_not() -> None:
    composed, decomposed = (json.loads(said(name).data)["message"] for name in ("nfc", "nfd"))
    assert composed != decomposed
    assert unicodedata.normalize("NFD", composed) == decomposed


def test_long_things_are_long() -> None:
    assert len(said("long_text").data) > 200_000
    assert len(said("long_url").data) > oddities.LONG_URL
    heavy = World(WorldConfig(pages=1, conversations_per_page=60, odd=("heavy",), odd_share=1.0))
    assert sum(len(c.data) for c in heavy.conversations()) > 3_000_000


def test_times_come_with_and_without_fraction_and_as_numbers() -> None:
    assert len(json.loads(said("time_without_fraction").data)["inserted_at"]) == len("2026-01-01T00:00:00")
    assert json.loads(said("numeric_time").data)["inserted_at"] == WorldConfig().start_ms // 1000


@pytest.mark.parametrize("name", ["facebook_url", "s3_url"])
def test_a_url_signed_anew_is_another_and_the_audit_can_look_away(name: str) -> None:
    data = said(name).data
    reads = [signed(data, n) for n in (1, 2, 2)]
    assert reads[0] != reads[1] == reads[2] != data
    assert len({sha256(read, ignore_signatures=True) for read in [data, *reads]}) == 1
    assert len({sha256(read) for read in reads}) == 2


def test_the_same_seed_draws_the_same_oddities_and_none_unless_asked() -> None:
    odd = WorldConfig(pages=1, conversations_per_page=30, odd=oddities.EVERY)
    assert list(pancake_dump(World(odd))) == list(pancake_dump(World(odd)))
    changed = [
        a.data != b.data
        for a, b in zip(World(odd).conversations(), World(WorldConfig(pages=1, conversations_per_page=30))
                        .conversations(), strict=True)
    ]  # fmt: skip
    assert 2 < sum(changed) < 20


def test_an_unknown_oddity_is_an_error() -> None:
    with pytest.raises(KeyError):
        said("no_such")
