"""
What the scanner remembers of a page and of each conversation: small, and true whenever it was saved.

Every state begins with a byte that names its layout. One that this version does not know is no state:
the page or the conversation is read again, and nothing is skipped.
"""

import enum
import re
import struct
from dataclasses import dataclass

import msgspec

LAYOUT = 2
FINGERPRINT = 7
ID_PART = 3  # of a fingerprint: tells an edited message from a new one
SUM_OF = 1 << 8 * FINGERPRINT

# layout, flags, updated_at (its upper and lower part), count, snapshot, rest, thread, digest
_HEAD = struct.Struct(">BBHII8s4s6s7s")
_PART = struct.Struct(">H")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UUID_BYTES = 16
_CUSTOMER, _VANISHED, _EXACT, _OWED, _WALK, _READ = 1, 2, 4, 8, 16, 32


class Reason(enum.IntEnum):
    """Why a conversation's messages are still to be read. The numbers are saved: never reuse one."""

    BACKFILL = 1  # listed by the back-fill, not read yet
    MISSED = 2  # a reconcile found that it differs from what was published
    UNREADABLE = 3  # reading it failed again and again while others could be read
    OFFSET_IGNORED = 4  # its list of messages shows the newest page whatever is asked for
    CUSTOMER_REQUIRED = 5  # its messages are not to be had without a customer, and it names none
    GONE = 6  # Pancake listed it and then did not know it
    LAG = 7  # it moved, and what moved it is not listed yet
    DEEP = 8  # it moved, and nothing in its newest messages tells why


HOLES = frozenset({Reason.UNREADABLE, Reason.OFFSET_IGNORED, Reason.CUSTOMER_REQUIRED})


class Owed(msgspec.Struct, array_like=True, frozen=True):
    """
    A promise to read a conversation as a list showed it: with this count, up to this moment.

    ``missing``: messages that were counted and not found. ``deep``: reading its newest messages does not
    pay it. Times are UTC milliseconds.
    """

    reason: Reason
    customer_id: str
    updated_at: int
    count: int
    since: int
    due: int = 0
    tries: int = 0
    missing: int = 0
    deep: bool = False


class WalkState(msgspec.Struct, array_like=True, frozen=True):
    """
    A walk that was interrupted: the newest ``taken`` messages are published.

    ``tail`` holds the fingerprints of the newest page of them, ``edge`` those of the oldest.
    ``customer``: they were published with one. ``digest``: as of the conversation. ``arrived``: how many
    of them had an id that was not known before.
    """

    taken: int
    tail: bytes
    edge: bytes
    customer: bool
    digest: int
    arrived: int = 0


@dataclass(frozen=True, slots=True)
class ConversationState:
    """
    The listing up to which a conversation's messages are published, once it was ``read`` to its end.

    ``snapshot`` is the hash of the object published last, ``rest`` of it without its moment and count.
    ``tail`` holds the fingerprints of the newest page of messages: whoever meets one of them knows that
    everything behind it was published before. ``digest`` is the sum of the fingerprints of all messages,
    in any order; ``exact`` tells whether it can be compared with what is listed.
    """

    updated_at: int = 0
    count: int = 0
    customer: str = ""
    snapshot: bytes = b""
    rest: bytes = b""
    thread: bytes = b""
    tail: bytes = b""
    digest: int = 0
    exact: bool = False
    read: bool = False
    vanished: bool = False
    walk: WalkState | None = None
    owed: Owed | None = None


def encode(state: ConversationState) -> bytes:
    """A few dozen bytes and seven for each message of the newest page."""
    flags = (
        _CUSTOMER * bool(state.customer)
        | _VANISHED * state.vanished
        | _EXACT * state.exact
        | _READ * state.read
        | _OWED * (state.owed is not None)
        | _WALK * (state.walk is not None)
    )
    head = _HEAD.pack(
        LAYOUT,
        flags,
        state.updated_at >> 32,
        state.updated_at & 0xFFFFFFFF,
        state.count,
        state.snapshot,
        state.rest,
        state.thread,
        state.digest.to_bytes(FINGERPRINT, "big"),
    )
    parts = [_customer(state.customer)] if state.customer else []
    parts += [msgspec.msgpack.encode(part) for part in (state.owed, state.walk) if part is not None]
    return head + b"".join(_PART.pack(len(part)) + part for part in parts) + state.tail


def decode_conversation(raw: bytes | None) -> ConversationState | None:
    """None for None, and for bytes that are no state of this layout."""
    if raw is None or len(raw) < _HEAD.size or raw[0] != LAYOUT:
        return None
    _, flags, upper, lower, count, snapshot, rest, thread, digest = _HEAD.unpack_from(raw)
    at = _HEAD.size
    customer, owed, walk = "", None, None
    try:
        if flags & _CUSTOMER:
            part, at = _cut(raw, at)
            customer = _named(part)
        if flags & _OWED:
            part, at = _cut(raw, at)
            owed = msgspec.msgpack.decode(part, type=Owed)
        if flags & _WALK:
            part, at = _cut(raw, at)
            walk = msgspec.msgpack.decode(part, type=WalkState)
    except (msgspec.DecodeError, struct.error, UnicodeDecodeError):
        return None
    return ConversationState(
        upper << 32 | lower,
        count,
        customer,
        _some(snapshot),
        _some(rest),
        _some(thread),
        raw[at:],
        int.from_bytes(digest, "big"),
        bool(flags & _EXACT),
        bool(flags & _READ),
        bool(flags & _VANISHED),
        walk,
        owed,
    )


def _customer(name: str) -> bytes:
    """A UUID in 16 bytes, for nearly all are one; any other name as it is, and never of that length."""
    if _UUID.fullmatch(name):
        return bytes.fromhex(name.replace("-", ""))
    text = name.encode()
    return text if len(text) != UUID_BYTES else text + b"\0"


def _named(part: bytes) -> str:
    if len(part) != UUID_BYTES:
        return part.rstrip(b"\0").decode()
    digits = part.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _some(hashed: bytes) -> bytes:
    return hashed if any(hashed) else b""


def _cut(raw: bytes, at: int) -> tuple[bytes, int]:
    start = at + _PART.size
    end = start + _PART.unpack_from(raw, at)[0]
    return raw[start:end], end


def owes(raw: bytes) -> bool:
    """Whether an encoded state says that something is owed; a look at two bytes, for there are many."""
    return len(raw) >= _HEAD.size and raw[0] == LAYOUT and bool(raw[1] & _OWED)


class BackfillState(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    ``after``: everything listed before and including this conversation is published or owed.

    ``pace``: thousandths of a call a second, as measured.
    """

    after: str = ""
    ended: bool = False
    since: int = 0
    listed: int = 0
    owed: int = 0
    calls: int = 0
    pace: int = 0


class ReconcileState(msgspec.Struct, frozen=True, omit_defaults=True):
    """``since``: of the walk under way, 0 for none. ``passes``: how many came to their end."""

    due: int = 0
    since: int = 0
    ended: int = 0
    passes: int = 0
    found: int = 0
    healed: int = 0
    vanished: int = 0


class PageState(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Where a page stands. Each field is a claim about what is published and acknowledged.

    ``watermark``: every change up to this moment of Pancake's clock, that neither the back-fill nor
    ``debts`` still owe. ``proved``: our own clock when the list was read that proves it. ``scanning``:
    since when a live scan has been trying to come through. ``debts`` are the recent ones, and the oldest
    holes of ``holes`` open ones; ``broken`` lists that do not come to an end, and since when.
    ``generation`` grows when somebody rewinds the page on purpose.
    """

    generation: int = 0
    watermark: int = 0
    proved: int = 0
    scanning: int = 0
    backfill: BackfillState = BackfillState()
    reconcile: ReconcileState = ReconcileState()
    debts: dict[str, Owed] = {}
    holes: int = 0
    rereads: int = 0
    broken: dict[str, int] = {}


def encode_page(state: PageState) -> bytes:
    return bytes([LAYOUT]) + msgspec.msgpack.encode(state)


def decode_page(raw: bytes) -> PageState:
    """Raises msgspec.DecodeError when it is none of this layout."""
    if raw[:1] != bytes([LAYOUT]):
        raise msgspec.DecodeError("a page's state of another layout")
    return msgspec.msgpack.decode(raw[1:], type=PageState)


def merge_pages(one: PageState, other: PageState) -> PageState:
    """
    Which of two claims about a page to go on from: the further one.

    Each was true when it was written and stays true, so either would do; the choice must only be the same
    whichever comes first.
    """
    return max(one, other, key=_reach)


def _reach(state: PageState) -> tuple[int, int, bool, int, int, bytes]:
    backfill = state.backfill
    return (
        state.generation,
        state.watermark,
        backfill.ended,
        backfill.listed,
        state.proved,
        encode_page(state),
    )


def merge_conversations(one: bytes, other: bytes) -> bytes:
    """As ``merge_pages``, of encoded states; what cannot be read says nothing."""
    return max(one, other, key=_weight)


def _weight(raw: bytes) -> tuple[bool, int, int, bool, bytes]:
    state = decode_conversation(raw)
    if state is None:
        return False, 0, 0, False, raw
    seen = state.owed or state
    return True, seen.updated_at, seen.count, state.owed is not None, raw


def split(tail: bytes) -> frozenset[bytes]:
    """The fingerprints in a tail."""
    return frozenset(tail[at : at + FINGERPRINT] for at in range(0, len(tail), FINGERPRINT))
