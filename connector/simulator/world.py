"""
The truth: what Pancake holds. Pages, conversations and messages as exact JSON bytes.

It starts with what the seed makes (`seeding`). What happens later comes from verbs
(`add_message`, `edit_message` …) or from `tick`, which lets seeded customers and staff act on their own.
"""

import bisect
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connector.simulator import content, oddities
from connector.simulator.content import encode, fields, render, stamp
from connector.simulator.inbox import Conversation, Message, Page
from connector.simulator.seeding import SECOND, Seeder, WorldConfig

__all__ = ["Change", "World", "WorldConfig"]


@dataclass(frozen=True, slots=True)
class Change:
    """What just happened, for those who watch; ``message`` is None when only the conversation changed."""

    page: Page
    conversation: Conversation
    message: Message | None


class World:
    """Everything that Pancake knows, and the verbs that change it."""

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config or WorldConfig()
        self.now_us = self.config.start_ms * 1000
        self.rate = self.config.activity_per_second
        self.changes = 0
        self._life = random.Random(f"{self.config.seed}/life")
        self._next_us: float | None = None
        self._seeder = Seeder(self.config)
        self.watchers: list[Callable[[Change], None]] = []
        self.pages = {page.id: page for page in self._seeder.pages()}

    def conversations(self) -> Iterator[Conversation]:
        for page in self.pages.values():
            yield from page.conversations.values()

    def conversation(self, page_id: str, conversation_id: str) -> Conversation:
        return self.pages[page_id].conversations[conversation_id]

    # Verbs

    def add_message(
        self, page_id: str, conversation_id: str, *, at_ms: int | None = None, **given: object
    ) -> Message:
        """
        Let one message arrive, by default now. ``given`` replaces fields (``text`` = both of them).

        Its inserted_at is the whole second, as Pancake writes it (reality 24). ``odd`` names an oddity.
        """
        page, conversation = self._both(page_id, conversation_id)
        now = self._advance(at_ms)
        odd = str(given.pop("odd", ""))
        rng = random.Random(f"{self.config.seed}/{conversation_id}/{now}")
        inserted = now - now % SECOND
        ident = str(given.pop("id", "")) or f"m_{content.token_part(rng, 40)}"
        message = Message(ident, inserted, b"", now)
        message.data = self._seeder.message_data(rng, conversation, message, len(conversation.messages))
        if given:
            message.data = _with(message.data, _texts(given))
        if odd:
            message.data = oddities.changed(message.data, oddities.MESSAGES[odd], rng)
        bisect.insort(conversation.messages, message, key=lambda m: m.inserted_us)
        snippet = fields(message.data).get("original_message", b"null")
        self._changed(page, conversation, now, {"snippet": snippet, "seen": b"false"}, message)
        return message

    def edit_message(
        self, page_id: str, conversation_id: str, message_id: str, *, silent: bool = False,
        at_ms: int | None = None, **given: object,
    ) -> Message:  # fmt: skip
        """
        Change a message, keeping its id and inserted_at (reality 25).

        ``silent`` leaves the conversation's updated_at where it is (reality 18).
        """
        page, conversation = self._both(page_id, conversation_id)
        now = self._advance(at_ms)
        message = conversation.find(message_id)
        before = fields(message.data)
        changes = _texts(given or {"text": f"đã sửa lúc {stamp(now)}"})
        if "original_message" in changes and "edit_history" not in changes:
            past = {"message": before["message"], "inserted_at": encode(stamp(now))}
            changes["edit_history"] = b"[" + render(past) + b"]"
        message.before, message.changed_us = message.data, now
        message.data = render(before | changes)
        self._changed(page, conversation, None if silent else now, {}, message)
        return message

    def remove_message(
        self, page_id: str, conversation_id: str, message_id: str, *, vanish: bool = False,
        silent: bool = False, at_ms: int | None = None,
    ) -> None:  # fmt: skip
        """Mark a message as removed; with ``vanish`` it is no longer listed at all (reality 22)."""
        if not vanish:
            marks = {"is_removed": True, "removed_by": "1000", "message": "", "edit_history": None}
            self.edit_message(page_id, conversation_id, message_id, silent=silent, at_ms=at_ms, **marks)
            return
        page, conversation = self._both(page_id, conversation_id)
        conversation.messages.remove(conversation.find(message_id))
        page.gone_messages.setdefault(conversation_id, []).append(message_id)
        self._changed(page, conversation, None if silent else self._advance(at_ms), {})

    def touch(
        self, page_id: str, conversation_id: str, *, silent: bool = False, at_ms: int | None = None,
        **given: object,
    ) -> None:  # fmt: skip
        """Change a conversation without a new message: its tags, or what is ``given`` (reality 18)."""
        page, conversation = self._both(page_id, conversation_id)
        now = self._advance(at_ms)
        changes = given or {"tags": [None, {"id": self.changes + 1, "text": "Chốt đơn", "color": "#e74c3c"}]}
        self._changed(page, conversation, None if silent else now, _encoded(changes))

    def add_conversation(
        self, page_id: str, *, id: str | None = None, messages: int = 1,  # noqa: A002
        customer_id: str | None = "", at_ms: int | None = None,
    ) -> Conversation:  # fmt: skip
        """A new thread with so many messages, made now; ``customer_id=None`` leaves it out."""
        page = self.pages[page_id]
        number = len(page.conversations) + len(page.gone)
        rng = self._seeder.rng(page, f"new{self._seeder.orders}")
        conversation = self._seeder.thread(page, number, rng, ident=id, made=lambda _: [])
        if customer_id != "":
            conversation.customer_id = customer_id
        now = self._advance(at_ms)
        conversation.inserted_us = conversation.updated_us = now
        conversation.data = self._seeder.conversation_data(rng, conversation, 0)
        page.put(conversation)
        for _ in range(messages):
            self.add_message(page_id, conversation.id, at_ms=None if at_ms is None else at_ms)
        return conversation

    def merge_customer(
        self, page_id: str, conversation_id: str, customer_id: str | None, *, silent: bool = False,
        at_ms: int | None = None,
    ) -> None:  # fmt: skip
        """The conversation belongs to another customer from now on, or to none (reality 39)."""
        page, conversation = self._both(page_id, conversation_id)
        now = self._advance(at_ms)
        conversation.customer_id = customer_id
        named = b"" if customer_id is None else encode(customer_id)
        self._changed(page, conversation, None if silent else now, {"customer_id": named})

    def remove_conversation(self, page_id: str, conversation_id: str) -> None:
        """It is no longer listed (reality 19)."""
        page, conversation = self._both(page_id, conversation_id)
        page.take(conversation)
        page.gone[conversation_id] = conversation
        self.changes += 1

    def restore_conversation(self, page_id: str, conversation_id: str) -> None:
        """A removed conversation is listed again, as it was (reality 19)."""
        page = self.pages[page_id]
        page.put(page.gone.pop(conversation_id))
        self.changes += 1

    # Life

    def tick(self, now_ms: int) -> int:
        """Let everything happen that was due until ``now_ms``; return how many changes that were."""
        now_us = now_ms * 1000
        done = 0
        if self.rate > 0:
            due = self._next_us if self._next_us is not None else now_us + self._pause()
            while due <= now_us:
                self._live(int(due))
                done += 1
                due += self._pause()
            self._next_us = due
        self.now_us = max(self.now_us, now_us)
        return done

    def set_activity(self, per_second: float) -> None:
        """From the next tick on; 0 stops it."""
        self.rate = per_second
        self._next_us = None

    def _pause(self) -> float:
        return self._life.expovariate(self.rate) * SECOND

    def _live(self, at_us: int) -> None:
        at_ms = at_us // 1000
        page = self._life.choice(list(self.pages.values()))
        roll = self._life.random()
        if roll < 0.05 or not page.by_updated:
            self.add_conversation(page.id, at_ms=at_ms)
            return
        recent = page.by_updated[-20:] if roll < 0.8 else page.by_updated
        conversation = page.conversations[self._life.choice(recent)[2]]
        target = self._life.choice(conversation.messages[-30:]) if conversation.messages else None
        if roll < 0.15:
            self.touch(page.id, conversation.id, at_ms=at_ms)
        elif target is None or roll < 0.85:
            self.add_message(page.id, conversation.id, at_ms=at_ms)
        elif roll < 0.95:
            self.edit_message(page.id, conversation.id, target.id, at_ms=at_ms)
        else:
            self.remove_message(page.id, conversation.id, target.id, at_ms=at_ms)

    def _advance(self, at_ms: int | None) -> int:
        # Every change gets a moment of its own, so that updated_at always moves by a verb.
        self.now_us = max(self.now_us + 1000, (at_ms or 0) * 1000)
        return self.now_us

    def _both(self, page_id: str, conversation_id: str) -> tuple[Page, Conversation]:
        page = self.pages[page_id]
        return page, page.conversations[conversation_id]

    def _changed(
        self,
        page: Page,
        conversation: Conversation,
        now: int | None,
        changes: content.Fields,
        message: Message | None = None,
    ) -> None:
        if now is not None:
            page.move(conversation, now)
        changes = changes | {
            "updated_at": encode(stamp(conversation.updated_us)),
            "message_count": encode(len(conversation.messages) + conversation.drift),
        }
        conversation.data = _with(conversation.data, changes)
        conversation.seen = fields(conversation.data).get("seen") != b"false"
        conversation.version += 1
        self.changes += 1
        for watcher in self.watchers:
            watcher(Change(page, conversation, message))


def _encoded(given: dict[str, object]) -> content.Fields:
    return {key: encode(value) for key, value in given.items()}


def _texts(given: dict[str, object]) -> content.Fields:
    changes = dict(given)
    if "text" in changes:
        changes["message"] = changes["original_message"] = changes.pop("text")
    return _encoded(changes)


def _with(data: bytes, changes: content.Fields) -> bytes:
    return render({name: value for name, value in (fields(data) | changes).items() if value != oddities.GONE})
