"""The audit: clean when everything arrived, and never clean when it did not."""

import json

import pytest

from connector.simulator.audit import Audit, compare, compare_dumps, pancake_dump
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.inbox import Conversation
from connector.simulator.options import FolkFormOptions
from connector.simulator.world import World, WorldConfig
from connector.simulator.writing import Writer
from tests.unit.simulator.rig import SMALL, FolkFormRig, PancakeRig, listed


def copied(world: World, folkform: FolkFormSimulator) -> None:
    writer = Writer(folkform.store, folkform.options)
    for conversation in world.conversations():
        query = "filter=" + json.dumps({"conversationId": conversation.id})
        body = b'{"pageId":"1","pageUsername":"u","panCakeData":' + conversation.data + b"}"
        writer.prepare("conversation/upsert-one", query, body).apply(1, "")
        names = json.dumps(
            {"pageId": "1", "pageUsername": "u", "conversationId": conversation.id, "customerId": "k"}
        )
        inside = b'{"messages":[' + b",".join(m.data for m in conversation.messages) + b"]}"
        sent = names.encode()[:-1] + b',"panCakeData":' + inside + b"}"
        writer.prepare("message/upsert-messages", "", sent).apply(1, "")


def both(world: World, folkform: FolkFormSimulator) -> list[Audit]:
    dumps = compare_dumps(pancake_dump(world), folkform.dump(ignore_signatures=False))
    return [compare(world, folkform), dumps]


@pytest.fixture
def world() -> World:
    return World(SMALL)


@pytest.fixture(params=["bytes", "digest"])
def folkform(request: pytest.FixtureRequest, world: World) -> FolkFormSimulator:
    simulator = FolkFormSimulator(options=FolkFormOptions(keep=request.param))
    copied(world, simulator)
    return simulator


def first(world: World) -> Conversation:
    return next(world.conversations())


def test_a_faithful_copy_is_equal_and_says_so(world: World, folkform: FolkFormSimulator) -> None:
    for audit in both(world, folkform):
        assert audit.equal
        assert audit.sentence() == (
            "everything Pancake has is in FolkForm, byte for byte: 2 pages, 6 conversations, 24 messages"
        )


def test_nothing_stored_means_everything_missing(world: World) -> None:
    for audit in both(world, FolkFormSimulator()):
        assert (len(audit.missing_conversations), len(audit.missing_messages)) == (6, 24)
        assert not audit.equal


def test_a_new_message_is_missing_and_its_conversation_stale(
    world: World, folkform: FolkFormSimulator
) -> None:
    one = first(world)
    added = world.add_message(one.page_id, one.id)
    for audit in both(world, folkform):
        assert audit.missing_messages == [(one.id, added.id)]
        assert audit.stale_conversations == [one.id]


def test_a_silent_edit_is_a_different_message(world: World, folkform: FolkFormSimulator) -> None:
    one = first(world)
    world.edit_message(one.page_id, one.id, one.messages[0].id, silent=True)
    for audit in both(world, folkform):
        assert audit.different_messages == [(one.id, one.messages[0].id)]
        assert audit.differences() == {"messages different": 1}


def test_a_space_more_is_a_difference(world: World, folkform: FolkFormSimulator) -> None:
    one = first(world)
    one.messages[0].data = one.messages[0].data.replace(b'":', b'": ', 1)
    for audit in both(world, folkform):
        assert audit.differences() == {"messages different": 1}


def test_what_pancake_never_had_is_extra(world: World, folkform: FolkFormSimulator) -> None:
    other = World(WorldConfig(seed=9, pages=1, conversations_per_page=1, messages_per_conversation=2))
    copied(other, folkform)
    for audit in both(world, folkform):
        assert audit.extra_conversations == [first(other).id]
        assert len(audit.extra_messages) == 2
        assert not audit.equal


def test_what_pancake_no_longer_lists_is_left_behind_and_no_difference(
    world: World, folkform: FolkFormSimulator
) -> None:
    one, two, *_ = world.conversations()
    world.remove_conversation(one.page_id, one.id)
    world.remove_message(two.page_id, two.id, two.messages[0].id, vanish=True, silent=True)
    copied(world, folkform)
    for audit in both(world, folkform):
        assert audit.equal
        assert audit.left_behind == 2


def test_a_conversation_stored_twice_is_found(world: World, folkform: FolkFormSimulator) -> None:
    documents = folkform.store.by_conversation[first(world).id]
    documents.append(documents[0])
    for audit in both(world, folkform):
        assert audit.duplicate_conversations == [first(world).id]


async def test_signatures_that_change_on_each_read_can_be_left_out_of_it(
    pancake: PancakeRig, folkform_rig: FolkFormRig
) -> None:
    pancake.simulator.options.signed_urls_change = True
    for conversation in list(pancake.world.pages[pancake.page_id].conversations):
        read = listed(await pancake.messages(conversation), "messages")
        await folkform_rig.upsert_messages(*read, conversationId=conversation)
    simulator = folkform_rig.simulator
    assert compare(pancake.world, simulator).different_messages
    assert not compare(pancake.world, simulator, ignore_signatures=True).different_messages
    lines = [
        (await rig.control("GET", "dump?ignore_signatures=1")).body.splitlines()
        for rig in (pancake, folkform_rig)
    ]
    assert not compare_dumps(lines[0], lines[1]).different_messages


async def test_the_dumps_of_two_processes_can_be_compared(
    pancake: PancakeRig, folkform_rig: FolkFormRig
) -> None:
    copied(pancake.world, folkform_rig.simulator)
    dumps = [(await rig.control("GET", "dump")).body.splitlines() for rig in (pancake, folkform_rig)]
    assert compare_dumps(dumps[0], dumps[1]).equal
    assert len(compare_dumps(dumps[0], dumps[1][1:]).missing_conversations) == 1
