"""What the list endpoints show of a page: order, cursor and window, as Pancake does them."""

import bisect
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connector.simulator.inbox import Conversation, Message, Page, Place, inserted_place, updated_place
from connector.simulator.options import PancakeOptions

SECOND = 1_000_000


class CursorGoneError(Exception):
    """The cursor conversation does not exist, and the options say that this is an error."""


@dataclass(frozen=True, slots=True)
class Query:
    """One call of the conversations list; ``window`` is in seconds."""

    order_by: str = "updated_at"
    cursor: str = ""
    window: tuple[int, int] | None = None
    unread_first: bool = False
    types: frozenset[str] = frozenset()


def conversations(page: Page, query: Query, options: PancakeOptions) -> list[Conversation]:
    """
    One page of the list, newest first.

    Raises:
        CursorGoneError: see `PancakeOptions.cursor_missing`.
    """
    cursor = "" if options.cursor_ignored else query.cursor
    after = page.conversations.get(cursor)
    if cursor and after is None:
        if options.cursor_missing == "error":
            raise CursorGoneError
        if options.cursor_missing == "empty":
            return []
    if query.unread_first or query.types or query.window:
        return _filtered(page, query, options, after)
    places = page.by_inserted if query.order_by == "inserted_at" else page.by_updated
    end = len(places) if after is None else bisect.bisect_left(places, _place(after, query.order_by))
    newest_first = reversed(places[max(0, end - options.conversation_page) : end])
    return [page.conversations[place[2]] for place in newest_first]


def _place(conversation: Conversation, order_by: str) -> Place:
    return inserted_place(conversation) if order_by == "inserted_at" else updated_place(conversation)


def _filtered(
    page: Page, query: Query, options: PancakeOptions, after: Conversation | None
) -> list[Conversation]:
    places = page.by_inserted if query.order_by == "inserted_at" else page.by_updated
    listed = [page.conversations[place[2]] for place in reversed(places)]
    if query.unread_first:
        listed.sort(key=lambda c: c.seen)
    start = 0 if after is None else listed.index(after) + 1
    shown = [c for c in listed[start:] if _fits(c, query, options)]
    return shown[: options.conversation_page]


def _fits(conversation: Conversation, query: Query, options: PancakeOptions) -> bool:
    if query.types and conversation.kind not in query.types:
        return False
    if query.window is None:
        return True
    by = query.order_by if options.window_filters == "order_by" else options.window_filters
    at = conversation.inserted_us if by == "inserted_at" else conversation.updated_us
    since, until = query.window
    return since * SECOND <= at <= until * SECOND and not _left_out(conversation.id, options)


def _left_out(conversation_id: str, options: PancakeOptions) -> bool:
    if options.window_leaves_out <= 0:
        return False
    digest = hashlib.sha256(f"{options.seed}/{conversation_id}".encode()).digest()
    return digest[0] / 256 < options.window_leaves_out


def messages(
    held: Sequence[Message], current_count: int, now_us: int, options: PancakeOptions
) -> Iterable[Message]:
    """The block just older than the newest ``current_count`` messages; empty beyond the oldest."""
    if options.read_lag > 0:
        horizon = now_us - round(options.read_lag * SECOND)
        held = [m for m in held if m.arrived_us <= horizon]
    skipped = 0 if options.current_count_ignored else max(0, current_count)
    end = max(0, len(held) - skipped)
    block = held[max(0, end - options.message_page) : end]
    return reversed(block) if options.message_order == "newest_first" else block
