"""
What to read next of one page, and what may be remembered of it. Pure: events in, steps out.

Two scans share the page. The *live scan* walks the list by ``updated_at`` from the newest down to the
watermark; the *back-fill* walks it by ``inserted_at`` to the end, once. Each holds one page of results
open at a time; its position moves when every conversation on it is published and saved.
"""

import enum
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from connector.model import Origin
from connector.pancake.state import ConversationState, PageState, decode_conversation, encode
from connector.pancake.walk import Listed, Seen, Walk

SMALLEST_PAGE = 20  # the shortest full page of messages that was ever documented (contracts A6)
STUCK_SECONDS = 60.0
STUCK_TRIES = 3
HOLE_TRIES = 8
HOLE_TRIES_AT_MOST = 24  # with the waits between them, over ten minutes
HOLE_SECONDS = 300.0
FULL_LIST = 25  # the shortest full page of conversations that any client ever assumed (contracts A5)
CURSOR_TRIES = 3
MENDING = Origin.RECONCILE


class Mode(enum.StrEnum):
    """Which scan a list belongs to; live goes first."""

    LIVE = "updated_at"
    BACKFILL = "inserted_at"

    @property
    def origin(self) -> Origin:
        return Origin.LIVE if self is Mode.LIVE else Origin.BACKFILL


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


ScanStep = ListStep | MessagesStep | SettleStep


@dataclass(slots=True)
class Listing:
    """One page of results, open until its conversations are published and saved."""

    pending: set[str]
    after: str
    last: bool
    stuck: bool = False
    saved: bool = False
    settling: bool = False


@dataclass(slots=True)
class Progress:
    """
    How one of the two scans stands.

    ``anchor``: the cursor of the page before. ``doubted``: a cursor behind which nothing was, and
    which may be gone. ``length``: of the last page that held something; None before the first.
    """

    after: str = ""
    due_at: float = 0.0
    started_at: float = 0.0
    asking: bool = False
    listing: Listing | None = None
    met: set[str] = field(default_factory=set)
    top: int = 0
    stuck: int = 0
    anchor: str = ""
    doubted: str = ""
    length: int | None = None
    refused: int = 0
    progress_at_refusal: int = -1
    queue: deque[str] = field(default_factory=deque)


@dataclass(slots=True)
class Job:
    """A walk under way, and who waits for it."""

    walk: Walk
    origin: Origin
    newer: Listed | None = None
    tries: int = 0
    alone: int = 0
    progress_at_failure: int = -1


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between live scans, and how far behind the watermark each of them reads again."""

    interval: float
    overlap: float


class PageScan:
    """The scanner of one page."""

    def __init__(self, state: PageState, conversations: MutableMapping[str, bytes], pace: Pace) -> None:
        """``conversations``: the encoded state of each; kept encoded, for there may be a million."""
        self.state = state
        self.passes = 0
        self._given_up: set[Mode] = set()
        self._conversations = conversations
        self._pace = pace
        self._scans = {Mode.LIVE: Progress(), Mode.BACKFILL: Progress(after=state.after)}
        self._jobs: dict[str, Job] = {}
        self._loose: deque[str] = deque()
        self._repair_at = 0.0
        self._page_size = SMALLEST_PAGE
        self._saves = 0

    @property
    def caught_up(self) -> bool:
        """Whether a live scan and the back-fill have come to their ends, and nothing is under way."""
        backfilled = self.state.backfilled or Mode.BACKFILL in self._given_up
        idle = not self._jobs and all(scan.listing is None for scan in self._scans.values())
        return self.passes > 0 and backfilled and idle

    @property
    def holes(self) -> int:
        """Conversations that could not be read, and scans that could not go on."""
        return len(self.state.holes) + len(self._given_up)

    def hint(self, now: float) -> None:
        """The page looks changed: the next live scan is due at once, if none is under way."""
        scan = self._scans[Mode.LIVE]
        scan.due_at = min(scan.due_at, max(now, scan.started_at + self._pace.interval / 4))

    def next_step(self, now: float) -> ScanStep | None:
        """The next step, marked as handed out; None when there is none now."""
        for mode, scan in self._scans.items():
            step = self._next_of(mode, scan, now)
            if step is not None:
                return step
        return self._next_loose(now)

    def wake_at(self) -> float | None:
        """When the next list is due; None while another step must come back first."""
        idle = [scan for scan in self._scans.values() if scan.listing is None]
        due = [] if self._list_under_way else [scan.due_at for scan in idle if self._wanted(scan)]
        if self.state.holes:
            due.append(self._repair_at)
        return min(due, default=None)

    def listed(self, step: ListStep, page: Sequence[Listed], now: float) -> "Findings":
        """Note a page of conversations: which snapshots are new, which conversations must be read."""
        scan = self._scans[step.mode]
        if not step.after and step.mode is Mode.LIVE:
            scan.started_at = now
            scan.top = max((seen.updated_at for seen in page), default=0)
        pending: list[str] = []
        changed: list[int] = []
        remembered: dict[str, ConversationState] = {}
        for at, seen in enumerate(page):
            before = decode_conversation(self._conversations.get(seen.id))
            if self._is_new_snapshot(seen, before):
                changed.append(at)
            if self._must_walk(seen, before):
                pending.append(seen.id)
                self._plan(seen, before or ConversationState(), step.mode)
            elif before is not None and before.snapshot != seen.snapshot:
                before.snapshot = seen.snapshot
                remembered[seen.id] = before
        scan.listing, scan.asking, scan.refused = self._opened(step, page, scan), False, 0
        scan.listing.pending |= set(pending)
        scan.met = {seen.id for seen in page} | (scan.met if step.mode is Mode.LIVE else set())
        return Findings(changed, remembered)

    def _opened(self, step: ListStep, page: Sequence[Listed], scan: Progress) -> Listing:
        """The listing of a page: where the next one begins, or that there is none."""
        if page:
            stuck = not scan.doubted and all(seen.id in scan.met for seen in page)
            last = stuck or page[-1].id == scan.doubted or self._is_last(step.mode, page)
            scan.anchor, scan.doubted, scan.length = step.after, "", len(page)
            return Listing(set(), page[-1].id, last, stuck)
        if step.after and (scan.length is None or scan.length >= FULL_LIST):
            # The end, or a cursor whose conversation is gone: everything behind it would be lost. The
            # page before is read again, and shows whether its last conversation still is the last.
            after, scan.anchor, scan.doubted = scan.anchor, "", step.after
            return Listing(set(), "" if after == step.after else after, last=False)
        return Listing(set(), step.after, last=True)

    def took(self, step: MessagesStep, page: Sequence[Seen]) -> Sequence[int]:
        """Note a page of messages; which of them (by index) are to be published."""
        self._page_size = max(self._page_size, len(page))
        return self._jobs[step.target.id].walk.take(page, self._page_size)

    def walk(self, step: MessagesStep) -> Walk:
        """The walk that the step belongs to."""
        return self._jobs[step.target.id].walk

    def settled(self, step: SettleStep) -> PageState:
        """The page's state once the open listing counts."""
        scan, state = self._scans[step.mode], self.state
        listing = scan.listing
        if listing is None:
            raise AssertionError("a settle step is handed out only for an open listing")
        watermark, after, backfilled = state.watermark, state.after, state.backfilled
        if step.mode is Mode.BACKFILL:
            after = listing.after
            backfilled = listing.last and not listing.stuck
        elif listing.last and not listing.stuck:
            # Only now: the scan has reached what was known before. Saved any earlier, a crash would
            # leave a gap between the newest and the old watermark for ever.
            watermark = max(watermark, scan.top)
        return PageState(watermark, after, backfilled, dict(state.holes))

    def saved(self, step: ScanStep, states: Mapping[str, ConversationState], now: float) -> None:
        """What the step brought is published, and ``states`` (by conversation) are saved."""
        self._saves += 1
        for conversation_id, state in states.items():
            self._conversations[conversation_id] = encode(state)
        if isinstance(step, ListStep):
            self._listing(step.mode).saved = True
        elif isinstance(step, MessagesStep):
            self._walked(step)
        else:
            self.state = self.settled(step)
            self._close(step.mode, now)

    def failed(self, step: ScanStep, now: float) -> None:
        """The step came to nothing; it is handed out again, or set aside as a hole."""
        if isinstance(step, ListStep):
            self._refused(step)
        elif isinstance(step, SettleStep):
            self._listing(step.mode).settling = False
        else:
            self._missed(step, now)

    def _next_of(self, mode: Mode, scan: Progress, now: float) -> ScanStep | None:
        while scan.queue:
            conversation_id = scan.queue.popleft()
            if conversation_id in self._jobs:
                return self._messages(conversation_id)
        listing = scan.listing
        if listing is not None:
            if listing.saved and not listing.pending and not listing.settling:
                listing.settling = True
                return SettleStep(mode)
            return None
        if self._list_under_way or now < scan.due_at or not self._wanted(scan):
            return None
        scan.asking = True
        return ListStep(mode, scan.after)

    @property
    def _list_under_way(self) -> bool:
        # Two lists side by side would show one conversation at two moments, and the older snapshot may
        # be published last: its answer was overtaken, or its publication repeated.
        return any(
            scan.asking or (scan.listing is not None and not scan.listing.saved)
            for scan in self._scans.values()
        )

    def _next_loose(self, now: float) -> ScanStep | None:
        """A step of a walk that no list waits for, such as the mending of a hole."""
        if self.state.holes and now >= self._repair_at:
            self._repair_at = now + HOLE_SECONDS
            for conversation_id, customer_id in self.state.holes.items():
                if conversation_id not in self._jobs:
                    seen = Listed(conversation_id, customer_id, 0, 0, b"")
                    self._jobs[conversation_id] = Job(
                        Walk.begin(seen, self._before(conversation_id)), MENDING
                    )
                    self._loose.append(conversation_id)
        return self._messages(self._loose.popleft()) if self._loose else None

    def _messages(self, conversation_id: str) -> MessagesStep:
        job = self._jobs[conversation_id]
        return MessagesStep(job.walk.target, job.walk.skip, job.origin)

    def _wanted(self, scan: Progress) -> bool:
        if scan is self._scans[Mode.LIVE]:
            return True
        # The back-fill begins once the live scan watches: what changes meanwhile is then its business.
        return self.passes > 0 and not self.state.backfilled

    def _is_new_snapshot(self, seen: Listed, before: ConversationState | None) -> bool:
        job = self._jobs.get(seen.id)
        known = (job.newer or job.walk.target).snapshot if job else before.snapshot if before else b""
        return known != seen.snapshot

    @staticmethod
    def _must_walk(seen: Listed, before: ConversationState | None) -> bool:
        if before is None or before.walk is not None:
            return True
        moved = (before.updated_at, before.count) != (seen.updated_at, seen.count)
        return moved or (bool(seen.customer_id) and not before.customer)

    def _plan(self, seen: Listed, before: ConversationState, mode: Mode) -> None:
        job = self._jobs.get(seen.id)
        if job is None:
            self._jobs[seen.id] = Job(Walk.begin(seen, before), mode.origin)
            self._scans[mode].queue.append(seen.id)
        elif (seen.updated_at, seen.count) != (job.walk.target.updated_at, job.walk.target.count):
            # It moved while it is being read: read it again afterwards, whatever this walk still sees.
            job.newer = seen

    def _is_last(self, mode: Mode, page: Sequence[Listed]) -> bool:
        if mode is Mode.BACKFILL:
            return False
        if self.state.watermark == 0:
            # The first scan ever only finds the top; what lies below is the back-fill's.
            return True
        floor = self.state.watermark - int(self._pace.overlap * 1000)
        # A time that could not be read says nothing about how far down the list we are.
        return any(0 < seen.updated_at < floor for seen in page)

    def _walked(self, step: MessagesStep) -> None:
        conversation_id = step.target.id
        job = self._jobs[conversation_id]
        if not job.walk.done:
            self._requeue(conversation_id)
            return
        del self._jobs[conversation_id]
        if job.newer is not None:
            again = Walk.begin(job.newer, self._before(conversation_id))
            self._jobs[conversation_id] = Job(again, job.origin)
            self._requeue(conversation_id)
            return
        self.state.holes.pop(conversation_id, None)
        self._release(conversation_id)

    def _refused(self, step: ListStep) -> None:
        scan = self._scans[step.mode]
        scan.asking = False
        # The back-fill has far to go back: only while other steps come through is it the cursor's fault.
        if step.after and (step.mode is Mode.LIVE or self._saves > scan.progress_at_refusal):
            scan.refused += 1
            scan.progress_at_refusal = self._saves
        if scan.refused >= CURSOR_TRIES:
            scan.after = "" if scan.anchor == step.after else scan.anchor
            scan.anchor, scan.doubted, scan.refused, scan.met = "", "", 0, set()

    def _missed(self, step: MessagesStep, now: float) -> None:
        conversation_id = step.target.id
        job = self._jobs[conversation_id]
        # Failures between which others came through speak against this conversation. On a page where
        # nothing else moves there are no others: then many failures must do, or the page would wait for ever.
        job.tries += 1
        if self._saves > job.progress_at_failure:
            job.alone += 1
            job.progress_at_failure = self._saves
        if job.alone < HOLE_TRIES and job.tries < HOLE_TRIES_AT_MOST:
            self._requeue(conversation_id)
            return
        del self._jobs[conversation_id]
        self.state.holes[conversation_id] = step.target.customer_id
        self._repair_at = max(self._repair_at, now + HOLE_SECONDS)
        self._release(conversation_id)

    def _requeue(self, conversation_id: str) -> None:
        for scan in self._scans.values():
            if scan.listing is not None and conversation_id in scan.listing.pending:
                scan.queue.append(conversation_id)
                return
        self._loose.append(conversation_id)

    def _before(self, conversation_id: str) -> ConversationState:
        return decode_conversation(self._conversations.get(conversation_id)) or ConversationState()

    def _release(self, conversation_id: str) -> None:
        for scan in self._scans.values():
            if scan.listing is not None:
                scan.listing.pending.discard(conversation_id)

    def _close(self, mode: Mode, now: float) -> None:
        scan, listing = self._scans[mode], self._listing(mode)
        scan.listing = None
        scan.after = listing.after
        if listing.stuck:
            # The list repeats itself: its cursor moved or is gone. Begin again at the last safe place.
            scan.stuck += 1
            # Live, somebody wrote in the cursor's conversation, which is the newest now: on a busy page
            # that is nothing special, and a pause would leave the page unread for its length.
            moved = mode is Mode.LIVE and scan.stuck < STUCK_TRIES
            scan.due_at = now + (self._pace.interval if moved else STUCK_SECONDS)
            if scan.stuck >= STUCK_TRIES:
                self._given_up.add(mode)
        elif listing.last:
            scan.stuck = 0
            self._given_up.discard(mode)
            # A pause after each live scan, however long it took: the back-fill begins its lists there.
            scan.due_at = max(scan.started_at + self._pace.interval, now + self._pace.interval / 4)
        if listing.last and mode is Mode.LIVE:
            scan.after, scan.anchor, scan.met = "", "", set()
            self.passes += not listing.stuck or mode in self._given_up

    def _listing(self, mode: Mode) -> Listing:
        listing = self._scans[mode].listing
        if listing is None:
            raise AssertionError(f"no open listing by {mode}")
        return listing


@dataclass(frozen=True, slots=True)
class Findings:
    """What a page of conversations brought: changed snapshots by index, and states to save with them."""

    changed: Sequence[int]
    remembered: Mapping[str, ConversationState]
