"""The ``filter`` and ``options`` query parameters of FolkForm's generic routes (B4)."""

import operator
from collections.abc import Callable
from typing import Any

import msgspec

from connector.simulator.envelopes import Failure
from connector.simulator.store import Document, Item

Filter = dict[str, object]
MOST_FIELDS = 10
FORBIDDEN = ("password", "token", "secret", "key", "hash")
BAD_FILTER = "Filter không hợp lệ"
ATTRIBUTES = {
    "conversationId": "conversation_id",
    "pageId": "page_id",
    "pageUsername": "page_username",
    "customerId": "customer_id",
    "insertedAt": "inserted_at",
    "createdAt": "created_ms",
    "updatedAt": "updated_ms",
}


def _within(value: object, given: object) -> bool:
    return isinstance(given, list) and value in given


def _compared(test: Callable[[Any, Any], Any]) -> Callable[[object, object], bool]:
    def ordered(value: object, given: object) -> bool:
        return value is not None and type(value) is type(given) and bool(test(value, given))

    return ordered


OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "$eq": operator.eq,
    "$gt": _compared(operator.gt),
    "$gte": _compared(operator.ge),
    "$lt": _compared(operator.lt),
    "$lte": _compared(operator.le),
    "$in": _within,
    "$nin": lambda value, given: not _within(value, given),
    "$exists": lambda value, given: (value is not None) == bool(given),
}


def parse_filter(params: dict[str, list[str]]) -> Filter:
    """
    The filter of a call; absent means an empty one, which matches everything.

    Raises:
        Failure: as the backend refuses it.
    """
    try:
        found = msgspec.json.decode(params.get("filter", ["{}"])[-1], type=Filter)
    except msgspec.MsgspecError as error:
        raise Failure(400, "VAL_002", BAD_FILTER, str(error)) from None
    if len(found) > MOST_FIELDS or any(name.lower() in FORBIDDEN for name in found):
        raise Failure(400, "VAL_002", BAD_FILTER)
    for wanted in found.values():
        if isinstance(wanted, dict) and any(name not in OPERATORS for name in wanted):
            raise Failure(400, "VAL_002", BAD_FILTER)
    return found


def matches(row: Document | Item, wanted: Filter, message_id: str = "") -> bool:
    return all(_fits(_value(row, name, message_id), test) for name, test in wanted.items())


def _value(row: Document | Item, name: str, message_id: str) -> object:
    if name == "messageId":
        return message_id or None
    if name == "panCakeUpdatedAt" and isinstance(row, Document):
        return row.pan_updated_us // 1000
    first, _, rest = name.partition(".")
    if rest and first in ("panCakeData", "messageData"):
        return msgspec.json.decode(row.data, type=dict[str, object]).get(rest)
    return getattr(row, ATTRIBUTES.get(name, ""), None)


def _fits(value: object, test: object) -> bool:
    if isinstance(test, dict):
        return all(OPERATORS[name](value, given) for name, given in test.items())
    return value == test
