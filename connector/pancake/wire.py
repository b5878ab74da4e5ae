"""Pancake's answers at the door: raw objects cut out as they are, and the few fields that we act on."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from connector.errors import UnknownOutcomeError
from connector.pancake.volatile import content

T = TypeVar("T")
_LATEST = 253_402_300_800_000  # the year 10000: no clock shows more
_MOST = 2**31
_LONGEST_ID = 1000  # bytes: far beyond what Pancake makes, and within what a cursor can hold
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(_PAIR + rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL)


class Envelope(msgspec.Struct):
    """What every answer may have at its top."""

    success: Any = None
    error_code: Any = None
    message: Any = None


class Categorized(msgspec.Struct):
    """The pages by what state they are in; only those that are activated can be read."""

    activated: list[msgspec.Raw] | None = None


class PageList(msgspec.Struct):
    """``GET /v1/pages``: documented as ``pages``, seen as ``categorized.activated``."""

    pages: list[msgspec.Raw] | None = None
    categorized: Categorized | None = None


class GeneratedToken(msgspec.Struct):
    """``POST …/generate_page_access_token``."""

    page_access_token: str


class ConversationList(msgspec.Struct):
    """One page of results."""

    conversations: list[msgspec.Raw]


class ConversationHead(msgspec.Struct):
    """The fields of a conversation that we act on, of whatever type they come."""

    id: Any = None
    customer_id: Any = None
    inserted_at: Any = None
    updated_at: Any = None
    message_count: Any = None


class MessageHead(msgspec.Struct):
    """The fields of a message that we act on."""

    id: Any = None
    inserted_at: Any = None


@dataclass(frozen=True, slots=True)
class Cut:
    """
    One object of an answer: ``raw`` as it was received, ``readable`` for our own eyes.

    They differ only where an escape names half a surrogate pair: legal JSON that our parser refuses.
    """

    raw: bytes
    readable: bytes


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation's message list: the messages as they are, and everything beside them as one object."""

    messages: Sequence[Cut]
    rest: bytes


def decode(body: bytes, kind: type[T], where: str) -> T:
    """
    Read a body.

    Raises:
        UnknownOutcomeError: it is not JSON of that shape: cut short, HTML, empty …
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UnknownOutcomeError(f"{where}: the answer is not what it should be: {_kind(problem)}") from None


def cut_conversations(body: bytes, where: str) -> Sequence[Cut]:
    """Cut a page of conversations. Raises UnknownOutcomeError."""
    readable = mend(body)
    return _cut(body, readable, decode(readable, ConversationList, where).conversations)


def cut_thread(body: bytes, where: str) -> Thread:
    """Cut a messages answer. Raises UnknownOutcomeError."""
    readable = mend(body)
    members = decode(readable, dict[str, msgspec.Raw], where)
    if "messages" not in members:
        raise UnknownOutcomeError(f"{where}: the answer has no messages member")
    messages = _cut(body, readable, decode(bytes(members["messages"]), list[msgspec.Raw], where))
    # `success` belongs to the envelope, not to the conversation.
    rest = {name: raw for name, raw in members.items() if name not in ("messages", "success")}
    return Thread(messages, msgspec.json.encode(rest))


def mend(body: bytes) -> bytes:
    r"""
    ``body`` with every escape of half a surrogate pair replaced by ``\ufffd``, byte for byte as long.

    Go, which FolkForm is written in, reads such an escape as U+FFFD too (contracts B12).
    """
    if not _SURROGATE.search(body):
        return body
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found["lone"] else found[0], body)


def _cut(body: bytes, readable: bytes, raws: Iterable[msgspec.Raw]) -> Sequence[Cut]:
    cuts = []
    at = 0
    for raw in raws:
        text = bytes(raw)
        # The objects stand in this order, and both bodies are as long: the place tells the original.
        at = readable.find(text, at)
        cuts.append(Cut(body[at : at + len(text)], text))
        at += len(text)
    return cuts


def text_id(value: Any) -> str:
    """An id that can be a key: a string with something in it, no NUL, and of a sane length; else empty."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return ""
    return value if len(value) <= _LONGEST_ID and len(value.encode()) <= _LONGEST_ID else ""


def number(value: Any) -> int:
    """A count; 0 when it is none, or more than anybody counts."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST else 0


def milliseconds(value: Any) -> int:
    """
    UTC milliseconds of Pancake's naive UTC strings, with or without a fraction; 0 when it is no time.

    Some siblings are numbers, in seconds or milliseconds (contracts A9).
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _within(int(value) if value > 1e11 else int(value * 1000))  # noqa: PLR2004
    if not isinstance(value, str):
        return 0
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return 0
    return _within(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def _within(moment: int) -> int:
    # Beyond this the number fits neither a cursor nor an event.
    return moment if 0 < moment < _LATEST else 0


def content_hash(raw: bytes) -> bytes:
    """Eight bytes that change when the object does; what is not content (``volatile``) does not count."""
    return hashlib.blake2b(content(raw), digest_size=8).digest()


def snapshot_hashes(raw: bytes, head: ConversationHead) -> tuple[bytes, bytes]:
    """A conversation's content hash, and four bytes for all of it but its moment and its count."""
    whole = rest = content(raw)
    for name, value in ((b"updated_at", head.updated_at), (b"message_count", head.message_count)):
        said = msgspec.json.encode(value)
        for colon in (b":", b": "):
            rest = rest.replace(b'"%b"%b%b' % (name, colon, said), b"", 1)
    return (hashlib.blake2b(whole, digest_size=8).digest(), hashlib.blake2b(rest, digest_size=4).digest())


def fingerprint(message_id: str, hashed: bytes) -> bytes:
    """Seven bytes for one message in one state: three of its id, four of its content's hash."""
    return hashlib.blake2b(message_id.encode(), digest_size=3).digest() + hashed[:4]


def _kind(problem: Exception) -> str:
    # The text of a decoding error may quote the answer: a customer's words.
    return type(problem).__name__
