"""What the scanner may ask for, and what it is shown. Frozen values; no rule lives here."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.model import Origin
from connector.pancake.state import ConversationState


class Mode(enum.StrEnum):
    """Which scan a list belongs to."""

    LIVE = "live"
    BACKFILL = "backfill"
    RECONCILE = "reconcile"

    @property
    def order(self) -> str:
        """How Pancake sorts the list: only ``inserted_at`` stands still while it is paged."""
        return "updated_at" if self is Mode.LIVE else "inserted_at"

    @property
    def origin(self) -> Origin:
        return Origin(self.value)


@dataclass(frozen=True, slots=True)
class Listed:
    """
    A conversation as a list showed it.

    ``snapshot`` is the hash of all of it, ``rest`` of all but its moment and its count.
    """

    id: str
    customer_id: str
    updated_at: int
    count: int
    snapshot: bytes
    rest: bytes = b""


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as a page showed it: its id, and what stands for it in this state."""

    id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class ListStep:
    """Ask for the page of conversations behind ``after`` (empty: the first)."""

    mode: Mode
    after: str


@dataclass(frozen=True, slots=True)
class MessagesStep:
    """Ask for a page of a conversation's messages, without its newest ``skip``."""

    target: Listed
    skip: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class SettleStep:
    """Nothing to ask: save the page's position."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class OweStep:
    """Nothing to ask: save that this conversation could not be read, so that its scan may go on."""

    conversation_id: str


ScanStep = ListStep | MessagesStep | SettleStep | OweStep


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How often, in seconds.

    ``interval``, ``slowest``: between live scans, at their fastest and slowest. ``overlap``: how far behind
    the watermark each of them reads again. ``reconcile``: between one and the next, 0 for none.
    ``deep_every``: in so many reconciles each conversation is read to its end once; 0 never.
    """

    interval: float
    overlap: float
    slowest: float = 0.0
    reconcile: float = 0.0
    deep_every: int = 30


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shortest full pages that were ever documented: of messages, and of conversations."""

    messages: int = 20  # contracts A6
    conversations: int = 25  # contracts A5


@dataclass(frozen=True, slots=True)
class Findings:
    """
    What a page of conversations brought, by index: changed snapshots, and conversations that came back.

    ``remembered``: the states to save with them.
    """

    changed: Sequence[int]
    returned: Sequence[int]
    remembered: Mapping[str, ConversationState]
