"""Request bodies around objects that are passed on as they came: spliced, never parsed and printed again."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from connector.errors import RejectedError
from connector.folkform.dialects import Route
from connector.model import Event, Kind

_EMPTY = b"{}"
TOO_LARGE = "body_too_large"


def filter_of(event: Event) -> dict[str, str]:
    """
    What the write of a snapshot must match: an empty or wrong one would overwrite another conversation's
    document (contracts B5.6).
    """  # noqa: D205
    return {"conversationId": event.conversation_id}


def conversation_body(event: Event, route: Route) -> bytes:
    """The body of a conversation's upsert."""
    head = {"pageId": event.page_id, "pageUsername": event.page_username}
    if event.customer_id:
        head["customerId"] = event.customer_id
    body = _frame(head, b'"panCakeData":' + event.payload)
    return _ingest(route, body, filter_of(event)) if route.domain else body


def batch_body(events: Sequence[Event]) -> bytes:
    """The body of the proposed batch: snapshots of one page."""
    head = {"pageId": events[0].page_id, "pageUsername": events[0].page_username}
    return _frame(head, b'"conversations":[' + b",".join(event.payload for event in events) + b"]")


@dataclass(frozen=True, slots=True)
class Parcel:
    """
    One conversation's messages, as one body or as several in their order.

    ``places``: where each message stands in the lane; ``rest``: what the thread says beside them, and
    ``rest_place`` where that stands, -1 when the lane has none.
    """

    head: dict[str, str]
    messages: tuple[bytes, ...]
    places: tuple[int, ...]
    rest: bytes
    rest_place: int
    route: Route

    @classmethod
    def of(cls, lane: Sequence[Event], route: Route) -> "Parcel":
        """
        What a lane becomes.

        Raises:
            RejectedError: FolkForm would refuse all of it: a name that it requires is empty.
        """
        found = [(place, event) for place, event in enumerate(lane) if event.kind is Kind.MESSAGE]
        threads = [(place, event) for place, event in enumerate(lane) if event.kind is Kind.THREAD]
        rest_place, thread = threads[-1] if threads else (-1, None)
        return cls(
            _named(lane),
            tuple(event.payload for _, event in found),
            tuple(place for place, _ in found),
            thread.payload if thread else _EMPTY,
            rest_place,
            route,
        )

    def end(self, start: int, room: int) -> int:
        """How far a body that begins with message ``start`` may reach; one message it always takes."""
        size = len(self.body(start, start))
        for at in range(start, len(self.messages)):
            size += len(self.messages[at]) + 1
            if size > room and at > start:
                return at
        return len(self.messages)

    def body(self, start: int, end: int) -> bytes:
        """The body with the messages from ``start`` up to, not including, ``end``."""
        inner = self.rest.strip()[1:-1].strip()
        comma = b"," if inner else b""
        listed = b",".join(self.messages[start:end])
        data = b'"panCakeData":{' + inner + comma + b'"messages":[' + listed + b"]}"
        body = _frame(self.head, data)
        return _ingest(self.route, body) if self.route.domain else body


def _named(lane: Sequence[Event]) -> dict[str, str]:
    newest = lane[-1]
    head = {
        "pageId": newest.page_id,
        "pageUsername": newest.page_username,
        "conversationId": newest.conversation_id,
        "customerId": next((event.customer_id for event in reversed(lane) if event.customer_id), ""),
    }
    for name, value in head.items():
        if not value:
            raise RejectedError(MISSING[name], f"FolkForm stores no messages without {name}")
    return head


MISSING = {
    "pageId": "missing_page_id",
    "pageUsername": "missing_page_username",
    "conversationId": "missing_conversation_id",
    "customerId": "missing_customer_id",
}


def _ingest(route: Route, body: bytes, wanted: dict[str, str] | None = None) -> bytes:
    head: dict[str, object] = {"domain": route.domain}
    if wanted:
        head["filter"] = wanted
    return msgspec.json.encode(head)[:-1] + b',"data":' + body + b"}"


def _frame(head: dict[str, str], member: bytes) -> bytes:
    return msgspec.json.encode(head)[:-1] + b"," + member + b"}"
