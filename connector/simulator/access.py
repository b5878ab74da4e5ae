"""Where a call goes, and which token opens a page."""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote

import msgspec


@dataclass(slots=True)
class Access:
    """
    The token of one page, and those that somebody's regenerate has killed.

    ``asked``: how often it was made anew by a call; ``made`` counts all. ``expired``: it is refused,
    although the list of pages still shows it.
    """

    page_id: str
    token: str = ""
    dead: set[str] = field(default_factory=set)
    made: int = 0
    asked: int = 0
    expired: bool = False

    def refusal(self, token: str) -> int | None:
        """The code with which a call with ``token`` is refused; None: it is let through."""
        if token in self.dead:
            return 105
        return 102 if token != self.token or self.expired else None

    def regenerate(self) -> str:
        if self.token:
            self.dead.add(self.token)
        self.expired = False
        self.made += 1
        payload = msgspec.json.encode({"id": self.page_id, "timestamp": 1_767_225_600 + self.made})
        parts = (b'{"alg":"HS256"}', payload, f"{self.page_id}/{self.made}".encode())
        self.token = ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)
        return self.token


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names."""

    route: str
    page_id: str = ""
    conversation_id: str = ""

    @property
    def subject(self) -> str:
        return f"{self.page_id}/{self.conversation_id}"


def route(method: str, path: str) -> Target:
    parts = [unquote(part) for part in path.split("/")[1:]]
    match method, *parts:
        case "GET", "v1", "pages":
            return Target("pages")
        case "POST", "v1", "pages", page_id, "generate_page_access_token":
            return Target("generate", page_id)
        case "GET", "public_api", "v2", "pages", page_id, "conversations":
            return Target("conversations", page_id)
        case "GET", "public_api", "v1", "pages", page_id, "conversations", conversation_id, "messages":
            return Target("messages", page_id, conversation_id)
        case _:
            return Target("unknown")
