"""One conversation's messages, newest page first, until what is known already. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.pancake.state import ConversationState, WalkState, split

TAIL_MESSAGES = 32


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation as a list showed it."""

    id: str
    customer_id: str
    updated_at: int
    count: int
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as a page showed it: its id, and what stands for it in this state."""

    id: str
    fingerprint: bytes


@dataclass(slots=True)
class Walk:
    """
    How far reading a conversation has come.

    ``skip`` is Pancake's ``current_count``: how many of the newest messages are not wanted again.
    """

    target: Listed
    before: ConversationState
    skip: int = 0
    thread: bytes = b""
    done: bool = False
    _met: set[str] = field(default_factory=set)
    _jumped: int = 0
    _tail: bytes = b""
    _known: frozenset[bytes] = frozenset()
    _partial: frozenset[bytes] = frozenset()

    @classmethod
    def begin(cls, target: Listed, before: ConversationState) -> "Walk":
        """Begin at the newest message; what ``before`` remembers need not be published again."""
        walk = cls(target, before, thread=before.thread)
        # Messages of a conversation without a customer are refused by the target: once there is one,
        # all of them are due again.
        if before.customer or not target.customer_id:
            walk._known = split(before.tail)
        if before.walk and (before.walk.customer or not target.customer_id):
            walk._partial = split(before.walk.tail)
        return walk

    def take(self, page: Sequence[Seen], page_size: int) -> Sequence[int]:
        """
        Note one page of messages and return which of them (by index) are new or changed.

        ``page_size``: the longest page this source has shown. ``done`` tells whether more must follow.
        The order inside a page means nothing (contracts A6: both orders were seen).
        """
        unmet = [at for at, seen in enumerate(page) if seen.id not in self._met]
        new = [at for at in unmet if page[at].fingerprint not in self._known | self._partial]
        self._met |= {seen.id for seen in page}
        self.skip += len(page)
        if len(self._tail) < TAIL_MESSAGES * 8:
            self._tail += b"".join(page[at].fingerprint for at in unmet)
        met = {page[at].fingerprint for at in unmet}
        if met & self._partial and not self._jumped:
            self._jump()
        reached = bool(met & self._known)
        short = len(page) < page_size and len(self._met) + self._jumped >= self.target.count
        self.done = not unmet or reached or short
        return new

    def _jump(self) -> None:
        # An interrupted walk had published a block of the newest messages. Those that came since push its
        # end further down, but how many came is not known: an edited message looks like a new one. So
        # some of the block are read again. One message of overlap, in case one above it has vanished.
        taken = self.before.walk.taken if self.before.walk else 0
        self._jumped = max(0, taken - 1 - self.skip)
        self.skip += self._jumped

    def state(self) -> ConversationState:
        """What may be remembered once everything taken so far is published."""
        if not self.done:
            old = self.before
            return ConversationState(
                old.updated_at,
                old.count,
                old.customer,
                old.snapshot,
                self.thread,
                old.tail,
                WalkState(self.skip, self._tail, bool(self.target.customer_id)),
            )
        seen = self.target
        return ConversationState(
            seen.updated_at, seen.count, bool(seen.customer_id), seen.snapshot, self.thread, self._tail
        )
