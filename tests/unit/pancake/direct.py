"""Pancake without sockets: a world answered call by call, and a topic that keeps what was published."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import msgspec
from pydantic import SecretStr

from connector.budget.leases import LeaseOptions, LocalLeases
from connector.clock import Clock
from connector.errors import RetryableError, UnavailableError
from connector.http.client import Answer, HttpClient, Request
from connector.model import CursorRecord, DeadLetter, Event, Kind, Page
from connector.pancake.account import Account
from connector.pancake.source import PancakePage
from connector.pancake.steps import Pace, ScanStep
from connector.settings import PancakeSettings
from connector.simulator.access import route
from connector.simulator.listing import CursorGoneError, Query, conversations, messages
from connector.simulator.options import PancakeOptions
from connector.simulator.world import World

T = TypeVar("T")
BASE = "http://pancake.test/api"


class DirectClient:
    """Stands where HttpClient does: each call is answered from the world as it is at that moment."""

    def __init__(self, world: World, clock: Clock, options: PancakeOptions | None = None) -> None:
        self.world = world
        self.options = options or PancakeOptions(rate=None)
        self.calls: list[Request] = []
        self.broken: Callable[[Request], bool] = lambda _: False
        self.latency: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
        self.between: Callable[[], None] = lambda: None
        self._clock = clock

    async def call(self, request: Request, judge: Callable[[Answer], T], leaving: object = None) -> T:
        del leaving
        there, back = self.latency()
        await self._clock.sleep(there)
        self.between()
        self.calls.append(request)
        if self.broken(request):
            raise UnavailableError(f"{request.route}: broken by the test")
        body = self._answer(request)
        # What the server said and when we hear of it are two moments: answers overtake each other.
        await self._clock.sleep(back)
        return judge(Answer(200, {}, body))

    def count(self, name: str) -> int:
        return sum(call.route == name for call in self.calls)

    def _answer(self, request: Request) -> bytes:
        target = route(request.method, request.url.removeprefix(BASE))
        if target.route == "pages":
            return b'{"pages":[%s]}' % b",".join(page.data("token") for page in self.world.pages.values())
        page = self.world.pages[target.page_id]
        if target.route == "conversations":
            cursor = request.params.get("last_conversation_id", "")
            try:
                found = conversations(page, Query(request.params["order_by"], cursor), self.options)
            except CursorGoneError:
                return b'{"success":false,"message":"Conversation not found"}'
            return b'{"success":true,"conversations":[%s]}' % b",".join(c.data for c in found)
        held = page.conversations.get(target.conversation_id)
        if held is None:
            return b'{"success":false,"message":"Conversation not found"}'
        now_us = self.world.now_us
        shown = messages(held.messages, int(request.params["current_count"]), now_us, self.options)
        return b'{"success":true,"messages":[%s],"can_inbox":true}' % b",".join(m.data for m in shown)


@dataclass
class Topic:
    """A Publisher and a shelf: everything acknowledged, and what compaction would keep of it."""

    clock: Clock
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    delay: float = 0.0
    failures: float = 0.0
    events: list[Event] = field(default_factory=list)
    shelved: list[DeadLetter] = field(default_factory=list)
    cursors: dict[tuple[str, str], CursorRecord] = field(default_factory=dict)
    conversations: dict[str, Event] = field(default_factory=dict)
    messages: dict[tuple[str, str], Event] = field(default_factory=dict)
    vanished: dict[str, Event] = field(default_factory=dict)

    async def publish(self, events: Sequence[Event]) -> None:
        for event in events:
            self._append(event)
            # Some are acknowledged and some are not, when the process dies or the broker fails here.
            if self.dice.random() < self.failures:
                raise RetryableError("not all are acknowledged")
            if self.delay:
                await self.clock.sleep(self.dice.random() * self.delay)

    async def announce(self, pages: Sequence[Page]) -> None:
        del pages

    async def put(self, letters: Sequence[DeadLetter]) -> None:
        self.shelved.extend(letters)

    async def save(self, cursors: Sequence[CursorRecord]) -> None:
        if self.dice.random() < self.failures:
            raise RetryableError("not acknowledged")
        await self.clock.sleep(self.dice.random() * self.delay)
        self.cursors |= {(cursor.page_id, cursor.conversation_id): cursor for cursor in cursors}
        await self.clock.sleep(self.dice.random() * self.delay)

    def _append(self, event: Event) -> None:
        self.events.append(event)
        if event.kind is Kind.CONVERSATION:
            self.conversations[event.conversation_id] = event
        elif event.kind is Kind.MESSAGE:
            self.messages[event.conversation_id, event.message_id] = event
        elif event.kind is Kind.VANISHED:
            self.vanished[event.conversation_id] = event

    def differs(self, world: World, page_id: str) -> list[str]:
        """What the newest record of each key does not tell as Pancake has it now."""
        found = []
        for held in world.pages[page_id].conversations.values():
            snapshot = self.conversations.get(held.id)
            if snapshot is None or snapshot.payload != held.data:
                found.append(f"conversation {held.id} {'missing' if snapshot is None else 'stale'}")
            for message in held.messages:
                event = self.messages.get((held.id, message.id))
                if event is None or event.payload != message.data:
                    found.append(f"message {held.id} {message.id} {'missing' if event is None else 'stale'}")
        return found


def page_reader(client: DirectClient, topic: Topic, page_id: str, *, pace: Pace | None = None) -> PancakePage:
    """A reader of one page that begins at what the topic holds, as after any crash."""
    settings = PancakeSettings(base_url=BASE, access_token=SecretStr("user"), rate="off")
    http = cast("HttpClient", client)
    account = Account(http, settings, LocalLeases(topic.clock, LeaseOptions(60.0)), topic.clock)
    cursors = [cursor for (page, _), cursor in topic.cursors.items() if page == page_id]
    reader = PancakePage(Page(page_id, "shop"), account, http, settings, topic.clock)
    return reader.resume(cursors, pace or Pace(2.0, 60.0))


def rewritten(data: bytes, **given: object) -> bytes:
    """An object of the world with some fields replaced, and taken out where the value is Ellipsis."""
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    for name, value in given.items():
        fields.pop(name, None)
        if value is not ...:
            fields[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(fields)


class Hand:
    """Takes the steps of one page one by one; a crash forgets all but what the topic holds."""

    def __init__(self, client: DirectClient, topic: Topic, page_id: str, pace: Pace | None = None) -> None:
        self.client = client
        self.topic = topic
        self.page_id = page_id
        self.pace = pace or Pace(2.0, 60.0)
        self.reader = page_reader(client, topic, page_id, pace=self.pace)

    @property
    def now(self) -> float:
        return self.topic.clock.monotonic()

    def crash(self) -> None:
        self.reader = page_reader(self.client, self.topic, self.page_id, pace=self.pace)

    def take(self) -> ScanStep:
        """The next step, handed out and not made."""
        step = self.reader.next_step(self.now)
        assert step is not None
        return step

    async def make(self, step: ScanStep) -> None:
        try:
            batch = await self.reader.read(step)
        except RetryableError:
            self.reader.failed(step, self.now)
            return
        await self.topic.publish(batch.events)
        await self.topic.put(batch.rejected)
        await self.topic.save(batch.cursors)
        self.reader.saved(step)

    async def steps(self, most: int | None = None) -> int:
        """Make every step that is due, or so many; return how many it was."""
        made = 0
        while most is None or made < most:
            step = self.reader.next_step(self.now)
            if step is None:
                break
            await self.make(step)
            made += 1
        return made
