import asyncio

from connector.cli.demo_life import EDITABLE, KINDS, Activity
from connector.simulator.audit import pancake_dump
from connector.simulator.inbox import Message
from connector.simulator.world import World, WorldConfig
from tests.fakes.clock import FakeClock


def world() -> World:
    return World(
        WorldConfig(seed=1, pages=2, conversations_per_page=4, messages_per_conversation=40, plain=True)
    )


def lived(changes: int, seed: int = 1) -> tuple[World, Activity]:
    there = world()
    activity = Activity(there, FakeClock(), per_second=3.0, seed=seed)
    for _ in range(changes):
        activity.act()
    return there, activity


def test_every_kind_of_change_happens() -> None:
    _, activity = lived(300)
    assert set(activity.counts) == set(KINDS)
    assert min(activity.counts.values()) > 0
    assert sum(activity.counts.values()) == 300


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(pancake_dump(lived(50)[0])) == list(pancake_dump(lived(50)[0]))
    assert list(pancake_dump(lived(50)[0])) != list(pancake_dump(lived(50, seed=2)[0]))


def test_only_messages_that_the_poller_reads_again_are_edited() -> None:
    """A message has no updated_at: an edit further down would never be seen, and the audit could not hold."""
    there, before = world(), world()
    activity = Activity(there, FakeClock(), per_second=3.0)
    for _ in range(400):
        newest = {c.id: [m.id for m in c.messages[-EDITABLE:]] for c in there.conversations()}
        was = {c.id: {m.id: m.data for m in c.messages} for c in there.conversations()}
        activity.act()
        for conversation in there.conversations():
            old = was.get(conversation.id, {})
            changed = [m.id for m in conversation.messages if m.id in old and old[m.id] != m.data]
            assert set(changed) <= set(newest.get(conversation.id, []))
    assert list(pancake_dump(there)) != list(pancake_dump(before))


def test_every_change_moves_its_conversation_to_the_top_of_the_list() -> None:
    there = world()
    activity = Activity(there, FakeClock(), per_second=3.0)
    for _ in range(100):
        tops = {page.id: page.by_updated[-1] for page in there.pages.values()}
        activity.act()
        assert sum(page.by_updated[-1] > tops[page.id] for page in there.pages.values()) == 1


async def test_when_it_is_quiet_nothing_more_happens() -> None:
    there, quiet = world(), asyncio.Event()
    quiet.set()
    await Activity(there, FakeClock(), per_second=1e9).run(quiet)
    assert there.changes == 0


def test_messages_keep_their_order_when_many_come_in_one_second() -> None:
    there, _ = lived(300)

    def moments(messages: list[Message]) -> list[int]:
        return [message.inserted_us for message in messages]

    assert all(moments(c.messages) == sorted(moments(c.messages)) for c in there.conversations())
