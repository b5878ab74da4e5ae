"""What the list endpoints show of a page: order, cursor, window and offset, in every way that may be true."""

import bisect
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from connector.simulator.inbox import Conversation, Message, Page, Place, inserted_place, updated_place
from connector.simulator.options import PancakeOptions

SECOND = 1_000_000


class CursorGoneError(Exception):
    """The cursor conversation is not where it was, and the options say that this is an error."""


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
        CursorGoneError: see `PancakeOptions.cursor_missing` and `PancakeOptions.cursor_moved`.
    """
    after = None if options.cursor_ignored or not query.cursor else _cursor(page, query, options)
    if after == NOTHING:
        return []
    if _is_plain(query, options):
        found = _plain(page, query, options, after)
    else:
        found = _chosen(page, query, options, after)
    if found and options.cursor_moved != "follow":
        page.borders[query.order_by, found[-1].id] = _place(found[-1], query.order_by)
    return found


NOTHING: Place = (0, 0, "")


def _cursor(page: Page, query: Query, options: PancakeOptions) -> Place | None:
    """The place to go on behind; None is before the first, NOTHING behind the last."""
    conversation = page.conversations.get(query.cursor)
    if conversation is None:
        return _unless_error(options.cursor_missing)
    place = _place(conversation, query.order_by)
    before = page.borders.get((query.order_by, query.cursor), place)
    if options.cursor_moved == "follow" or query.order_by == "inserted_at" or before == place:
        return place
    return before if options.cursor_moved == "stay" else _unless_error(options.cursor_moved)


def _unless_error(mode: str) -> Place | None:
    if mode == "error":
        raise CursorGoneError
    return NOTHING if mode == "empty" else None


def _is_plain(query: Query, options: PancakeOptions) -> bool:
    asked = query.unread_first or query.types or query.window
    return not (asked or options.always_unread_first or options.list_leaves_out > 0)


def _plain(page: Page, query: Query, options: PancakeOptions, after: Place | None) -> list[Conversation]:
    places = page.by_inserted if query.order_by == "inserted_at" else page.by_updated
    end = len(places)
    if after is not None:
        cut = bisect.bisect_right if options.cursor_inclusive else bisect.bisect_left
        end = cut(places, after)
    newest_first = reversed(places[max(0, end - options.conversation_page) : end])
    return [page.conversations[place[2]] for place in newest_first]


def _chosen(page: Page, query: Query, options: PancakeOptions, after: Place | None) -> list[Conversation]:
    """The same where what is shown is not simply what stands next."""
    places = page.by_inserted if query.order_by == "inserted_at" else page.by_updated
    listed = list(reversed(places))
    if query.unread_first or options.always_unread_first:
        listed.sort(key=lambda place: page.conversations[place[2]].seen)
    start = 0
    if after is not None:
        # A place that nobody stands at any more is one that its conversation has left upwards.
        same = next((at for at, place in enumerate(listed) if place == after), None)
        older = next((at for at, place in enumerate(listed) if place < after), len(listed))
        start = older if same is None else same + (not options.cursor_inclusive)
    shown = (page.conversations[place[2]] for place in listed[start:])
    return [c for c in shown if _fits(c, query, options)][: options.conversation_page]


def _place(conversation: Conversation, order_by: str) -> Place:
    return inserted_place(conversation) if order_by == "inserted_at" else updated_place(conversation)


def _fits(conversation: Conversation, query: Query, options: PancakeOptions) -> bool:
    if query.types and conversation.kind not in query.types:
        return False
    if query.order_by != "inserted_at" and left_out(conversation.id, options.list_leaves_out, options.seed):
        return False
    if query.window is None:
        return True
    by = query.order_by if options.window_filters == "order_by" else options.window_filters
    at = conversation.inserted_us if by == "inserted_at" else conversation.updated_us
    since, until = query.window
    inside = since * SECOND <= at <= until * SECOND
    return inside and not left_out(conversation.id, options.window_leaves_out, options.seed)


def left_out(conversation_id: str, share: float, seed: int) -> bool:
    """Whether this conversation is of the share that a list does not show; always the same ones."""
    if share <= 0:
        return False
    digest = hashlib.sha256(f"{seed}/{conversation_id}".encode()).digest()
    return digest[0] / 256 < share


def messages(
    held: Sequence[Message], current_count: int, now_us: int, options: PancakeOptions
) -> Iterable[Message]:
    """The block that ``current_count`` asks for; empty beyond the oldest."""
    if options.read_lag > 0:
        held = as_listed(held, now_us - round(options.read_lag * SECOND))
    end = _end(len(held), current_count, options)
    block = held[max(0, end - options.message_page) : end]
    return reversed(block) if options.message_order == "newest_first" else block


def _end(held: int, current_count: int, options: PancakeOptions) -> int:
    """The place in front of which the block ends, counted from the oldest message."""
    if options.current_count_ignored or current_count <= 0:
        return held
    return max(0, held - current_count) if options.current_count_from == "newest" else current_count


def as_listed(held: Sequence[Message], horizon_us: int) -> Sequence[Message]:
    """The messages as a reader that lags behind sees them: the new ones missing, the edits not made."""
    return [
        replace(m, data=m.before) if m.changed_us > horizon_us else m
        for m in held
        if m.arrived_us <= horizon_us
    ]
