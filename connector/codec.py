"""
Values ⇄ Avro bytes in the Confluent wire format: one zero byte, the schema's id, the body.

Without a registry the schemas travel with the package under fixed ids from 900001, a range that no
registry hands out, so that a topic written in both ways can be told apart.
"""

import io
import json
import struct
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, cast

import fastavro

from connector import __version__
from connector.errors import ConnectorError
from connector.model import (
    Backfill,
    Completeness,
    CursorRecord,
    DeadLetter,
    Event,
    Hole,
    Kind,
    Origin,
    Page,
    PageStatus,
    Partition,
    Problem,
    Reconciled,
)

_FRAME = struct.Struct(">bI")
_ORIGINS = {origin.value: origin for origin in Origin}
_KIND_NAMES = {
    Kind.CONVERSATION: "conversation.v1",
    Kind.MESSAGE: "message.v1",
    Kind.THREAD: "thread.v1",
    Kind.VANISHED: "vanished.v1",
}
_UNDATED = frozenset({Kind.THREAD, Kind.VANISHED})


class UndecodableError(ConnectorError):
    """
    These bytes are not one of our records.

    ``reason`` is a fixed word: ``bad_frame``, ``unknown_schema`` or ``bad_avro``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def schema_folder() -> Path:
    """The folder of the .avsc files: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    packaged = here / "_schemas"
    return packaged if packaged.is_dir() else here.parent / "schemas"


@cache
def schema_ids() -> Mapping[str, int]:
    """Schema name to its embedded id."""
    ids: dict[str, int] = json.loads((schema_folder() / "manifest.json").read_text("utf-8"))["ids"]
    return ids


@cache
def _schema(name: str) -> Any:
    return fastavro.parse_schema(json.loads((schema_folder() / f"{name}.avsc").read_text("utf-8")))


@cache
def _head(name: str) -> bytes:
    return _FRAME.pack(0, schema_ids()[name])


@cache
def _names() -> Mapping[int, str]:
    return {number: name for name, number in schema_ids().items()}


def warm_up() -> None:
    """Read and parse every schema now: at the first event it would hold up the calls of that moment."""
    for name in schema_ids():
        _schema(name)


def _encode(name: str, fields: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    out.write(_head(name))
    fastavro.schemaless_writer(out, _schema(name), fields)
    return out.getvalue()


def _decode(value: bytes | None) -> tuple[str, dict[str, Any]]:
    if value is None or len(value) < _FRAME.size or value[0] != 0:
        raise UndecodableError("bad_frame", "the value is not in the Confluent wire format")
    number = _FRAME.unpack_from(value)[1]
    name = _names().get(number)
    if name is None:
        raise UndecodableError("unknown_schema", f"schema id {number} is not known to version {__version__}")
    body = io.BytesIO(value)
    body.seek(_FRAME.size)
    try:
        fields = cast("dict[str, Any]", fastavro.schemaless_reader(body, _schema(name), None))
    # fastavro raises whatever its reading stumbles over (EOFError, IndexError, UnicodeDecodeError,
    # MemoryError on an absurd length …); for us it is one and the same: not a record of ours.
    except Exception as problem:  # noqa: BLE001
        raise UndecodableError("bad_avro", f"not a {name}: {type(problem).__name__}") from None
    if body.read(1):
        raise UndecodableError("bad_avro", f"bytes are left over behind a {name}")
    return name, fields


def encode_event(event: Event) -> bytes:
    """The Kafka value of an event."""
    fields: dict[str, Any] = {
        "page_id": event.page_id,
        "page_username": event.page_username,
        "conversation_id": event.conversation_id,
        "customer_id": event.customer_id or None,
        "observed_at": event.observed_at,
        "content_hash": event.content_hash,
        "origin": event.origin.value,
        "payload": event.payload,
    }
    if event.kind is Kind.MESSAGE:
        fields["message_id"] = event.message_id
    if event.kind not in _UNDATED:
        fields["inserted_at"] = event.inserted_at or None
    if event.kind is Kind.CONVERSATION:
        fields["updated_at"] = event.updated_at or None
    return _encode(_KIND_NAMES[event.kind], fields)


_KINDS = {name: kind for kind, name in _KIND_NAMES.items()}


def decode_event(value: bytes | None) -> Event:
    """
    The event in a Kafka value.

    Raises:
        UndecodableError: it is none, or one of a schema that this version does not know.
    """
    name, fields = _decode(value)
    kind = _KINDS.get(name)
    if kind is None:
        raise UndecodableError("unknown_schema", f"a {name} has no place in this topic")
    return Event(
        kind,
        fields["page_id"],
        fields["page_username"],
        fields["conversation_id"],
        fields["customer_id"] or "",
        fields.get("message_id", ""),
        fields.get("inserted_at") or 0,
        fields.get("updated_at") or 0,
        fields["observed_at"],
        fields["content_hash"],
        _ORIGINS[fields["origin"]],
        fields["payload"],
    )


def event_key(event: Event) -> bytes:
    """The Kafka key: what compaction keeps the newest record of."""
    if event.kind is Kind.MESSAGE:
        return f"{event.conversation_id}\0{event.message_id}".encode()
    if event.kind is Kind.VANISHED:
        return f"{event.conversation_id}\0vanished".encode()
    return event.conversation_id.encode()


def encode_page(page: Page, *, observed_at: int) -> bytes:
    """The Kafka value of a page."""
    return _encode(
        "page.v1",
        {
            "page_id": page.id,
            "username": page.username,
            "observed_at": observed_at,
            "name": page.name or None,
            "platform": page.platform or None,
        },
    )


def decode_page(value: bytes | None) -> Page:
    """The page in a Kafka value. Raises UndecodableError."""
    name, fields = _decode(value)
    if name != "page.v1":
        raise UndecodableError("unknown_schema", f"a {name} is no page")
    return Page(fields["page_id"], fields["username"], fields["name"] or "", fields["platform"] or "")


def hint_key(page_id: str) -> bytes:
    """The Kafka key of a hint: beside its page's record, so that compaction keeps both."""
    return f"{page_id}\0hint".encode()


def hinted_page(key: bytes | None) -> str | None:
    """The page that a record of the topic of pages hints at; None when it is no hint."""
    page_id, _, what = (key or b"").partition(b"\0")
    return page_id.decode(errors="replace") if what == b"hint" else None


def encode_hint(page_id: str, *, hinted_at: int) -> bytes:
    """The Kafka value of a hint that the page has changed."""
    return _encode("hint.v1", {"page_id": page_id, "hinted_at": hinted_at})


def decode_hint(value: bytes | None) -> str:
    """The page that a hint speaks of. Raises UndecodableError."""
    name, fields = _decode(value)
    if name != "hint.v1":
        raise UndecodableError("unknown_schema", f"a {name} is no hint")
    return str(fields["page_id"])


def status_key(page_id: str) -> bytes:
    """The Kafka key of a page's status: beside its page's record, so that compaction keeps both."""
    return f"{page_id}\0status".encode()


def encode_status(status: PageStatus) -> bytes:
    """The Kafka value of how a page stands."""
    own = {
        "written_at": status.written_at,
        "owner": status.owner,
        "parked": status.parked,
        "parked_since": status.parked_since,
    }
    return _encode("status.v1", asdict(status.completeness) | own)


def decode_status(value: bytes | None) -> PageStatus:
    """How a page stands, from a Kafka value. Raises UndecodableError."""
    name, fields = _decode(value)
    if name != "status.v1":
        raise UndecodableError("unknown_schema", f"a {name} is no status")
    complete = Completeness(
        fields["page_id"],
        fields["proved_until"],
        fields["scanning_since"],
        tuple(Hole(**hole) for hole in fields["holes"]),
        fields["holes_open"],
        fields["rereads"],
        Backfill(**fields["backfill"]),
        Reconciled(**fields["reconcile"]),
    )
    return PageStatus(
        complete, fields["written_at"], fields["owner"], fields["parked"], fields["parked_since"]
    )


def encode_cursor(record: CursorRecord, *, owner: str, saved_at: int) -> bytes:
    """The Kafka value of a cursor; of a claim when it names no page."""
    return _encode(
        "cursor.v1",
        {
            "page_id": record.page_id,
            "conversation_id": record.conversation_id or None,
            "owner": owner,
            "saved_at": saved_at,
            "state": record.state,
        },
    )


def decode_cursor(value: bytes | None) -> CursorRecord:
    """The cursor in a Kafka value. Raises UndecodableError."""
    fields = _cursor_fields(value)
    # One page has a million of them: its id is held once.
    page_id = sys.intern(fields["page_id"])
    return CursorRecord(page_id, fields["conversation_id"] or "", fields["state"])


def cursor_owner(value: bytes | None) -> str:
    """Who wrote a cursor or a claim. Raises UndecodableError."""
    return cast("str", _cursor_fields(value)["owner"])


def _cursor_fields(value: bytes | None) -> dict[str, Any]:
    name, fields = _decode(value)
    if name != "cursor.v1":
        raise UndecodableError("unknown_schema", f"a {name} has no place in this topic")
    return fields


def cursor_key(record: CursorRecord) -> bytes:
    """The Kafka key of a cursor; ``claim`` when it names no page."""
    if not record.page_id:
        return b"claim"
    if not record.conversation_id:
        return record.page_id.encode()
    return f"{record.page_id}\0{record.conversation_id}".encode()


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """The Kafka value of a dead letter."""
    problem = letter.problem
    return _encode(
        "dead_letter.v2",
        {
            "topic": letter.partition.topic if letter.partition else None,
            "partition": letter.partition.number if letter.partition else None,
            "offset": letter.offset,
            "timestamp": letter.timestamp,
            "headers": [{"name": name, "value": value} for name, value in letter.headers],
            "key": letter.key,
            "value": letter.value,
            "reason": problem.reason,
            "message": problem.message,
            "status": problem.status,
            "answer": problem.answer or None,
            "dialect": problem.dialect or None,
            "tries": problem.tries,
            "first_at": letter.first_at or None,
            "failed_at": letter.failed_at,
            "trace_id": letter.trace_id or None,
            "version": __version__,
        },
    )


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """The dead letter in a Kafka value, of this version or an older one. Raises UndecodableError."""
    name, fields = _decode(value)
    if name not in ("dead_letter.v1", "dead_letter.v2"):
        raise UndecodableError("unknown_schema", f"a {name} has no place in this topic")
    topic = fields["topic"]
    return DeadLetter(
        fields["key"],
        fields["value"],
        Problem(
            fields["reason"],
            fields["message"],
            fields["status"],
            fields["tries"],
            fields.get("answer") or "",
            fields.get("dialect") or "",
        ),
        fields["failed_at"],
        None if topic is None else Partition(topic, fields["partition"]),
        fields["offset"],
        fields.get("timestamp"),
        tuple((header["name"], header["value"]) for header in fields.get("headers", ())),
        fields.get("first_at") or 0,
        fields.get("trace_id") or "",
    )
