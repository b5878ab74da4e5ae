"""The seeded world: same seed, same bytes; verbs move what they should and nothing else."""

import json

from connector.simulator.audit import pancake_dump
from connector.simulator.world import World, WorldConfig

CONFIG = WorldConfig(pages=3, conversations_per_page=4, messages_per_conversation=5)


def first(world: World) -> tuple[str, str]:
    page = next(iter(world.pages.values()))
    return page.id, next(iter(page.conversations))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    dump = list(pancake_dump(World(CONFIG)))
    assert dump == list(pancake_dump(World(CONFIG)))
    assert dump != list(pancake_dump(World(WorldConfig(seed=2, pages=3))))


def test_the_same_ticks_let_the_same_things_happen() -> None:
    worlds = [World(WorldConfig(activity_per_second=10)) for _ in range(2)]
    for world in worlds:
        world.tick(1_780_000_000_000)
        assert world.tick(1_780_000_010_000) > 50
    assert list(pancake_dump(worlds[0])) == list(pancake_dump(worlds[1]))


def test_every_object_is_json_and_of_the_size_that_pancake_sends() -> None:
    world = World(WorldConfig(pages=7, conversations_per_page=10, messages_per_conversation=10))
    messages = [m.data for c in world.conversations() for m in c.messages]
    conversations = [c.data for c in world.conversations()]
    for data in messages + conversations:
        json.loads(data)
    assert 1000 < sum(map(len, messages)) / len(messages) < 1500
    assert 2000 < sum(map(len, conversations)) / len(conversations) < 4000


def test_the_content_is_as_awkward_as_the_real_one() -> None:
    world = World(WorldConfig(pages=7, conversations_per_page=10, messages_per_conversation=20))
    text = b"".join(m.data for c in world.conversations() for m in c.messages)
    text += b"".join(c.data for c in world.conversations())
    ids = "".join(c.id for c in world.conversations())
    for awkward in (b"\\ud83d\\ude00", b"\\/", b"9007199254740993", b"1e5", b":1.0", b'"$set"', b'"a.b"',
                    b'"from":null', b"<div></div>", "a\u0301".encode(), "😍".encode(), b"[null"):  # fmt: skip
        assert awkward in text, awkward
    assert all(sign in ids for sign in ":@.")
    seconds = [m.inserted_us for c in world.conversations() for m in c.messages]
    assert len(set(seconds)) < len(seconds)
    assert all(us % 1_000_000 == 0 for us in seconds)


def test_the_production_shape_has_its_mean_and_a_long_tail() -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=3000, shape="production", plain=True))
    counts = [len(c.messages) for c in world.conversations()]
    assert 24 < sum(counts) / len(counts) < 31
    assert max(counts) > 500


def test_missing_usernames_customers_and_messages_come_only_when_asked_for() -> None:
    usual = World(CONFIG)
    assert all(page.username for page in usual.pages.values())
    assert all(b'"customer_id":"' in c.data for c in usual.conversations())
    odd = World(WorldConfig(pages_without_username=1, without_customer=1.0, empty_conversations=1.0))
    assert [page.username is None for page in odd.pages.values()] == [False, True]
    assert all(c.customer_id is None and b'"customer_id":"' not in c.data for c in odd.conversations())
    assert not any(c.messages for c in odd.conversations())


def test_a_new_message_moves_its_conversation_to_the_top() -> None:
    world = World(CONFIG)
    page_id, conversation_id = first(world)
    oldest = world.pages[page_id].by_updated[0][2]
    world.add_message(page_id, oldest, text="chào")
    conversation = world.conversation(page_id, oldest)
    assert world.pages[page_id].by_updated[-1][2] == oldest != conversation_id
    assert json.loads(conversation.data)["message_count"] == 6
    assert json.loads(conversation.data)["snippet"] == "chào"


def test_an_edit_keeps_id_time_and_count_and_remembers_the_old_text() -> None:
    world = World(CONFIG)
    page_id, conversation_id = first(world)
    message = world.conversation(page_id, conversation_id).messages[2]
    before = json.loads(message.data)
    updated = world.conversation(page_id, conversation_id).updated_us
    world.edit_message(page_id, conversation_id, message.id, text="mới")
    after = json.loads(message.data)
    assert (after["id"], after["inserted_at"]) == (before["id"], before["inserted_at"])
    assert (after["message"], after["edit_history"][0]["message"]) == ("mới", before["message"])
    assert world.conversation(page_id, conversation_id).updated_us > updated
    assert json.loads(world.conversation(page_id, conversation_id).data)["message_count"] == 5


def test_a_removal_marks_and_only_a_vanishing_takes_away() -> None:
    world = World(CONFIG)
    page_id, conversation_id = first(world)
    held = world.conversation(page_id, conversation_id).messages
    world.remove_message(page_id, conversation_id, held[0].id)
    assert json.loads(held[0].data)["is_removed"] is True
    world.remove_message(page_id, conversation_id, held[1].id, vanish=True)
    assert len(held) == 4


def test_a_silent_change_leaves_updated_at_where_it_is() -> None:
    world = World(CONFIG)
    page_id, conversation_id = first(world)
    conversation = world.conversation(page_id, conversation_id)
    before, updated = conversation.data, conversation.updated_us
    world.touch(page_id, conversation_id, silent=True)
    assert conversation.data != before
    assert conversation.updated_us == updated


def test_a_removed_conversation_can_come_back_as_it_was() -> None:
    world = World(CONFIG)
    page_id, conversation_id = first(world)
    before = list(pancake_dump(world))
    world.remove_conversation(page_id, conversation_id)
    assert conversation_id not in world.pages[page_id].conversations
    world.restore_conversation(page_id, conversation_id)
    assert sorted(pancake_dump(world)) == sorted(before)
