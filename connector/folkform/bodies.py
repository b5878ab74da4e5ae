"""Request bodies around objects that are passed on as they came: spliced, never parsed and printed again."""

from collections.abc import Iterator, Sequence

import msgspec

from connector.errors import RejectedError
from connector.model import Event, Kind

# contracts/folkform.md B12: 10 MiB pass exactly; the rest is for the frame around the objects.
MAX_BODY_BYTES = 10 * 2**20
_EMPTY = b"{}"


def conversation_body(event: Event) -> bytes:
    """The body of a conversation's upsert."""
    head = {"pageId": event.page_id, "pageUsername": event.page_username}
    if event.customer_id:
        head["customerId"] = event.customer_id
    return _frame(head, event.payload)


def message_bodies(lane: Sequence[Event]) -> Iterator[bytes]:
    """
    The bodies that carry one conversation's events, in order: one, unless it would grow too large.

    Raises:
        RejectedError: FolkForm would refuse all of it: the conversation has no customer.
    """
    newest = lane[-1]
    customer_id = next((event.customer_id for event in reversed(lane) if event.customer_id), "")
    if not customer_id:
        raise RejectedError(
            "missing_customer_id", "FolkForm stores no messages of a conversation without customer"
        )
    head = {
        "pageId": newest.page_id,
        "pageUsername": newest.page_username,
        "conversationId": newest.conversation_id,
        "customerId": customer_id,
    }
    threads = [event.payload for event in lane if event.kind is Kind.THREAD]
    thread = threads[-1] if threads else _EMPTY
    messages = [event.payload for event in lane if event.kind is Kind.MESSAGE]
    room = MAX_BODY_BYTES - len(_frame(head, _with_messages(thread, [])))
    for part in _parts(messages, room):
        yield _frame(head, _with_messages(thread, part))


def _parts(messages: Sequence[bytes], room: int) -> Iterator[Sequence[bytes]]:
    part: list[bytes] = []
    size = 0
    for message in messages:
        if part and size + len(message) + 1 > room:
            yield part
            part, size = [], 0
        part.append(message)
        size += len(message) + 1
    yield part


def _with_messages(thread: bytes, messages: Sequence[bytes]) -> bytes:
    inner = thread.strip()[1:-1].strip()
    comma = b"," if inner else b""
    return b"{" + inner + comma + b'"messages":[' + b",".join(messages) + b"]}"


def _frame(head: dict[str, str], data: bytes) -> bytes:
    return msgspec.json.encode(head)[:-1] + b',"panCakeData":' + data + b"}"
