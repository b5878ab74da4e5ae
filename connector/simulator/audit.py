"""Is everything that Pancake has in FolkForm, byte for byte? In one process, or from two dumps."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from connector.simulator.inbox import Conversation, Page
from connector.simulator.world import World

_SIGNED = re.compile(
    rb"sig=[0-9a-f]{16}|oh=00_AfD[0-9a-f]{16}&oe=[0-9A-F]{8}"
    rb"|X-Amz-Date=[0-9TZ]{16}&X-Amz-Expires=3600&X-Amz-Signature=[0-9a-f]{64}"
)


class Shelf(msgspec.Struct, omit_defaults=True):
    """One conversation on one side: digests of the exact bytes, and ids that Pancake once had."""

    conversation_id: str
    page_id: str = ""
    sha256: str | None = None
    messages: dict[str, str] = {}
    copies: int = 1
    gone: bool = False
    gone_messages: list[str] = []


class Stored(Protocol):
    """The side that is audited."""

    def shelves(self, *, ignore_signatures: bool) -> Iterator[Shelf]: ...


@dataclass(frozen=True, slots=True)
class Audit:
    """
    What differs. Messages are ``(conversation id, message id)``.

    ``left_behind`` counts what Pancake once had and no longer lists: FolkForm rightly keeps it.
    """

    pages: int = 0
    conversations: int = 0
    messages: int = 0
    missing_conversations: list[str] = field(default_factory=list)
    stale_conversations: list[str] = field(default_factory=list)
    duplicate_conversations: list[str] = field(default_factory=list)
    extra_conversations: list[str] = field(default_factory=list)
    missing_messages: list[tuple[str, str]] = field(default_factory=list)
    different_messages: list[tuple[str, str]] = field(default_factory=list)
    extra_messages: list[tuple[str, str]] = field(default_factory=list)
    left_behind: int = 0

    def differences(self) -> dict[str, int]:
        named: dict[str, Sized] = {
            "conversations missing": self.missing_conversations,
            "conversations stale": self.stale_conversations,
            "conversations stored twice": self.duplicate_conversations,
            "conversations that Pancake never had": self.extra_conversations,
            "messages missing": self.missing_messages,
            "messages different": self.different_messages,
            "messages that Pancake never had": self.extra_messages,
        }
        return {name: len(found) for name, found in named.items() if found}

    @property
    def equal(self) -> bool:
        return not self.differences()

    def sentence(self) -> str:
        size = f"{self.pages:,} pages, {self.conversations:,} conversations, {self.messages:,} messages"
        if self.equal:
            return f"everything Pancake has is in FolkForm, byte for byte: {size}"
        listed = ", ".join(f"{count:,} {name}" for name, count in self.differences().items())
        return f"FolkForm differs from Pancake ({size}): {listed}"


def compare(world: World, folkform: Stored, *, ignore_signatures: bool = False) -> Audit:
    """``ignore_signatures`` when the simulator signs its URLs anew on each read."""
    stored = folkform.shelves(ignore_signatures=ignore_signatures)
    return _compare(pancake_shelves(world, ignore_signatures=ignore_signatures), stored)


def compare_dumps(pancake_lines: Iterable[bytes | str], folkform_lines: Iterable[bytes | str]) -> Audit:
    """
    The same from the lines of two ``/_sim/dump``.

    Raises:
        msgspec.MsgspecError: a line is not from a dump.
    """
    return _compare(_parsed(pancake_lines), _parsed(folkform_lines))


def sha256(data: bytes, *, ignore_signatures: bool = False) -> str:
    told = _SIGNED.sub(b"signed", data) if ignore_signatures else data
    return hashlib.sha256(told).hexdigest()


def pancake_dump(world: World, *, ignore_signatures: bool = False) -> Iterator[bytes]:
    return lines(pancake_shelves(world, ignore_signatures=ignore_signatures))


def lines(shelves: Iterable[Shelf]) -> Iterator[bytes]:
    return (msgspec.json.encode(shelf) + b"\n" for shelf in shelves)


def pancake_shelves(world: World, *, ignore_signatures: bool) -> Iterator[Shelf]:
    for page in list(world.pages.values()):
        for conversation in list(page.conversations.values()):
            yield _shelf(page, conversation, gone=False, ignore=ignore_signatures)
        for conversation in list(page.gone.values()):
            yield _shelf(page, conversation, gone=True, ignore=ignore_signatures)


def _shelf(page: Page, conversation: Conversation, *, gone: bool, ignore: bool) -> Shelf:
    return Shelf(
        conversation.id,
        page.id,
        sha256(conversation.data, ignore_signatures=ignore),
        {m.id: sha256(m.data, ignore_signatures=ignore) for m in conversation.messages},
        gone=gone,
        gone_messages=page.gone_messages.get(conversation.id, []),
    )


def _parsed(given: Iterable[bytes | str]) -> Iterator[Shelf]:
    return (msgspec.json.decode(line, type=Shelf) for line in given if line.strip())


def _compare(pancake: Iterable[Shelf], folkform: Iterable[Shelf]) -> Audit:
    stored = {shelf.conversation_id: shelf for shelf in folkform}
    pages: set[str] = set()
    conversations = messages = left_behind = 0
    found = Audit()
    for shelf in pancake:
        other = stored.pop(shelf.conversation_id, None) or Shelf(shelf.conversation_id)
        pages.add(shelf.page_id)
        if shelf.gone:
            left_behind += other.sha256 is not None
            continue
        conversations += 1
        messages += len(shelf.messages)
        _conversation(shelf, other, found)
        left_behind += _messages(shelf, other.messages, found)
    for shelf in stored.values():
        if shelf.sha256 is not None:
            found.extra_conversations.append(shelf.conversation_id)
        found.extra_messages.extend((shelf.conversation_id, m) for m in shelf.messages)
    return replace(
        found, pages=len(pages), conversations=conversations, messages=messages, left_behind=left_behind
    )


def _conversation(shelf: Shelf, other: Shelf, found: Audit) -> None:
    if other.sha256 is None:
        found.missing_conversations.append(shelf.conversation_id)
    elif other.sha256 != shelf.sha256:
        found.stale_conversations.append(shelf.conversation_id)
    if other.copies > 1:
        found.duplicate_conversations.append(shelf.conversation_id)


def _messages(shelf: Shelf, stored: Mapping[str, str], found: Audit) -> int:
    """Return how many of the stored ones Pancake no longer lists."""
    for message_id, digest in shelf.messages.items():
        if message_id not in stored:
            found.missing_messages.append((shelf.conversation_id, message_id))
        elif stored[message_id] != digest:
            found.different_messages.append((shelf.conversation_id, message_id))
    gone = set(shelf.gone_messages)
    others = stored.keys() - shelf.messages.keys()
    found.extra_messages.extend((shelf.conversation_id, m) for m in sorted(others - gone))
    return len(others & gone)
