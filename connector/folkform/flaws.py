"""
What FolkForm would silently skip, choke on for ever, or store in the wrong place: found before sending.

Sources: contracts/folkform.md B4, B6, B12; MongoDB's manual, limits (100 levels). Nothing is parsed unless
a scan over the bytes finds something suspicious: every event of every call passes here.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.model import Event, Kind

# A document may nest 100 levels, and an object stands one level down in it.
MOST_LEVELS = 99
# Digits alike and signs gone, a number beyond every float (1.8e308) must show one of these.
_ALIKE = bytes.maketrans(b"0123456789E", b"9999999999e")
_EXPONENT, _MANY_DIGITS = b"9e999", b"9" * 200
# What may stand before a number; nothing: its digits go on beyond the window.
_BEFORE_NUMBERS, _WINDOW = frozenset([b"", *(b"%c" % byte for byte in b"[:,- \t\r\n")]), 32
_NUL = b"\\u0000"
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NAME = re.compile(rb'("(?:[^"\\]|\\.)*")(\s*:)?', re.DOTALL)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why an event must not be sent: a word to group by, and a sentence without what is in the event."""

    reason: str
    message: str


class _Head(msgspec.Struct):
    id: Any = None


_HEAD = msgspec.json.Decoder(_Head).decode


def flaw_of(event: Event) -> Flaw | None:
    """The first reason not to send the event; None when there is none."""
    for found, flaw in CHECKS:
        if found(event):
            return flaw
    return None


def _like_object_id(event: Event) -> bool:
    return event.kind is Kind.CONVERSATION and _OBJECT_ID.fullmatch(event.conversation_id) is not None


def _no_object(event: Event) -> bool:
    return not event.payload.lstrip().startswith(b"{")


def _misnamed(event: Event) -> bool:
    # An element whose id is no text is skipped with a 200; a snapshot of another id renames a document.
    if event.kind is Kind.THREAD:
        return False
    wanted = event.message_id if event.kind is Kind.MESSAGE else event.conversation_id
    if not wanted:
        return True
    if b'"id":"' + wanted.encode(errors="replace") + b'"' in event.payload:
        return False
    try:
        found = _HEAD(event.payload).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Half a surrogate pair, or what the next checks name better.
        return False
    return bool(found != wanted)


def _too_large_number(event: Event) -> bool:
    alike = event.payload.translate(_ALIKE, b"+")
    suspicious = _MANY_DIGITS in alike or any(map(_BEFORE_NUMBERS.__contains__, _before_exponents(alike)))
    return suspicious and any(map(math.isinf, _numbers(event.payload)))


def _before_exponents(alike: bytes) -> Iterator[bytes]:
    # Hexadecimal ids are full of 9e999 too, but what stands before their digits begins no number.
    at = alike.find(_EXPONENT)
    while at >= 0:
        yield alike[max(0, at - _WINDOW) : at + 1].rstrip(b"9.")[-1:]
        at = alike.find(_EXPONENT, at + 1)


def _numbers(payload: bytes) -> Iterator[float]:
    return (float(found[0]) for found in _NUMBER.finditer(_TEXT.sub(b'""', payload)))


def _nul_in_name(event: Event) -> bool:
    return _NUL in event.payload and any("\0" in json.loads(name) for name in _names(event.payload))


def _names(payload: bytes) -> Iterator[bytes]:
    return (found[1] for found in _NAME.finditer(payload) if found[2] and _NUL in found[1])


def _too_deep(event: Event) -> bool:
    payload = event.payload
    return payload.count(b"{") + payload.count(b"[") > MOST_LEVELS and _levels(payload) > MOST_LEVELS


def _levels(payload: bytes) -> int:
    level = deepest = 0
    for byte in _TEXT.sub(b"", payload):
        level += (byte in b"{[") - (byte in b"}]")
        deepest = max(deepest, level)
    return deepest


CHECKS: Sequence[tuple[Callable[[Event], bool], Flaw]] = (
    (
        _like_object_id,
        Flaw(
            "id_like_object_id",
            "FolkForm takes 24 hexadecimal digits for an id of its own: each write inserts",
        ),
    ),
    (_no_object, Flaw("not_an_object", "the payload is not a JSON object")),
    (_misnamed, Flaw("id_mismatch", "the object's own id is not the text that the event names")),
    (_too_large_number, Flaw("number_out_of_range", "a number is larger than any that FolkForm can store")),
    (_nul_in_name, Flaw("nul_in_name", "the name of a field holds a NUL, which FolkForm's database refuses")),
    (_too_deep, Flaw("nested_too_deep", f"it nests deeper than {MOST_LEVELS} levels")),
)
