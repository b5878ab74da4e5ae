"""What the scanner remembers of a page and of each conversation: small, and true whenever it was saved."""

import msgspec

FINGERPRINT = 8


class PageState(msgspec.Struct, omit_defaults=True):
    """
    Where a page stands. Each field is a claim about what is published and acknowledged.

    ``watermark``: every change up to this moment (UTC ms) that the back-fill does not still owe.
    ``after``: the back-fill has published everything listed before and including this conversation.
    ``holes``: conversations that could not be read, with their customer; they are tried again.
    """

    watermark: int = 0
    after: str = ""
    backfilled: bool = False
    holes: dict[str, str] = msgspec.field(default_factory=dict)


class WalkState(msgspec.Struct, omit_defaults=True):
    """
    A walk that was interrupted: the newest ``taken`` messages are published; ``tail`` tells the newest.

    ``customer``: they were published with a customer.
    """

    taken: int = 0
    tail: bytes = b""
    customer: bool = False


class ConversationState(msgspec.Struct, omit_defaults=True):
    """
    The snapshot up to which a conversation's messages are published.

    ``tail`` holds the fingerprints of the newest page of messages: whoever meets one of them knows
    that everything behind it was published before.
    """

    updated_at: int = 0
    count: int = 0
    customer: bool = False
    snapshot: bytes = b""
    thread: bytes = b""
    tail: bytes = b""
    walk: WalkState | None = None


def encode(state: PageState | ConversationState) -> bytes:
    """MessagePack: half the size of JSON, and a million of these are held in memory."""
    return msgspec.msgpack.encode(state)


def decode_page(raw: bytes) -> PageState:
    """Raises msgspec.DecodeError when it is none."""
    return msgspec.msgpack.decode(raw, type=PageState)


def decode_conversation(raw: bytes | None) -> ConversationState | None:
    """None for None. Raises msgspec.DecodeError when it is no state."""
    return None if raw is None else msgspec.msgpack.decode(raw, type=ConversationState)


def split(tail: bytes) -> frozenset[bytes]:
    """The fingerprints in a tail."""
    return frozenset(tail[at : at + FINGERPRINT] for at in range(0, len(tail), FINGERPRINT))
