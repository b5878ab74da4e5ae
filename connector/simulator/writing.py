"""FolkForm's write routes: from a body to an applied write, with every refusal on the way (B5, B6, B12)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn
from urllib.parse import parse_qs

import msgspec

from connector.simulator.content import encode
from connector.simulator.documents import conversation_json, thread_json
from connector.simulator.envelopes import Failure, fiber, skipped, success
from connector.simulator.filters import Filter, matches, parse_filter
from connector.simulator.generations import BATCH, CONVERSATION, GUARDED, INGEST, MESSAGES
from connector.simulator.options import FolkFormOptions
from connector.simulator.poison import checked, too_deep
from connector.simulator.replies import Reply
from connector.simulator.store import ConversationBody, Document, MessagesBody, Store, instant, text_id

BAD_FORMAT = "Định dạng dữ liệu không hợp lệ"
BAD_DATA = "Dữ liệu không hợp lệ"
DRESSED = "Internal Server Error"
TWICE = "Updating the path 'createdAt' would create a conflict at 'createdAt'"

_CONVERSATION = msgspec.json.Decoder(ConversationBody).decode
_MESSAGES = msgspec.json.Decoder(MessagesBody).decode
_LIST = msgspec.json.Decoder(list[msgspec.Raw]).decode
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Write:
    """
    A parsed call; ``apply(now_ms, fault)`` applies it, or raises Failure as the backend refuses.

    ``touches``: collection and conversation id of all that it writes. ``subject``: what fault rules see.
    """

    touches: tuple[Key, ...]
    subject: str
    apply: Callable[[int, str], Reply]


@dataclass(frozen=True, slots=True)
class Sent:
    """A conversation call's body, the exact bytes of its panCakeData, and whether staleness is checked."""

    body: ConversationBody
    data: bytes
    guarded: bool

    @property
    def name(self) -> str:
        return text_id((self.body.pan_cake_data or {}).get("id", b"null"))


class Writer:
    """Turns bodies into writes on one store."""

    def __init__(self, store: Store, options: FolkFormOptions) -> None:
        self._store = store
        self._options = options
        self._routes: Mapping[str, Callable[[str, bytes], Write]] = {
            CONVERSATION: self._upsert_one,
            GUARDED: self._sync_upsert_one,
            MESSAGES: lambda _, body: self._messages(body),
            BATCH: lambda _, body: self._batch(body),
            INGEST: lambda _, body: self._ingest(body),
        }

    def prepare(self, route: str, query: str, body: bytes) -> Write:
        """Parse now, refuse and apply later: a fault rule needs to know which conversation it is."""
        try:
            if route in self._routes:
                return self._routes[route](query, body)
            return Write((), "", lambda *_: fiber(400, "Bad Request"))
        except Failure as error:
            return Write((), "", partial(_fail, error))

    # Conversations

    def _upsert_one(self, query: str, body: bytes) -> Write:
        wanted = parse_filter(parse_qs(query))
        return self._conversation(wanted, self._sent(body, guarded=False))

    def _sync_upsert_one(self, query: str, body: bytes) -> Write:
        wanted = parse_filter(parse_qs(query))
        return self._conversation(wanted, self._guarded(body))

    def _guarded(self, body: bytes) -> Sent:
        try:
            sent = self._sent(body, guarded=True)
        except Failure:
            # Reality 53: a client's fault, dressed as the server's.
            raise Failure(500, "SYS_001", DRESSED) from None
        if not sent.body.page_id:
            raise Failure(400, "VAL_002", BAD_DATA)
        return sent

    def _sent(self, body: bytes, *, guarded: bool) -> Sent:
        readable, poisoned = checked(body)
        if poisoned:
            raise Failure(400, "VAL_002", BAD_FORMAT, poisoned)
        try:
            parsed, data = _CONVERSATION(readable), exact(readable)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        ident = (parsed.pan_cake_data or {}).get("id")
        if ident is None or bytes(ident) == b"null":
            raise Failure(400, "VAL_002", BAD_FORMAT)
        if too_deep(data):
            raise Failure(500, "DB", "document has exceeded maximum nesting depth of 100")
        return Sent(parsed, data, guarded)

    def _conversation(self, wanted: Filter, sent: Sent) -> Write:
        given = wanted.get("conversationId")
        name = given if isinstance(given, str) else ""
        apply = partial(self._apply_conversation, wanted, sent, self._find(wanted))
        touches = (("conversation", name),) if name else ()
        return Write(touches, f"{sent.body.page_id or ''}/{name}", apply)

    def _apply_conversation(
        self, wanted: Filter, sent: Sent, seen: Document | None, now_ms: int, _: str
    ) -> Reply:
        found = self._find(wanted)
        if sent.guarded and found is not None and _stale(found, sent):
            self._store.notes.skipped_snapshots += 1
            return skipped()
        if seen is None and found is not None and not sent.guarded:
            # Both calls looked before either had written: realities 53 and 54.
            match self._options.first_upsert_race:
                case "error":
                    raise Failure(500, "DB", "Lỗi hệ thống MongoDB")
                case "duplicate":
                    found = None
        document = self._store.write_conversation(found, sent.body, sent.data, now_ms)
        return success(conversation_json(document, self._options.organization_id))

    def _find(self, wanted: Filter) -> Document | None:
        given = wanted.get("conversationId")
        if len(wanted) == 1 and isinstance(given, str):
            return self._store.first(given)
        # Reality 44: an empty filter meets the first document there is.
        return next((d for d in self._store.documents.values() if matches(d, wanted)), None)

    def _batch(self, body: bytes) -> Write:
        """The proposal, as an extension (reality 58): all of one page or, when one is refused, none."""
        try:
            parts = msgspec.json.decode(body, type=_Batch)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        if not 0 < len(parts.conversations) <= self._options.batch_upsert:
            raise Failure(400, "VAL_002", BAD_DATA)
        head = encode({"pageId": parts.page_id, "pageUsername": parts.page_username})[:-1]
        bodies = [head + b',"panCakeData":' + bytes(raw) + b"}" for raw in parts.conversations]
        sent = [self._sent(each, guarded=False) for each in bodies]
        singles = [self._conversation({"conversationId": each.name}, each) for each in sent]
        return Write(
            tuple(key for single in singles for key in single.touches),
            " ".join(single.subject for single in singles),
            partial(_apply_all, singles),
        )

    # Messages

    def _messages(self, body: bytes) -> Write:
        body, poisoned = checked(body)
        try:
            parsed = _MESSAGES(body)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        if any(map(too_deep, _elements(parsed))):
            poisoned = "document has exceeded maximum nesting depth of 100"
        name = parsed.conversation_id or ""
        touches = (("messages", name),) if name else ()
        return Write(
            touches, f"{parsed.page_id or ''}/{name}", partial(self._apply_messages, parsed, poisoned)
        )

    def _apply_messages(self, body: MessagesBody, poisoned: str, now_ms: int, fault: str) -> Reply:
        if not body.complete:
            raise Failure(400, "VAL_002", BAD_DATA)
        if poisoned:
            raise Failure(500, "DB", f"failed to upsert messages: {poisoned}")
        thread = self._store.write_thread(body, now_ms)
        if fault == "partial":
            raise Failure(500, "DB", "failed to upsert messages: bulk write exception")
        self._store.write_items(thread, body, now_ms)
        return success(thread_json(body.conversation_id or "", thread))

    # Generation 3

    def _ingest(self, body: bytes) -> Write:
        try:
            parts = msgspec.json.decode(checked(body)[0], type=_Ingest)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        data = bytes(parts.data)
        if parts.domain == "interaction_conversation" and data != b"null":
            sent = self._guarded(data)
            # Nobody knows what is matched without a filter; the worst is what the other routes do (44).
            return self._conversation(parts.filter or {}, sent)
        if parts.domain == "interaction_message" and data != b"null":
            return self._ingested_messages(data)
        raise Failure(400, "VAL_002", BAD_DATA)

    def _ingested_messages(self, data: bytes) -> Write:
        write = self._messages(data)
        return Write(
            write.touches, write.subject, partial(self._first_only, write, _elements(_MESSAGES(data)))
        )

    def _first_only(self, write: Write, elements: list[bytes], now_ms: int, fault: str) -> Reply:
        """Every call for a conversation after its first fails when it has messages (B12)."""
        (_, name), *_ = write.touches or (("", ""),)
        if self._options.second_ingest != "works" and elements and name in self._store.threads:
            if self._options.second_ingest == "raw":
                raise Failure(500, "DB", f"failed to upsert messages: {TWICE}")
            raise Failure(500, "SYS_001", DRESSED)
        return write.apply(now_ms, fault)


class _Batch(msgspec.Struct, rename="camel"):
    page_id: str
    page_username: str
    conversations: list[msgspec.Raw]


class _Ingest(msgspec.Struct):
    domain: str
    data: msgspec.Raw
    filter: Filter | None = None


class _Data(msgspec.Struct, rename="camel"):
    pan_cake_data: msgspec.Raw = msgspec.Raw(b"{}")


_DATA = msgspec.json.Decoder(_Data).decode


def exact(body: bytes) -> bytes:
    """The bytes of panCakeData as they were sent."""
    return bytes(_DATA(body).pan_cake_data)


def _elements(body: MessagesBody) -> list[bytes]:
    raw = bytes((body.pan_cake_data or {}).get("messages", b""))
    return [bytes(element) for element in _LIST(raw)] if raw.startswith(b"[") else []


def _stale(found: Document, sent: Sent) -> bool:
    # A body without updated_at bypasses the check (B12).
    incoming = instant((sent.body.pan_cake_data or {}).get("updated_at"))
    return 0 < incoming <= found.pan_updated_us


def _apply_all(singles: list[Write], now_ms: int, _: str) -> Reply:
    for single in singles:
        single.apply(now_ms, "")
    return success(encode({"upserted": len(singles)}))


def _fail(error: Failure, *_: object) -> NoReturn:
    raise error
