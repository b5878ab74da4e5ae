"""What a list shows under each of the rules that may be Pancake's: nobody has told us which."""

import json
from typing import Literal

import pytest

from connector.simulator.inbox import Conversation, Page
from connector.simulator.listing import CursorGoneError, Query, conversations, messages
from connector.simulator.options import PancakeOptions
from connector.simulator.world import World, WorldConfig

SIZE = 4


class Reader:
    """Asks for page after page as a client would."""

    def __init__(self, many: int = 10, **options: object) -> None:
        self.world = World(WorldConfig(pages=1, conversations_per_page=many, messages_per_conversation=7))
        self.options = PancakeOptions(conversation_page=SIZE, message_page=SIZE)
        for name, value in options.items():
            setattr(self.options, name, value)

    @property
    def page(self) -> Page:
        return next(iter(self.world.pages.values()))

    @property
    def newest_first(self) -> list[Conversation]:
        return [self.page.conversations[place[2]] for place in reversed(self.page.by_updated)]

    def ask(self, cursor: str = "", order_by: str = "updated_at") -> list[Conversation]:
        return conversations(self.page, Query(order_by, cursor), self.options)

    def said(self, count: int) -> list[str]:
        held = self.newest_first[0].messages
        return [m.id for m in messages(held, count, self.world.now_us, self.options)]


@pytest.mark.parametrize("mode", ["follow", "stay", "empty", "error"])
def test_a_cursor_that_moved_goes_on_there_or_here_or_not_at_all(
    mode: Literal["follow", "stay", "empty", "error"],
) -> None:
    reader = Reader(cursor_moved=mode)
    first = reader.ask()
    behind = reader.newest_first[SIZE : 2 * SIZE]
    reader.world.add_message(reader.page.id, first[-1].id)
    if mode == "error":
        with pytest.raises(CursorGoneError):
            reader.ask(first[-1].id)
        return
    expected = {"follow": first[:-1] + behind[:1], "stay": behind, "empty": []}[mode]
    assert reader.ask(first[-1].id) == expected


def test_a_page_may_begin_with_its_cursor_so_that_the_last_one_is_never_empty() -> None:
    reader = Reader(many=5, cursor_inclusive=True)
    first = reader.ask()
    rest = reader.ask(first[-1].id)
    assert rest == [first[-1], reader.newest_first[-1]]
    assert reader.ask(rest[-1].id) == [rest[-1]]


def test_a_list_may_leave_out_what_only_a_full_walk_shows() -> None:
    reader = Reader(many=100, list_leaves_out=0.3, conversation_page=200)
    shown, walked = reader.ask(), reader.ask(order_by="inserted_at")
    assert len(walked) == 100
    assert 50 < len(shown) < 90
    assert shown == reader.ask()


def test_unread_first_mixes_the_times_and_still_pages_through_all() -> None:
    reader = Reader(many=30, always_unread_first=True)
    seen: list[Conversation] = []
    while block := reader.ask(seen[-1].id if seen else ""):
        seen += block
    assert len(set(seen)) == len(seen) == 30
    assert [c.seen for c in seen] == sorted(c.seen for c in seen)
    assert seen != reader.newest_first


def test_current_count_may_be_a_place_counted_from_the_oldest() -> None:
    reader = Reader(current_count_from="oldest", message_order="oldest_first")
    held = [m.id for m in reader.newest_first[0].messages]
    assert [reader.said(count) for count in (0, 4, 3, 8, 11)] == [held[3:], held[:4], held[:3], held[4:], []]


def test_what_lags_behind_shows_neither_the_new_message_nor_the_edit() -> None:
    reader = Reader(read_lag=5.0)
    conversation = reader.newest_first[0]
    world, (old, edited) = reader.world, conversation.messages[-2:]
    before = edited.data
    world.edit_message(reader.page.id, conversation.id, edited.id, text="mới")
    world.add_message(reader.page.id, conversation.id)
    listed = list(messages(conversation.messages, 0, world.now_us, reader.options))
    assert [m.data for m in listed[:2]] == [before, old.data]
    later = list(messages(conversation.messages, 0, world.now_us + 5_000_000, reader.options))
    assert json.loads(later[1].data)["message"] == "mới"
    assert len(conversation.messages) == 8


def test_counts_drift_to_either_side_when_asked_to() -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=60, count_drift=1.0))
    drift = {json.loads(c.data)["message_count"] - len(c.messages) for c in world.conversations()}
    assert drift == {-1, 1, 3}


def test_a_huge_conversation_has_ten_thousand_messages_and_costs_nothing_unread() -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=2, huge_conversations=1, plain=True))
    huge, usual = world.conversations()
    assert json.loads(huge.data)["message_count"] == 10_000
    assert (len(huge.messages), len(usual.messages)) == (10_000, 20)


def test_the_same_people_write_to_two_pages_under_ids_that_end_alike() -> None:
    world = World(WorldConfig(pages=2, conversations_per_page=3, shared_people=True))
    people = [{c.id.rpartition("_")[2] for c in page.conversations.values()} for page in world.pages.values()]
    assert people[0] == people[1]
    assert len({c.id for c in world.conversations()}) == 6


def test_a_merge_gives_a_conversation_another_customer_or_none() -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=1))
    conversation = next(world.conversations())
    updated = conversation.updated_us
    world.merge_customer(conversation.page_id, conversation.id, "k2", silent=True)
    assert (conversation.customer_id, json.loads(conversation.data)["customer_id"]) == ("k2", "k2")
    assert conversation.updated_us == updated
    world.merge_customer(conversation.page_id, conversation.id, None)
    assert "customer_id" not in json.loads(conversation.data)
    assert conversation.updated_us > updated
