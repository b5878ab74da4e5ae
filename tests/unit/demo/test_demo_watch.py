from connector.cli.demo_watch import Arrivals, calls_since, holds
from connector.simulator.calls import Call
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.inbox import Conversation, Page
from connector.simulator.store import Document, Item, Store, Thread
from connector.simulator.world import World, WorldConfig

MESSAGES = 3


class Ends:
    """A world of one page, and a FolkForm into which ``deliver`` puts what the world has."""

    def __init__(self) -> None:
        self.world = World(
            WorldConfig(pages=1, conversations_per_page=2, messages_per_conversation=MESSAGES, plain=True)
        )
        self.store: Store = FolkFormSimulator().store
        self.arrivals = Arrivals(self.world, self.store)

    @property
    def page(self) -> Page:
        [page] = self.world.pages.values()
        return page

    @property
    def conversations(self) -> list[Conversation]:
        return list(self.page.conversations.values())

    def deliver(self, conversation: Conversation, messages: int | None = None) -> None:
        document = Document(1)
        document.data = conversation.data
        self.store.by_conversation[conversation.id] = [document]
        thread = self.store.threads[conversation.id] = Thread(0)
        for message in conversation.messages[:messages]:
            item = thread.items[message.id] = Item(0)
            item.data = message.data

    def behind(self, seconds: float = 0.0) -> float | None:
        """What the page is behind, so many seconds after the world's last change."""
        return self.arrivals.look(self.page, self.world.now_us + int(seconds * 1e6))


def test_a_conversation_counts_when_it_and_all_its_messages_are_there() -> None:
    ends = Ends()
    one = ends.conversations[0]
    assert not holds(ends.store, one)
    ends.deliver(one, messages=MESSAGES - 1)
    assert not holds(ends.store, one)
    ends.deliver(one)
    assert holds(ends.store, one)


def test_one_byte_makes_it_another() -> None:
    ends = Ends()
    one = ends.conversations[0]
    ends.deliver(one)
    ends.store.threads[one.id].items[one.messages[1].id].data += b" "
    assert not holds(ends.store, one)


def test_history_is_the_back_fills_and_nothing_is_called_behind_for_it() -> None:
    ends = Ends()
    assert ends.behind(60) is None
    assert ends.arrivals.arrived(ends.page) == 0
    ends.deliver(ends.conversations[0])
    assert ends.behind(60) is None
    assert ends.arrivals.arrived(ends.page) == 1


def test_a_change_ages_until_it_is_there() -> None:
    ends = Ends()
    one = ends.conversations[0]
    ends.world.add_message(ends.page.id, one.id)
    assert ends.behind(1.5) == 1.5
    ends.deliver(one)
    assert ends.behind(2.0) is None
    assert list(ends.arrivals.seconds) == [2.0]


def test_the_one_that_waits_longest_is_what_the_page_is_behind() -> None:
    ends = Ends()
    one, other = ends.conversations
    now_ms = ends.world.now_us // 1000
    ends.world.touch(ends.page.id, one.id, at_ms=now_ms + 1000)
    ends.world.touch(ends.page.id, other.id, at_ms=now_ms + 4000)
    assert ends.behind(1.0) == 4.0


def test_what_was_equal_once_stays_arrived_although_it_changes_again() -> None:
    ends = Ends()
    one = ends.conversations[0]
    ends.deliver(one)
    ends.behind()
    message = one.messages[-1]
    ends.world.edit_message(ends.page.id, one.id, message.id)
    assert ends.behind(0.5) == 0.5
    assert ends.arrivals.arrived(ends.page) == 1


def test_a_conversation_that_began_later_is_no_part_of_the_back_fill() -> None:
    ends = Ends()
    ends.deliver(ends.world.add_conversation(ends.page.id))
    assert ends.behind() is None
    assert ends.arrivals.arrived(ends.page) == 0


def test_calls_are_counted_by_page_from_the_latest_back_to_the_moment() -> None:
    calls = [
        Call(9.9, "a", "messages", 200),
        Call(9.5, "b", "messages", 200),
        Call(9.1, "a", "messages", 200),
    ]
    assert calls_since(calls, 9.0) == {"a": 2, "b": 1}
    assert calls_since(calls, 9.1) == {"a": 1, "b": 1}
    assert calls_since([], 0.0) == {}
