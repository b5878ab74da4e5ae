"""What a world is made of: messages in conversations, conversations in the two orders of their page."""

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from connector.simulator.content import encode

Platform = Literal["facebook", "instagram_official", "personal_zalo", "tiktok", "whatsapp"]


@dataclass(slots=True)
class Message:
    """
    ``arrived_us`` is when the world got it; 0 for seeded history.

    ``before`` is what it was until ``changed_us``, its last change.
    """

    id: str
    inserted_us: int
    data: bytes
    arrived_us: int = 0
    before: bytes = b""
    changed_us: int = 0


class Conversation:
    """One thread; its messages are made when somebody first asks for them."""

    __slots__ = (
        "_make", "_messages", "customer_id", "data", "drift", "id", "inserted_us", "kind", "order",
        "page_id", "seen", "updated_us", "version",
    )  # fmt: skip

    def __init__(self, page_id: str, id_: str, *, customer_id: str | None, order: int, make: "Maker") -> None:
        self.page_id = page_id
        self.id = id_
        self.customer_id = customer_id
        self.order = order
        self.inserted_us = 0
        self.updated_us = 0
        self.drift = 0
        self.version = 0
        self.seen = True
        self.kind = "INBOX"
        self.data = b""
        self._make = make
        self._messages: list[Message] | None = None

    @property
    def messages(self) -> list[Message]:
        """Oldest first."""
        if self._messages is None:
            self._messages = self._make(self)
        return self._messages

    def find(self, message_id: str) -> Message:
        return next(m for m in reversed(self.messages) if m.id == message_id)


Maker = Callable[[Conversation], list[Message]]
Place = tuple[int, int, str]


class Page:
    """
    One page; ``by_updated`` and ``by_inserted`` are its list in ascending order.

    ``borders``: where a conversation was when a list page of an order ended with it.
    """

    def __init__(self, number: int, id_: str, platform: Platform, username: str | None) -> None:
        self.number = number
        self.id = id_
        self.platform = platform
        self.username = username
        self.name = f"Cửa hàng số {number + 1}"
        self.conversations: dict[str, Conversation] = {}
        self.gone: dict[str, Conversation] = {}
        self.gone_messages: dict[str, list[str]] = {}
        self.by_updated: list[Place] = []
        self.by_inserted: list[Place] = []
        self.borders: dict[tuple[str, str], Place] = {}

    def put(self, conversation: Conversation) -> None:
        self.conversations[conversation.id] = conversation
        bisect.insort(self.by_updated, updated_place(conversation))
        bisect.insort(self.by_inserted, inserted_place(conversation))

    def take(self, conversation: Conversation) -> None:
        del self.conversations[conversation.id]
        _remove(self.by_updated, updated_place(conversation))
        _remove(self.by_inserted, inserted_place(conversation))

    def move(self, conversation: Conversation, updated_us: int) -> None:
        _remove(self.by_updated, updated_place(conversation))
        conversation.updated_us = updated_us
        bisect.insort(self.by_updated, updated_place(conversation))

    def data(self, token: str) -> bytes:
        """The page as the page list shows it, with its current token."""
        settings = {"page_access_token": token, "tags": [{"id": 1, "text": "Hỏi giá"}, None]}
        return encode(
            {
                "id": self.id,
                "name": self.name,
                "username": self.username,
                "platform": self.platform,
                "avatar_url": f"https://content.pancake.vn/avatar/{self.number}.jpg",
                "shop_id": None if self.number % 2 else 9007199254740993,
                "connected": True,
                "is_activated": True,
                "timezone": 7 if self.number % 2 else "7",
                "role_in_page": "ADMINISTER",
                "active_user_ids": [],
                "users": [],
                "settings": settings,
                "platform_extra_info": None,
            }
        )


def updated_place(conversation: Conversation) -> Place:
    return conversation.updated_us, conversation.order, conversation.id


def inserted_place(conversation: Conversation) -> Place:
    return conversation.inserted_us, conversation.order, conversation.id


def _remove(places: list[Place], place: Place) -> None:
    del places[bisect.bisect_left(places, place)]
