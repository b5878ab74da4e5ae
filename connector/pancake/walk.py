"""One conversation's messages, newest page first, until what is known already. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from connector.pancake.climb import Climb
from connector.pancake.state import FINGERPRINT, ID_PART, SUM_OF, ConversationState, WalkState, split
from connector.pancake.steps import Listed, Seen

TAIL_MESSAGES = 32
REWINDS = 12  # how often a walk looks for the place that it lost before it is given up


@dataclass(slots=True)
class Walk:
    """
    How far reading a conversation has come.

    ``skip`` is what the next call gives as ``current_count``. Each page but the first asks for one message
    again: only a page that shows one that was met is known to join on, whatever vanished or came meanwhile.
    ``done``: read to its end. ``stuck``: it has no end that can be found. ``resumed``: after an interruption.
    ``counted``: for how many what is known stands; ``arrived`` counts messages whose id is new, ``changed``
    what was published. ``quiet``: only the digest is wanted, publish nothing.
    """

    target: Listed
    before: ConversationState
    quiet: bool = False
    from_oldest: bool = False
    skip: int = 0
    thread: bytes = b""
    done: bool = False
    stuck: bool = False
    reached: bool = False
    resumed: bool = False
    counted: int = 0
    arrived: int = 0
    changed: int = 0
    _met: set[str] = field(default_factory=set)
    _first: frozenset[str] = frozenset()
    _differed: bool = False
    _repeated: int = 0
    _refuted: bool = False
    _back: int = 0
    _sum: int = 0
    _digest: int = 0
    _jumped: int = 0
    _turned_at: int = 0
    _rewinds: int = 0
    _may_jump: bool = True
    _exact: bool = True
    _tail: bytes = b""
    _edge: bytes = b""
    _awaited: frozenset[bytes] = frozenset()
    _known: frozenset[bytes] = frozenset()
    _partial: frozenset[bytes] = frozenset()
    _held: dict[bytes, bytes] = field(default_factory=dict)
    _climb: Climb | None = None

    @classmethod
    def begin(
        cls, target: Listed, before: ConversationState, *, quiet: bool = False, from_oldest: bool = False
    ) -> "Walk":
        """Begin at the newest message; what ``before`` remembers need not be published again."""
        walk = cls(target, before, quiet, from_oldest, thread=before.thread)
        if quiet:
            return walk
        # Messages of a conversation without a customer are refused by the target: once there is one,
        # all of them are due again.
        if before.read and (before.customer or not target.customer_id):
            walk._known, walk._digest = split(before.tail), before.digest
            walk.counted = before.count
        if (part := before.walk) and (part.customer or not target.customer_id):
            walk._partial, walk._digest = split(part.tail) | split(part.edge), part.digest
            walk.arrived, walk.resumed = part.arrived, True
        walk._held = {known[:ID_PART]: known for known in walk._known | walk._partial}
        return walk

    @property
    def ended(self) -> bool:
        return self.done or self.stuck

    @property
    def climbed(self) -> bool:
        """Whether the end was found by counting from the oldest message."""
        return self._climb is not None

    @property
    def whole(self) -> bool:
        """Whether it was shown every message, once it is done."""
        return not self.reached and not self._jumped and self._exact

    @property
    def empty(self) -> bool:
        """Whether not one message is listed."""
        return not self._met

    @property
    def digest(self) -> int:
        """The sum over everything that this walk was shown; of the whole conversation once it is done."""
        return self._sum

    def take(self, page: Sequence[Seen], shown: int, longest: int) -> Sequence[int]:
        """
        Note one page of messages and return which of them (by index) are to be published.

        ``shown``: how many there were, those without an id included. ``longest``: the longest page this
        source has shown. The order inside a page means nothing (contracts A6: both orders were seen).
        """
        if self._climb is not None:
            return self._take_climbing(self._climb, page)
        ids = frozenset(seen.id for seen in page)
        if self.skip and not self._joins(page, ids):
            self._lost(shown, longest)
            return []
        unmet = [at for at, seen in enumerate(page) if seen.id not in self._met]
        new = self._note(page, unmet)
        self._met |= ids
        # Not of those that were met: one may have been edited since, and that is not published.
        self._edge = b"".join(page[at].fingerprint for at in unmet) or self._edge
        self._judge(page, ids, unmet, shown, longest)
        return new

    def _judge(
        self, page: Sequence[Seen], ids: frozenset[str], unmet: Sequence[int], shown: int, longest: int
    ) -> None:
        """Whether that was the end, and where to go on if not."""
        first, held = not self._first, len(self._met) + self._jumped
        if first:
            self._first = ids
        met = {page[at].fingerprint for at in unmet}
        self.reached = self.reached or bool(met & self._known)
        short = shown < longest and held >= self.target.count
        if not (unmet or first) and shown >= longest and self._repeats(ids, held, shown, longest):
            return
        self._differed = self._differed or ids != self._first
        self.done = not unmet or self.reached or short
        self.skip = max(1, self.skip + shown - 1)
        if not self.done and self.from_oldest and first:
            self._turn(longest, self.skip)
        elif not self.done and met & self._partial and self._may_jump:
            self._jump()

    def _repeats(self, ids: frozenset[str], held: int, shown: int, longest: int) -> bool:
        """
        A full page without anything new: not the end yet, for an end shows what was met and no more.

        So many messages came since the last page that they pushed it all down; then the next one tells. Or
        there is no next one: a server that was never seen to show anything but its newest page ignores
        what it is asked, and one that shows it after others counts from the oldest: this was beyond the end.
        """
        newest = ids == self._first
        if newest and self._differed and not self._refuted:
            self._turn(longest, self.skip + shown - 1)
            return True
        self._repeated += 1
        alone = newest and not self._differed
        if alone and self._repeated > 1 and held == self.target.count:
            return False
        self.skip += shown - 1
        self.stuck = self._repeated > (1 if alone else REWINDS)
        return True

    def _joins(self, page: Sequence[Seen], ids: frozenset[str]) -> bool:
        if self._awaited:
            found = any(seen.fingerprint in self._awaited for seen in page)
            if found:
                self._awaited = frozenset()
            return found
        return not ids.isdisjoint(self._met)

    def _note(self, page: Sequence[Seen], unmet: Sequence[int]) -> Sequence[int]:
        new = []
        for at in unmet:
            print_ = page[at].fingerprint
            self._sum = (self._sum + int.from_bytes(print_, "big")) % SUM_OF
            if len(self._tail) < TAIL_MESSAGES * FINGERPRINT:
                self._tail += print_
            if self.quiet or print_ in self._known or print_ in self._partial:
                continue
            old = self._held.get(print_[:ID_PART])
            self.arrived += old is None
            self._digest = (
                self._digest + int.from_bytes(print_, "big") - int.from_bytes(old or b"", "big")
            ) % SUM_OF
            new.append(at)
        self.changed += len(new)
        return new

    def _lost(self, shown: int, longest: int) -> None:
        """The page does not join on: something vanished, or the offset does not mean what we think."""
        self._rewinds += 1
        if self._awaited:
            # The jump landed beside the block that it was to meet: read on from where it began.
            self._awaited, self.skip, self._jumped = frozenset(), self._turned_at, 0
        elif shown == 0 and self.skip == 1 and len(self._met) == 1:
            self.done = True
        elif self._rewinds > REWINDS:
            self.stuck = True
        elif self.skip > 1:
            self.skip = max(1, self.skip - max(1, longest - 1))
        elif shown == 1 and not self._refuted:
            # All but the newest was asked for, and one message came: it counts from the oldest.
            self._turn(longest, 0)
        else:
            self.skip, self._sum, self._tail, self._exact = 0, 0, b"", False
            self._met.clear()

    def _turn(self, longest: int, back: int) -> None:
        """Count from the oldest; ``back``: where to go on if that turns out to be wrong."""
        self._climb, self._back = Climb(longest), back
        self.skip = self._climb.ask

    def _take_climbing(self, climb: Climb, page: Sequence[Seen]) -> Sequence[int]:
        unmet = [at for at, seen in enumerate(page) if seen.id not in self._met | climb.chain]
        joined = climb.take([seen.id for seen in page], self._met)
        if climb.refuted:
            self._climb, self.skip, self._refuted = None, self._back, True
            return []
        self.done, self.stuck, self.skip = climb.arrived, climb.stuck, climb.ask
        return self._note(page, unmet) if joined else []

    def _jump(self) -> None:
        # An interrupted walk had published a block of the newest messages. Those that came since push its
        # end further down, but how many came is not known: an edited message looks like a new one. So
        # some of the block are read again, and one of its last page must be met there.
        part = self.before.walk
        if part is None or part.taken - 1 <= self.skip:
            return
        self._turned_at, self._jumped = self.skip, part.taken - 1 - self.skip
        self.skip, self._edge, self._may_jump = part.taken - 1, part.edge, False
        self._awaited = split(part.edge)

    def state(self) -> ConversationState:
        """What may be remembered once everything taken so far is published."""
        if self.quiet:
            return self.before
        if not self.done:
            customer = bool(self.target.customer_id)
            counted_down = self._climb is None and not self._repeated
            taken = self.skip + 1 if counted_down else len(self._met)
            edge = self._edge[: TAIL_MESSAGES * FINGERPRINT]
            part = WalkState(taken, self._tail, edge, customer, self._digest, self.arrived)
            return replace(self.before, thread=self.thread, walk=part)
        whole = self.whole
        seen = self.target
        return ConversationState(
            seen.updated_at,
            seen.count,
            seen.customer_id or self.before.customer,
            seen.snapshot,
            seen.rest,
            self.thread,
            self._tail,
            self._sum if whole else self._digest,
            exact=whole or (self.before.exact and self.before.walk is None),
            read=True,
        )
