"""What a world starts with: the same configuration gives the same bytes, in every process."""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from connector.simulator import content, oddities
from connector.simulator.content import encode, fields, render, stamp
from connector.simulator.inbox import Conversation, Maker, Message, Page, Platform

SECOND = 1_000_000
PRODUCTION_MEAN = 27.4
SPREAD = 1.2
LONGEST = 12_000
HUGE = 10_000

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
    """Share of conversations whose message_count is not what is listed (reality 26)."""
    huge_conversations: int = 0
    """The first so many of each page have 10,000 messages (reality 30)."""
    odd: tuple[str, ...] = ()
    """Names of rare contents (see `oddities`), of which ``odd_share`` of all objects draw one (24 to 40)."""
    odd_share: float = 0.3
    shared_people: bool = False
    """The same customers, with the same numbers in their ids, on every page (reality 36)."""


class Seeder:
    """Makes pages and threads; ``order`` tells apart those of one moment."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.orders = 0

    def pages(self) -> Iterator[Page]:
        return map(self._page, range(self.config.pages))

    def rng(self, page: Page, what: object) -> random.Random:
        return random.Random(f"{self.config.seed}/{page.id}/{what}")

    def _page(self, number: int) -> Page:
        platform = PLATFORMS[number % len(PLATFORMS)]
        ident = f"{PREFIXES.get(platform, '')}{100_000_000_000_000 + self.config.seed * 1000 + number}"
        unnamed = number >= self.config.pages - self.config.pages_without_username
        page = Page(number, ident, platform, None if unnamed else f"shop.{self.config.seed}.{number}")
        newest = self.config.start_ms * 1000
        for index in range(self.config.conversations_per_page):
            newest = self._conversation(page, index, newest)
        return page

    def _conversation(self, page: Page, index: int, newest: int) -> int:
        rng = self.rng(page, index)
        # Every seventh shares its updated_at with its neighbour, also across list pages (reality 16).
        updated = newest if index % 7 == 6 else newest - rng.randrange(1, 600 * SECOND)
        count = self._count(rng, index)
        conversation = self.thread(page, index, rng, ident=None, made=lambda c: self._messages(c, count))
        conversation.updated_us = updated
        conversation.inserted_us = updated - rng.randrange(SECOND, 90 * 86400 * SECOND)
        conversation.drift = self._drift(rng)
        if rng.random() < self.config.without_customer:
            conversation.customer_id = None
        conversation.data = self.conversation_data(rng, conversation, count)
        conversation.seen = fields(conversation.data).get("seen") != b"false"
        page.put(conversation)
        return updated

    def _drift(self, rng: random.Random) -> int:
        # Drawn from one number, so that a world with drift is otherwise the world without it.
        roll = rng.random()
        return (1, 1, 3, -1)[int(roll * 1e9) % 4] if roll < self.config.count_drift else 0

    def _count(self, rng: random.Random, index: int) -> int:
        if index < self.config.huge_conversations:
            return HUGE
        if rng.random() < self.config.empty_conversations:
            return 0
        if self.config.shape == "exact":
            return self.config.messages_per_conversation
        middle = math.log(PRODUCTION_MEAN) - SPREAD * SPREAD / 2
        return min(LONGEST, max(1, round(rng.lognormvariate(middle, SPREAD))))

    def thread(
        self, page: Page, number: int, rng: random.Random, *, ident: str | None, made: Maker
    ) -> Conversation:
        self.orders += 1
        place = 0 if self.config.shared_people else page.number
        person = 5_000_000_000_000_000 + place * 1_000_000_000 + number * 7919 + self.config.seed
        found = ident or _conversation_id(page, number, person)
        customer = content.uuid(rng)
        conversation = Conversation(page.id, found, customer_id=customer, order=self.orders, make=made)
        conversation.kind = "COMMENT" if page.platform == "facebook" and number % 5 == 4 else "INBOX"
        return conversation

    def _messages(self, conversation: Conversation, count: int) -> list[Message]:
        rng = random.Random(f"{self.config.seed}/{conversation.id}/messages")
        span = conversation.updated_us - conversation.inserted_us
        made: list[Message] = []
        inserted = conversation.inserted_us
        for number in range(count):
            if number % 4 != 3:
                inserted = conversation.inserted_us + span * (number + 1) // count
            message = Message(f"m_{content.token_part(rng, 40)}", inserted - inserted % SECOND, b"")
            message.data = self.message_data(rng, conversation, message, number)
            made.append(message)
        return made

    def message_data(
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
            data = content.plain_message(fixed | {"from": render(person)}, number)
        else:
            data = content.message(rng, fixed | {"from": content.sender(rng, person)})
        return self._odd(data, oddities.MESSAGES, message.id)

    def conversation_data(self, rng: random.Random, conversation: Conversation, count: int) -> bytes:
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
            data = render(fixed | {"seen": b"true", "tags": b"[]"})
        else:
            data = content.conversation(rng, fixed)
        return self._odd(data, oddities.CONVERSATIONS, conversation.id)

    def _odd(self, data: bytes, kinds: Mapping[str, oddities.Oddity], ident: str) -> bytes:
        if not self.config.odd:
            return data
        rng = random.Random(f"{self.config.seed}/{ident}/odd")
        return (
            oddities.drawn(data, kinds, self.config.odd, rng)
            if rng.random() < self.config.odd_share
            else data
        )


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
