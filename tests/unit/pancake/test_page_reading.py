"""One page read by hand, step by step: what is published, and what a crash leaves behind."""

from dataclasses import dataclass

import pytest
import structlog

from connector.model import Kind
from connector.pancake.debts import WAITS
from connector.pancake.scroll import STUCK_SECONDS, STUCK_TRIES
from connector.pancake.state import PageState, Reason, decode_page
from connector.pancake.steps import ListStep, MessagesStep, Mode, Pace
from connector.simulator.inbox import Conversation
from connector.simulator.options import PancakeOptions
from connector.simulator.world import World, WorldConfig
from tests.fakes.clock import FakeClock
from tests.unit.pancake.direct import DirectClient, Hand, Topic, rewritten

START_MS = WorldConfig().start_ms


@dataclass
class Desk:
    """A page, what was published of it, and the hand that reads it."""

    world: World
    client: DirectClient
    topic: Topic
    clock: FakeClock
    hand: Hand

    @property
    def conversations(self) -> list[Conversation]:
        """Newest first, as the list shows them."""
        page = self.world.pages[self.hand.page_id]
        return [page.conversations[place[2]] for place in reversed(page.by_updated)]

    @property
    def state(self) -> PageState:
        return decode_page(self.topic.cursors[self.hand.page_id, ""].state)

    @property
    def state_or_none(self) -> PageState | None:
        return self.state if (self.hand.page_id, "") in self.topic.cursors else None

    def say(self, conversation: Conversation, **given: object) -> None:
        self.world.add_message(conversation.page_id, conversation.id, **given)  # type: ignore[arg-type]

    def differs(self) -> list[str]:
        return self.topic.differs(self.world, self.hand.page_id)

    async def next_scan(self) -> int:
        await self.clock.advance(self.hand.pace.interval)
        return await self.hand.steps()


def desk(
    conversations: int = 3,
    messages: int = 4,
    *,
    options: PancakeOptions | None = None,
    pace: Pace | None = None,
) -> Desk:
    clock = FakeClock(epoch_ms=START_MS + 60_000)
    config = WorldConfig(
        pages=1, conversations_per_page=conversations, messages_per_conversation=messages, plain=True
    )
    world = World(config)
    client, topic = DirectClient(world, clock, options), Topic(clock)
    return Desk(world, client, topic, clock, Hand(client, topic, next(iter(world.pages)), pace))


async def test_an_empty_page_is_caught_up_at_once() -> None:
    here = desk(conversations=0)
    await here.hand.steps()
    assert here.hand.reader.caught_up
    assert here.topic.events == []
    assert here.state.backfill.ended


@pytest.mark.parametrize("conversations", [59, 60, 61, 120])
async def test_a_last_page_that_is_exactly_full_is_not_taken_for_the_end(conversations: int) -> None:
    here = desk(conversations, messages=1)
    await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.caught_up


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
@pytest.mark.parametrize("size", [20, 25, 30])
@pytest.mark.parametrize("messages", [0, 1, 20, 25, 30, 60, 73])
async def test_messages_are_read_whole_whatever_their_pages_look_like(
    order: str, size: int, messages: int
) -> None:
    options = PancakeOptions(message_page=size)
    options.message_order = "newest_first" if order == "newest_first" else "oldest_first"
    here = desk(conversations=2, messages=messages, options=options)
    await here.hand.steps()
    assert here.differs() == []


@pytest.mark.parametrize("count", [0, 1, 20, 1000, -1, None, "73", 10**30])
async def test_a_message_count_that_lies_loses_nothing(count: object) -> None:
    here = desk(conversations=1, messages=73)
    conversation = here.conversations[0]
    conversation.data = rewritten(conversation.data, message_count=count)
    await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.caught_up


async def test_a_quiet_page_costs_one_call_a_scan() -> None:
    here = desk(conversations=5)
    await here.hand.steps()
    before = len(here.client.calls)
    published = len(here.topic.events)
    await here.next_scan()
    assert len(here.client.calls) == before + 1
    assert len(here.topic.events) == published


async def test_a_whole_page_costs_hardly_more_than_the_least_calls() -> None:
    here = desk(conversations=100, messages=50)
    await here.hand.steps()
    assert here.differs() == []
    assert len([call for call in here.client.calls if call.route != "pages"]) <= 1.03 * 202


async def test_only_what_is_new_or_changed_is_published_again() -> None:
    here = desk(conversations=2, messages=10)
    await here.hand.steps()
    before = len(here.topic.events)
    conversation = here.conversations[1]
    here.say(conversation, text="mới")
    here.world.edit_message(conversation.page_id, conversation.id, conversation.messages[-3].id)
    await here.next_scan()
    assert here.differs() == []
    assert sorted(event.kind for event in here.topic.events[before:]) == [
        "conversation",
        "message",
        "message",
    ]


async def test_one_new_message_in_a_long_conversation_costs_two_calls() -> None:
    here = desk(conversations=3, messages=200)
    await here.hand.steps()
    before = len(here.client.calls)
    here.say(here.conversations[-1])
    await here.next_scan()
    assert here.differs() == []
    assert len(here.client.calls) == before + 2


async def test_a_conversation_that_moves_while_it_is_read_is_read_again_before_the_scan_counts() -> None:
    here = desk(conversations=61, messages=100)
    # The back-fill is in the middle of the one conversation that the first live list did not show.
    last = here.conversations[-1]
    while not any(last.id in call.url for call in here.client.calls):
        await here.hand.steps(1)
    here.say(last)
    await here.clock.advance(2.0)
    step = here.hand.take()
    assert step == ListStep(Mode.LIVE, "")
    await here.hand.make(step)
    here.client.broken = lambda request: request.route == "conversations"
    for _ in range(20):
        await here.hand.steps(1)
    assert here.differs() == []


async def test_a_removed_message_is_published_as_removed() -> None:
    here = desk(conversations=1, messages=3)
    await here.hand.steps()
    conversation = here.conversations[0]
    here.world.remove_message(conversation.page_id, conversation.id, conversation.messages[-1].id)
    await here.next_scan()
    assert here.differs() == []
    assert b'"is_removed":true' in here.topic.events[-1].payload


async def test_a_tag_changed_in_silence_is_published_without_reading_the_messages() -> None:
    here = desk(conversations=2)
    await here.hand.steps()
    before = here.client.count("messages")
    here.world.touch(here.hand.page_id, here.conversations[0].id, silent=True)
    await here.next_scan()
    assert here.differs() == []
    assert here.client.count("messages") == before


async def test_the_watermark_moves_only_when_a_scan_has_reached_the_old_one() -> None:
    here = desk(
        conversations=40, messages=1, options=PancakeOptions(conversation_page=10), pace=Pace(2.0, 0.0)
    )
    await here.hand.steps()
    old = here.state.watermark
    assert old == here.conversations[0].updated_us // 1000
    for conversation in here.conversations[:25]:
        here.say(conversation)
    # The first page of the long scan is published and settled; then the process dies.
    await here.clock.advance(2.0)
    await here.hand.steps(12)
    assert here.client.count("conversations") > 5
    assert here.state.watermark == old
    assert here.differs() != []
    here.hand.crash()
    await here.hand.steps()
    assert here.differs() == []
    assert here.state.watermark == here.conversations[0].updated_us // 1000


async def test_ties_at_the_watermark_are_read_to_their_last() -> None:
    here = desk(
        conversations=12, messages=1, options=PancakeOptions(conversation_page=5), pace=Pace(2.0, 0.0)
    )
    page = here.world.pages[here.hand.page_id]
    newest = here.conversations[0].updated_us
    for conversation in here.conversations[1:]:
        page.move(conversation, newest)
        conversation.data = rewritten(conversation.data, updated_at=here_time(newest))
    await here.hand.steps()
    # Within the same microsecond the tag of the last of them changes.
    here.world.touch(page.id, here.conversations[-1].id, silent=True)
    await here.next_scan()
    assert here.differs() == []


def here_time(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    day = 86400
    assert seconds // day * day == START_MS // 1000 - day, "the day before 2026"
    left = seconds % day
    return f"2025-12-31T{left // 3600:02}:{left // 60 % 60:02}:{left % 60:02}.{fraction:06}"


async def test_a_conversation_that_moves_while_paging_is_not_lost() -> None:
    here = desk(conversations=30, messages=1, options=PancakeOptions(conversation_page=10))
    asked: list[int] = []

    def move_the_last() -> None:
        asked.append(1)
        if len(asked) % 3 == 0 and len(asked) < 40:
            here.say(here.conversations[-1])

    here.client.between = move_the_last
    await here.hand.steps()
    here.client.between = lambda: None
    await here.next_scan()
    assert here.differs() == []


async def test_two_lists_are_never_asked_for_at_once() -> None:
    # The older of two snapshots of one conversation could be published last.
    here = desk(conversations=70, messages=0)
    await here.hand.steps(2 + 60)
    assert here.client.count("conversations") == 1
    backfill = here.hand.take()
    assert backfill == ListStep(Mode.BACKFILL, "")
    await here.clock.advance(60.0)
    assert here.hand.reader.next_step(here.hand.now) is None
    assert here.hand.reader.wake_at() is None
    await here.hand.make(backfill)
    assert ListStep(Mode.LIVE, "") == here.hand.take()


async def test_a_list_that_repeats_itself_is_reported_and_counted() -> None:
    here = desk(conversations=9, messages=0, options=PancakeOptions(conversation_page=3))
    here.client.options.cursor_ignored = True
    with structlog.testing.capture_logs() as lines:
        for _ in range(STUCK_TRIES):
            await here.hand.steps()
            await here.clock.advance(STUCK_SECONDS)
    assert {line["event"] for line in lines if line["log_level"] == "warning"} >= {"list repeats itself"}
    assert here.hand.reader.holes == 1
    assert here.hand.reader.caught_up
    assert not here.state.backfill.ended
    here.client.options.cursor_ignored = False
    await here.hand.steps()
    await here.next_scan()
    assert here.hand.reader.holes == 0
    assert here.differs() == []


@pytest.mark.parametrize("gone", ["empty", "restart", "error"])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_cursor_whose_conversation_is_gone_does_not_end_the_list(
    gone: str, mode: Mode, page: int
) -> None:
    options = PancakeOptions(conversation_page=30)
    options.cursor_missing = "empty" if gone == "empty" else "restart" if gone == "restart" else "error"
    here = desk(conversations=110, messages=0, options=options, pace=Pace(2.0, 0.0))
    if mode is Mode.LIVE:
        await here.hand.steps()
        for conversation in here.conversations[:100]:
            here.say(conversation)
        await here.clock.advance(2.0)
    lists = 0
    while not (here.hand.reader.caught_up and here.differs() == []):
        step = here.hand.reader.next_step(here.hand.now)
        if step is None:
            await here.clock.advance(2.0)
            continue
        lists += isinstance(step, ListStep)
        assert lists < 60, here.differs()
        if isinstance(step, ListStep) and step.mode is mode and step.after:
            page -= 1
            if page == 0:
                here.world.remove_conversation(here.hand.page_id, step.after)
        await here.hand.make(step)
        await here.clock.advance(0.1)
    assert here.hand.reader.holes == 0


async def test_a_back_fill_whose_saved_cursor_is_gone_begins_its_list_again() -> None:
    here = desk(conversations=110, messages=0, options=PancakeOptions(conversation_page=30))
    while not here.state_or_none or not here.state_or_none.backfill.after:
        await here.hand.steps(1)
    here.hand.crash()
    here.world.remove_conversation(here.hand.page_id, here.state.backfill.after)
    await here.hand.steps()
    assert here.differs() == []
    assert here.state.backfill.ended


async def test_a_messages_list_that_ignores_its_offset_is_a_hole_with_a_name_until_it_does_not() -> None:
    here = desk(conversations=1, messages=70, options=PancakeOptions(current_count_ignored=True))
    await here.hand.steps()
    assert here.client.count("messages") == 3
    assert len(here.topic.messages) == 30
    assert here.hand.reader.caught_up
    assert [hole.reason for hole in here.hand.reader.completeness.holes] == ["offset_ignored"]
    here.hand.crash()
    here.client.options.current_count_ignored = False
    await here.clock.advance(WAITS[Reason.OFFSET_IGNORED][0])
    await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.holes == 0


@pytest.mark.parametrize("arrived", [0, 1, 29, 30, 31, 45])
async def test_an_interrupted_walk_goes_on_where_it_was(arrived: int) -> None:
    here = desk(conversations=1, messages=300)
    await here.hand.steps(1 + 6)
    assert len(here.topic.messages) == 30 + 5 * 29
    here.hand.crash()
    for _ in range(arrived):
        here.say(here.conversations[0])
    before, again = here.client.count("messages"), len(here.topic.events)
    await here.hand.steps()
    assert here.differs() == []
    published = sum(event.kind is Kind.MESSAGE for event in here.topic.events[again:])
    assert published <= 125 + 2 * arrived + 30
    # The newest pages until a known message, the rest of the old ones, and a quiet end.
    assert here.client.count("messages") - before <= 2 * (arrived // 30 + 1) + 4 + 1


async def test_edits_of_an_interrupted_walk_do_not_make_it_jump_too_far() -> None:
    here = desk(conversations=1, messages=300)
    await here.hand.steps(1 + 6)
    here.hand.crash()
    conversation = here.conversations[0]
    for message in conversation.messages[-20:]:
        here.world.edit_message(conversation.page_id, conversation.id, message.id)
    await here.hand.steps()
    assert here.differs() == []


async def test_a_customer_found_during_an_interrupted_walk_makes_it_begin_again() -> None:
    here = desk(conversations=1, messages=100)
    conversation = here.conversations[0]
    conversation.data = rewritten(conversation.data, customer_id=...)
    await here.hand.steps(1 + 2)
    here.hand.crash()
    here.world.touch(here.hand.page_id, conversation.id, customer_id="found")
    await here.hand.steps()
    assert [event.customer_id for event in here.topic.messages.values()] == ["found"] * 100


async def test_a_walk_interrupted_again_and_again_comes_to_its_end() -> None:
    here = desk(conversations=1, messages=200)
    for _ in range(12):
        await here.hand.steps(3)
        here.hand.crash()
        here.say(here.conversations[0])
    await here.hand.steps()
    assert here.differs() == []


async def test_a_conversation_that_gets_a_customer_has_all_its_messages_published_again() -> None:
    here = desk(conversations=1, messages=45)
    conversation = here.conversations[0]
    conversation.data = rewritten(conversation.data, customer_id=...)
    await here.hand.steps()
    assert {event.customer_id for event in here.topic.messages.values()} == {""}
    here.world.touch(here.hand.page_id, conversation.id, customer_id="found")
    await here.next_scan()
    assert here.differs() == []
    assert [event.customer_id for event in here.topic.messages.values()] == ["found"] * 45


async def test_a_conversation_that_fails_while_others_pass_is_a_hole_and_is_mended() -> None:
    here = desk(conversations=20, messages=300)
    poisoned = here.conversations[3]
    here.client.broken = lambda request: f"/{poisoned.id}/" in request.url
    await here.hand.steps()
    assert here.hand.reader.caught_up
    assert here.hand.reader.holes == 1
    owed = here.state.debts[poisoned.id]
    assert (owed.reason, owed.customer_id) == (Reason.UNREADABLE, poisoned.customer_id)
    here.client.broken = lambda _: False
    here.hand.crash()
    await here.clock.advance(WAITS[Reason.UNREADABLE][0])
    await here.hand.steps()
    assert here.hand.reader.holes == 0
    assert here.differs() == []


async def test_an_outage_makes_no_holes() -> None:
    here = desk(conversations=20, messages=1)
    await here.hand.steps(5)
    here.client.broken = lambda _: True
    for _ in range(50):
        await here.hand.steps(4)
    assert here.hand.reader.holes == 0
    here.client.broken = lambda _: False
    await here.hand.steps()
    assert here.differs() == []
    assert here.hand.reader.holes == 0


async def test_the_back_fill_goes_on_after_a_crash_at_any_step() -> None:
    options = PancakeOptions(conversation_page=4)
    whole = desk(conversations=10, messages=35, options=options)
    steps = await whole.hand.steps()
    for crash in range(steps):
        here = desk(conversations=10, messages=35, options=options)
        await here.hand.steps(crash)
        here.hand.crash()
        await here.hand.steps()
        assert here.differs() == []
        # Again: the token, the lists of one page of each scan, two calls for the interrupted walk; and
        # all three lists of the back-fill, when nothing but to see its end was left to do.
        assert len(here.client.calls) <= len(whole.client.calls) + 6 + 3


async def test_a_time_that_cannot_be_read_does_not_end_a_scan_early() -> None:
    here = desk(
        conversations=12, messages=1, options=PancakeOptions(conversation_page=4), pace=Pace(2.0, 0.0)
    )
    await here.hand.steps()
    for conversation in here.conversations[:9]:
        here.say(conversation)
    for conversation in here.conversations[:2]:
        conversation.data = rewritten(conversation.data, updated_at="hôm qua")
    await here.next_scan()
    assert here.differs() == []


async def test_numbers_that_nobody_can_count_to_stop_nothing() -> None:
    here = desk(conversations=2, messages=2)
    conversation = here.conversations[0]
    conversation.data = rewritten(
        conversation.data, updated_at=10**30, inserted_at=1e300, message_count=10**25
    )
    message = conversation.messages[0]
    message.data = rewritten(message.data, inserted_at=-(10**30))
    await here.hand.steps()
    assert here.differs() == []


@pytest.mark.parametrize("bad", [..., None, "", 17, " ", "a\0b"])
async def test_what_has_no_id_is_shelved_and_its_neighbours_pass(bad: object) -> None:
    here = desk(conversations=3, messages=3)
    whole = here.conversations[0]
    nameless = rewritten(whole.messages[1].data, id=bad)
    whole.messages[1].data = nameless
    lost = here.conversations[1]
    lost.data = rewritten(lost.data, id=bad)
    await here.hand.steps()
    assert [letter.problem.reason for letter in here.topic.shelved].count("missing_id") >= 2
    assert {letter.value for letter in here.topic.shelved} == {nameless, lost.data}
    assert len(here.topic.messages) == 2 + 3
    assert len(here.topic.conversations) == 2


async def test_ids_that_a_url_would_misread_are_asked_for_as_they_are() -> None:
    here = desk(conversations=0)
    for ident in ("tt_0:1:2", "wa_84@c.us_1", "a/b", "a%2Fb", "a b?c#d", "Lê"):
        here.world.add_conversation(here.hand.page_id, id=ident)
    await here.hand.steps()
    assert here.differs() == []


async def test_a_step_that_was_read_but_not_saved_is_read_again() -> None:
    here = desk(conversations=1, messages=3)
    await here.hand.steps(1)
    step = here.hand.take()
    assert isinstance(step, MessagesStep)
    await here.hand.reader.read(step)
    here.hand.crash()
    await here.hand.steps()
    assert here.differs() == []
