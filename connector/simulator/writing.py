"""FolkForm's write routes: from a body to an applied write, with every refusal on the way (B5, B6)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs

import msgspec

from connector.simulator.documents import conversation_json, thread_json
from connector.simulator.envelopes import Failure, fiber, success
from connector.simulator.filters import Filter, matches, parse_filter
from connector.simulator.options import FolkFormOptions
from connector.simulator.replies import Reply
from connector.simulator.store import ConversationBody, Document, MessagesBody, Store

CONVERSATION = "conversation/upsert-one"
MESSAGES = "message/upsert-messages"
WRITES = (CONVERSATION, MESSAGES, "conversation/upsert-many")
BAD_FORMAT = "Định dạng dữ liệu không hợp lệ"

_CONVERSATION = msgspec.json.Decoder(ConversationBody).decode
_MESSAGES = msgspec.json.Decoder(MessagesBody).decode
_ANY = msgspec.json.Decoder().decode
# Go takes a lone surrogate and stores U+FFFD; our decoder would refuse the whole body.
_LONE = re.compile(rb"(?<!\\)((?:\\\\)*)(?:(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..)")


@dataclass(frozen=True, slots=True)
class Write:
    """A parsed call; ``apply(now_ms, fault)`` applies it, or raises Failure as the backend refuses."""

    conversation_id: str
    subject: str
    apply: Callable[[int, str], Reply]


@dataclass(frozen=True, slots=True)
class Sent:
    """A conversation call's body, and the exact bytes of its panCakeData."""

    body: ConversationBody
    data: bytes


class Writer:
    """Turns bodies into writes on one store."""

    def __init__(self, store: Store, options: FolkFormOptions) -> None:
        self._store = store
        self._options = options

    def prepare(self, route: str, query: str, body: bytes) -> Write:
        """Parse now, refuse and apply later: a fault rule needs to know which conversation it is."""
        try:
            if route == MESSAGES:
                return self._messages(*checked(body))
            if route == CONVERSATION:
                return self._conversation(query, *checked(body))
            return Write("", "", lambda *_: fiber(400, "Bad Request"))
        except Failure as error:
            return Write("", "", partial(_fail, error))

    def _messages(self, body: bytes, poisoned: str) -> Write:
        try:
            parsed = _MESSAGES(body)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        subject = f"{parsed.page_id or ''}/{parsed.conversation_id or ''}"
        return Write(parsed.conversation_id or "", subject, partial(self._apply_messages, parsed, poisoned))

    def _apply_messages(self, body: MessagesBody, poisoned: str, now_ms: int, fault: str) -> Reply:
        if not body.complete:
            raise Failure(400, "VAL_002", "Dữ liệu không hợp lệ")
        if poisoned:
            raise Failure(500, "DB", f"failed to upsert messages: {poisoned}")
        thread = self._store.write_thread(body, now_ms)
        if fault == "partial":
            raise Failure(500, "DB", "failed to upsert messages: bulk write exception")
        self._store.write_items(thread, body, now_ms)
        return success(thread_json(body.conversation_id or "", thread))

    def _conversation(self, query: str, body: bytes, poisoned: str) -> Write:
        filter_ = parse_filter(parse_qs(query))
        if poisoned:
            raise Failure(400, "VAL_002", BAD_FORMAT, poisoned)
        try:
            parsed = _CONVERSATION(body)
            data = exact(body)
        except msgspec.MsgspecError as error:
            raise Failure(400, "VAL_002", BAD_FORMAT, str(error)) from None
        ident = (parsed.pan_cake_data or {}).get("id")
        if ident is None or bytes(ident) == b"null":
            raise Failure(400, "VAL_002", BAD_FORMAT)
        wanted = filter_.get("conversationId")
        name = wanted if isinstance(wanted, str) else ""
        seen = self._find(filter_)
        apply = partial(self._apply_conversation, filter_, Sent(parsed, data), seen)
        return Write(name, f"{parsed.page_id or ''}/{name}", apply)

    def _apply_conversation(
        self, filter_: Filter, sent: Sent, seen: Document | None, now_ms: int, _: str
    ) -> Reply:
        found = self._find(filter_)
        if seen is None and found is not None:
            # Both calls looked before either had written: realities 53 and 54.
            match self._options.first_upsert_race:
                case "error":
                    raise Failure(500, "DB", "Lỗi hệ thống MongoDB")
                case "duplicate":
                    found = None
        document = self._store.write_conversation(found, sent.body, sent.data, now_ms)
        return success(conversation_json(document, self._options.organization_id))

    def _find(self, filter_: Filter) -> Document | None:
        wanted = filter_.get("conversationId")
        if len(filter_) == 1 and isinstance(wanted, str):
            return self._store.first(wanted)
        # Reality 44: an empty filter meets the first document there is.
        return next((d for d in self._store.documents.values() if matches(d, filter_)), None)


class _Data(msgspec.Struct, rename="camel"):
    pan_cake_data: msgspec.Raw = msgspec.Raw(b"{}")


_DATA = msgspec.json.Decoder(_Data).decode


def exact(body: bytes) -> bytes:
    """The bytes of panCakeData as they were sent."""
    return bytes(_DATA(body).pan_cake_data)


def checked(body: bytes) -> tuple[bytes, str]:
    """
    The body as the database would take it, and why it cannot take it at all, or an empty string.

    One poison element fails the whole call, for ever (B12).
    """
    try:
        return body, _poison(body)
    except msgspec.ValidationError as error:
        return body, str(error)
    except msgspec.DecodeError:
        mended = _LONE.sub(lambda m: m[0] if m[2] else m[1] + b"\\ufffd", body)
        return (body, "") if mended == body else checked(mended)


def _poison(body: bytes) -> str:
    parsed = _ANY(body)
    nul = b"\\u0000" in body and _has_nul_key(parsed)
    return "BSON key contains a NUL" if nul else ""


def _has_nul_key(value: object) -> bool:
    if isinstance(value, dict):
        return any("\0" in key or _has_nul_key(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_has_nul_key(inner) for inner in value)


def _fail(error: Failure, *_: object) -> Reply:
    raise error
