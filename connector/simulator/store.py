"""
What FolkForm keeps, and the witness's notes on how it got there.

Objects are kept as the exact bytes that arrived. The last arrival wins (reality 42) unless its route checks.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from connector.simulator.audit import Shelf, sha256
from connector.simulator.content import Fields, encode, fields, render
from connector.simulator.generations import generation
from connector.simulator.options import FolkFormOptions

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
STRICT_LENGTH = len("2026-03-03T04:03:22.000000")
NO_ORGANIZATION = "0" * 24
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


class _Head(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"null")
    inserted_at: msgspec.Raw = msgspec.Raw(b"null")
    updated_at: msgspec.Raw = msgspec.Raw(b"null")


_HEAD = msgspec.json.Decoder(_Head).decode
_TEXT = msgspec.json.Decoder(str).decode
_LIST = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Document:
    """One conversation document."""

    __slots__ = (
        "conversation_id", "created_ms", "customer_id", "data", "number", "page_id", "page_username",
        "pan_updated_us", "updated_ms", "writes",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.conversation_id = ""
        self.page_id = ""
        self.page_username = ""
        self.customer_id = ""
        self.data = b"{}"
        self.pan_updated_us = 0
        self.created_ms = 0
        self.updated_ms = 0
        self.writes = 0


class Item:
    """One message document; ``past`` holds hashes of the contents it had before."""

    __slots__ = (
        "conversation_id", "created_ms", "data", "inserted_at", "past", "told_us", "updated_ms", "writes",
    )  # fmt: skip

    def __init__(self, now_ms: int) -> None:
        self.conversation_id = ""
        self.data = b""
        self.inserted_at = 0
        self.created_ms = now_ms
        self.updated_ms = now_ms
        self.told_us = 0
        self.writes = 0
        self.past: tuple[int, ...] = ()


class Thread:
    """One message-metadata document, and the items that belong to it."""

    __slots__ = (
        "created_ms", "customer_id", "has_more", "items", "metadata", "page_id", "page_username",
        "synced_ms", "writes",
    )  # fmt: skip

    def __init__(self, now_ms: int) -> None:
        self.page_id = ""
        self.page_username = ""
        self.customer_id = ""
        self.metadata: Fields = {}
        self.items: dict[str, Item] = {}
        self.has_more = False
        self.created_ms = now_ms
        self.synced_ms = now_ms
        self.writes = 0


class ConversationBody(msgspec.Struct, rename="camel"):
    """Body of conversation/upsert-one; nothing is required but panCakeData.id."""

    page_id: str | None = None
    page_username: str | None = None
    customer_id: str | None = None
    pan_cake_data: dict[str, msgspec.Raw] | None = None


class MessagesBody(msgspec.Struct, rename="camel"):
    """Body of message/upsert-messages; all but hasMore are required."""

    page_id: str | None = None
    page_username: str | None = None
    conversation_id: str | None = None
    customer_id: str | None = None
    pan_cake_data: dict[str, msgspec.Raw] | None = None
    has_more: bool | None = None

    @property
    def complete(self) -> bool:
        named = (self.page_id, self.page_username, self.conversation_id, self.customer_id)
        return all(named) and self.pan_cake_data is not None


class Notes:
    """What the witness counted."""

    def __init__(self) -> None:
        self.conversation_writes = 0
        self.message_writes = 0
        self.conversation_regressions = 0
        self.message_regressions = 0
        self.unchanged_conversations = 0
        self.unchanged_messages = 0
        self.skipped_elements = 0
        self.moved_messages = 0
        self.overwritten_documents = 0
        self.skipped_snapshots = 0
        self.skipped_items = 0


class Store:
    """Collections of one FolkForm database."""

    def __init__(self, options: FolkFormOptions) -> None:
        self.options = options
        self.notes = Notes()
        self.documents: dict[int, Document] = {}
        self.by_conversation: dict[str, list[Document]] = {}
        self.threads: dict[str, Thread] = {}
        self.items: dict[str, Item] = {}
        self._numbers = 0

    # Conversations

    def write_conversation(
        self, found: Document | None, body: ConversationBody, data: bytes, now_ms: int
    ) -> Document:
        """Overwrite the document that the filter found, or insert one (B5)."""
        parts = body.pan_cake_data or {}
        conversation_id = text_id(parts["id"])
        document = found or self._insert()
        if found and found.conversation_id != conversation_id:
            self.notes.overwritten_documents += 1
        self._note_conversation(document, parts, data)
        self._file(document, conversation_id)
        document.page_id = body.page_id or ""
        document.page_username = body.page_username or ""
        customer = parts.get("customer_id")
        extracted = bytes(customer) if customer is not None else b"null"
        document.customer_id = (body.customer_id or "") if extracted == b"null" else text_id(extracted)
        document.data = data
        document.pan_updated_us = instant(parts.get("updated_at"))
        document.updated_ms = now_ms
        if not (document.writes and generation(self.options).keeps_created):
            # Reality 43: createdAt is written anew each time.
            document.created_ms = now_ms
        document.writes += 1
        self.notes.conversation_writes += 1
        return document

    def first(self, conversation_id: str) -> Document | None:
        """The document with the smallest _id; an id that looks like an ObjectID never matches (B4)."""
        found = self.by_conversation.get(conversation_id)
        if not found or _OBJECT_ID.fullmatch(conversation_id):
            return None
        return found[0]

    def _insert(self) -> Document:
        self._numbers += 1
        document = Document(self._numbers)
        self.documents[document.number] = document
        return document

    def _file(self, document: Document, conversation_id: str) -> None:
        if document.writes and document.conversation_id == conversation_id:
            return
        if document.writes:
            self.by_conversation[document.conversation_id].remove(document)
        document.conversation_id = conversation_id
        self.by_conversation.setdefault(conversation_id, []).append(document)

    def _note_conversation(self, document: Document, parts: dict[str, msgspec.Raw], data: bytes) -> None:
        if not document.writes or document.conversation_id != text_id(parts["id"]):
            return
        self.notes.unchanged_conversations += document.data == data
        self.notes.conversation_regressions += instant(parts.get("updated_at")) < document.pan_updated_us

    # Messages

    def write_thread(self, body: MessagesBody, now_ms: int) -> Thread:
        """Merge the metadata, shallow plus one nested level; fields never disappear (B6)."""
        conversation_id = body.conversation_id or ""
        thread = self.threads.get(conversation_id)
        if thread is None:
            thread = self.threads[conversation_id] = Thread(now_ms)
        thread.page_id = body.page_id or ""
        thread.page_username = body.page_username or ""
        thread.customer_id = body.customer_id or ""
        for key, value in (body.pan_cake_data or {}).items():
            if key != "messages":
                thread.metadata[key] = merged(thread.metadata.get(key), bytes(value))
        thread.metadata.setdefault("conversation_id", encode(conversation_id))
        thread.has_more = bool(body.has_more)
        thread.synced_ms = now_ms
        thread.writes += 1
        return thread

    def write_items(self, thread: Thread, body: MessagesBody, now_ms: int) -> None:
        raw = (body.pan_cake_data or {}).get("messages")
        if raw is None or not (data := bytes(raw)).startswith(b"["):
            return
        for element in _LIST(data):
            self._write_item(thread, body.conversation_id or "", bytes(element), now_ms)

    def _write_item(self, thread: Thread, conversation_id: str, data: bytes, now_ms: int) -> None:
        try:
            head = _HEAD(data)
            message_id = _TEXT(head.id)
        except msgspec.ValidationError:
            message_id = ""
        if not message_id:
            # Reality 46: silently dropped, the answer is 200 all the same.
            self.notes.skipped_elements += 1
            return
        kept = data if self.options.keep == "bytes" else hashlib.sha256(data).digest()
        item = self.items.get(message_id)
        if item is None:
            item = self.items[message_id] = Item(now_ms)
        if item.writes and generation(self.options).milliseconds and _moment(head) <= item.told_us:
            # Generation 3 drops what is not newer by its own time: an edit that keeps inserted_at is lost.
            self.notes.skipped_items += 1
            return
        item.told_us = _moment(head)
        self._note_item(item, kept)
        self._move(thread, item, message_id, conversation_id)
        item.data = kept
        item.inserted_at = self._inserted_at(head)
        item.updated_ms = now_ms
        item.writes += 1
        self.notes.message_writes += 1

    def _inserted_at(self, head: _Head) -> int:
        # Reality 47: the unit, and what can be read at all, differ by generation.
        if generation(self.options).milliseconds:
            return instant(head.inserted_at) // 1000
        return strict_seconds(head.inserted_at)

    def _move(self, thread: Thread, item: Item, message_id: str, conversation_id: str) -> None:
        if item.conversation_id == conversation_id:
            return
        if item.writes:
            self.notes.moved_messages += 1
            self.threads[item.conversation_id].items.pop(message_id, None)
        item.conversation_id = conversation_id
        thread.items[message_id] = item

    def _note_item(self, item: Item, kept: bytes) -> None:
        if not item.writes:
            return
        if item.data == kept:
            self.notes.unchanged_messages += 1
            return
        self.notes.message_regressions += hash(kept) in item.past
        item.past = (*item.past, hash(item.data))

    # Looking in

    def shelves(self, *, ignore_signatures: bool = False) -> Iterator[Shelf]:
        """One shelf for each conversation that has a document or messages."""
        for conversation_id in list(dict.fromkeys([*self.by_conversation, *self.threads])):
            documents = self.by_conversation.get(conversation_id, [])
            thread = self.threads.get(conversation_id)
            yield Shelf(
                conversation_id,
                documents[0].page_id if documents else "",
                sha256(documents[0].data, ignore_signatures=ignore_signatures) if documents else None,
                self._digests(thread, ignore_signatures=ignore_signatures) if thread else {},
                copies=max(1, len(documents)),
            )

    def _digests(self, thread: Thread, *, ignore_signatures: bool) -> dict[str, str]:
        if self.options.keep == "digest":
            return {message_id: item.data.hex() for message_id, item in thread.items.items()}
        return {
            message_id: sha256(item.data, ignore_signatures=ignore_signatures)
            for message_id, item in thread.items.items()
        }


def text_id(raw: msgspec.Raw | bytes) -> str:
    """An id as the backend's string converter makes it: a number becomes its digits."""
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else str(value)


def instant(raw: msgspec.Raw | None) -> int:
    """Microseconds since 1970 of a naive UTC time, with or without fraction or zone; 0 for anything else."""
    try:
        at = datetime.fromisoformat(_TEXT(raw)) if raw is not None else EPOCH
    except (msgspec.ValidationError, ValueError):
        return 0
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def _moment(head: _Head) -> int:
    return instant(head.updated_at) or instant(head.inserted_at)


def strict_seconds(raw: msgspec.Raw) -> int:
    """Reality 47: six fraction digits and no zone, or 0."""
    data = bytes(raw)
    if len(data) != STRICT_LENGTH + 2 or data[20:21] != b".":
        return 0
    try:
        return int(datetime.fromisoformat(data[1:-1].decode() + "+00:00").timestamp())
    except ValueError:
        return 0


def merged(old: bytes | None, new: bytes) -> bytes:
    if old is None or old == new or not (old.startswith(b"{") and new.startswith(b"{")):
        return new
    return render(fields(old) | fields(new))
