"""
The seeded truth: what Pancake holds. Pages, conversations and messages as exact JSON bytes.

The same configuration gives the same bytes, in every process. What happens later comes from verbs
(`add_message`, `edit_message` …) or from `tick`, which lets seeded customers and staff act on their own.
"""

import bisect
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from connector.simulator import content
from connector.simulator.content import encode, fields, render, stamp
from connector.simulator.inbox import Conversation, Maker, Message, Page, Platform

SECOND = 1_000_000
PRODUCTION_MEAN = 27.4
SPREAD = 1.2
LONGEST = 12_000

PLATFORMS: tuple[Platform, ...] = (
    "facebook", "instagram_official", "facebook", "personal_zalo", "facebook", "tiktok", "whatsapp",
)  # fmt: skip
PREFIXES = {"instagram_official": "igo_", "personal_zalo": "pzl_", "tiktok": "tt_", "whatsapp": "waba_"}


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """What the world starts with; a share is between 0 and 1."""

    seed: int = 1
    pages: int = 2
    conversations_per_page: int = 10
    messages_per_conversation: int = 20
    """Exactly so many, unless ``shape`` is ``production``."""
    shape: Literal["exact", "production"] = "exact"
    """``production``: a long tail with mean 27.4, as measured (reality 30)."""
    plain: bool = False
    """Small quick objects instead of realistic ones."""
    activity_per_second: float = 0.0
    """Changes a second over the whole world, once `World.tick` is called with a moving clock."""
    start_ms: int = 1_767_225_600_000
    """The moment up to which the seeded history reaches (2026-01-01T00:00:00Z)."""
    pages_without_username: int = 0
    """The last so many pages have a null username (reality 10)."""
    without_customer: float = 0.0
    """Share of conversations without customer_id (reality 39); FolkForm cannot store their messages."""
    empty_conversations: float = 0.0
    """Share of conversations without any message (reality 30)."""
    count_drift: float = 0.0
    """Share of conversations whose message_count says one more than is listed (reality 26)."""


class World:
    """Everything that Pancake knows, and the verbs that change it."""

    def __init__(self, config: WorldConfig | None = None) -> None:
        self.config = config or WorldConfig()
        self.now_us = self.config.start_ms * 1000
        self.rate = self.config.activity_per_second
        self.changes = 0
        self._life = random.Random(f"{self.config.seed}/life")
        self._next_us: float | None = None
        self._orders = 0
        self.pages: dict[str, Page] = {}
        for number in range(self.config.pages):
            self._seed_page(number)

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

        Its inserted_at is the whole second, as Pancake writes it (reality 24).
        """
        page, conversation = self._both(page_id, conversation_id)
        now = self._advance(at_ms)
        rng = random.Random(f"{self.config.seed}/{conversation_id}/{now}")
        inserted = now - now % SECOND
        ident = str(given.pop("id", "")) or f"m_{content.token_part(rng, 40)}"
        message = Message(ident, inserted, b"", now)
        message.data = self._message_data(rng, conversation, message, len(conversation.messages))
        if given:
            message.data = _with(message.data, _texts(given))
        bisect.insort(conversation.messages, message, key=lambda m: m.inserted_us)
        snippet = fields(message.data).get("original_message", b"null")
        self._changed(page, conversation, now, {"snippet": snippet, "seen": b"false"})
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
        message.data = render(before | changes)
        self._changed(page, conversation, None if silent else now, {})
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
        rng = self._rng(page, f"new{self._orders}")
        conversation = self._thread(page, number, rng, ident=id, made=lambda _: [])
        if customer_id != "":
            conversation.customer_id = customer_id
        now = self._advance(at_ms)
        conversation.inserted_us = conversation.updated_us = now
        conversation.data = self._conversation_data(rng, conversation, 0)
        page.put(conversation)
        for _ in range(messages):
            self.add_message(page_id, conversation.id, at_ms=None if at_ms is None else at_ms)
        return conversation

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
        self, page: Page, conversation: Conversation, now: int | None, changes: content.Fields
    ) -> None:
        if now is not None:
            page.move(conversation, now)
        changes = changes | {
            "updated_at": encode(stamp(conversation.updated_us)),
            "message_count": encode(len(conversation.messages) + conversation.drift),
        }
        conversation.data = _with(conversation.data, changes)
        conversation.seen = fields(conversation.data).get("seen") != b"false"
        self.changes += 1

    # Seeding

    def _rng(self, page: Page, what: object) -> random.Random:
        return random.Random(f"{self.config.seed}/{page.id}/{what}")

    def _seed_page(self, number: int) -> None:
        platform = PLATFORMS[number % len(PLATFORMS)]
        ident = f"{PREFIXES.get(platform, '')}{100_000_000_000_000 + self.config.seed * 1000 + number}"
        unnamed = number >= self.config.pages - self.config.pages_without_username
        page = Page(number, ident, platform, None if unnamed else f"shop.{self.config.seed}.{number}")
        self.pages[ident] = page
        newest = self.config.start_ms * 1000
        for index in range(self.config.conversations_per_page):
            newest = self._seed_conversation(page, index, newest)

    def _seed_conversation(self, page: Page, index: int, newest: int) -> int:
        rng = self._rng(page, index)
        # Every seventh shares its updated_at with its neighbour, also across list pages (reality 16).
        updated = newest if index % 7 == 6 else newest - rng.randrange(1, 600 * SECOND)
        count = self._count(rng)
        conversation = self._thread(
            page, index, rng, ident=None, made=lambda c: self._seed_messages(c, count)
        )
        conversation.updated_us = updated
        conversation.inserted_us = updated - rng.randrange(SECOND, 90 * 86400 * SECOND)
        conversation.drift = int(rng.random() < self.config.count_drift)
        if rng.random() < self.config.without_customer:
            conversation.customer_id = None
        conversation.data = self._conversation_data(rng, conversation, count)
        conversation.seen = fields(conversation.data).get("seen") != b"false"
        page.put(conversation)
        return updated

    def _count(self, rng: random.Random) -> int:
        if rng.random() < self.config.empty_conversations:
            return 0
        if self.config.shape == "exact":
            return self.config.messages_per_conversation
        middle = math.log(PRODUCTION_MEAN) - SPREAD * SPREAD / 2
        return min(LONGEST, max(1, round(rng.lognormvariate(middle, SPREAD))))

    def _thread(
        self, page: Page, number: int, rng: random.Random, *, ident: str | None, made: Maker
    ) -> Conversation:
        self._orders += 1
        person = 5_000_000_000_000_000 + page.number * 1_000_000_000 + number * 7919 + self.config.seed
        found = ident or _conversation_id(page, number, person)
        customer = content.uuid(rng)
        conversation = Conversation(page.id, found, customer_id=customer, order=self._orders, make=made)
        conversation.kind = "COMMENT" if page.platform == "facebook" and number % 5 == 4 else "INBOX"
        return conversation

    def _seed_messages(self, conversation: Conversation, count: int) -> list[Message]:
        rng = random.Random(f"{self.config.seed}/{conversation.id}/messages")
        span = conversation.updated_us - conversation.inserted_us
        made: list[Message] = []
        inserted = conversation.inserted_us
        for number in range(count):
            if number % 4 != 3:
                inserted = conversation.inserted_us + span * (number + 1) // count
            message = Message(f"m_{content.token_part(rng, 40)}", inserted - inserted % SECOND, b"")
            message.data = self._message_data(rng, conversation, message, number)
            made.append(message)
        return made

    def _message_data(
        self, rng: random.Random, conversation: Conversation, message: Message, number: int
    ) -> bytes:
        person = {"id": encode(conversation.id.rpartition("_")[2]), "name": encode(content.name_of(rng))}
        fixed = {
            "id": encode(message.id),
            "conversation_id": encode(conversation.id),
            "page_id": encode(conversation.page_id),
            "type": encode(conversation.kind),
            "inserted_at": encode(stamp(message.inserted_us)),
        }
        if self.config.plain:
            return content.plain_message(fixed | {"from": render(person)}, number)
        return content.message(rng, fixed | {"from": content.sender(rng, person)})

    def _conversation_data(self, rng: random.Random, conversation: Conversation, count: int) -> bytes:
        person = {"id": encode(conversation.id.rpartition("_")[2]), "name": encode(content.name_of(rng))}
        fixed = {
            "id": encode(conversation.id),
            "type": encode(conversation.kind),
            "page_id": encode(conversation.page_id),
            "post_id": b"null",
            "snippet": b"null",
            "message_count": encode(count + conversation.drift),
            "inserted_at": encode(stamp(conversation.inserted_us)),
            "updated_at": encode(stamp(conversation.updated_us)),
            "from": render(person | {"email": b"null"}),
            "last_sent_by": b"null",
        }
        if conversation.customer_id is not None:
            fixed["customer_id"] = encode(conversation.customer_id)
        if self.config.plain:
            return render(fixed | {"seen": b"true", "tags": b"[]"})
        return content.conversation(rng, fixed)


def _conversation_id(page: Page, number: int, person: int) -> str:
    digits = page.id.rpartition("_")[2]
    match page.platform:
        case "personal_zalo":
            return f"pzl_u_{digits}_{person}"
        case "tiktok":
            return f"tt_0:1:{digits}:{person}"
        case "whatsapp":
            return f"wa_{person}@c.us_{digits}"
        case "facebook" if number % 5 == 4:
            return f"{int(digits) + 77}_{person}"
        case _:
            return f"{page.id}_{person}"


def _encoded(given: dict[str, object]) -> content.Fields:
    return {key: encode(value) for key, value in given.items()}


def _texts(given: dict[str, object]) -> content.Fields:
    changes = dict(given)
    if "text" in changes:
        changes["message"] = changes["original_message"] = changes.pop("text")
    return _encoded(changes)


def _with(data: bytes, changes: content.Fields) -> bytes:
    return render(fields(data) | changes)
