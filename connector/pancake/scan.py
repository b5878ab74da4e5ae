"""
What to read next of one page, and what may be remembered of it. Pure: events in, steps out.

Three scans share the page. The *live scan* walks the list by ``updated_at`` from the newest down to the
watermark, and counts when every conversation that it found is published. The *back-fill* walks the list
by ``inserted_at`` to its end, once; the *reconcile* does so again now and then. These two only note what
must be read: it is owed from then on, and read beside everything else.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as changed

from connector.model import Origin
from connector.pancake.audit import Audit
from connector.pancake.comparison import Comparison, Horizon
from connector.pancake.debts import Debts
from connector.pancake.job import Job, Kind, debt
from connector.pancake.jobs import Jobs
from connector.pancake.likelihood import Likelihood
from connector.pancake.meter import Meter
from connector.pancake.scroll import STUCK_SECONDS, STUCK_TRIES, Listing, Scroll
from connector.pancake.shelf import Shelf
from connector.pancake.sighting import Sighting, plausible, sight
from connector.pancake.state import (
    ConversationState,
    Owed,
    PageState,
    Reason,
    decode_conversation,
    encode,
    owes,
)
from connector.pancake.steps import (
    Findings,
    Listed,
    ListStep,
    MessagesStep,
    Mode,
    OweStep,
    Pace,
    ScanStep,
    Seen,
    SettleStep,
    Shapes,
)
from connector.pancake.walk import Walk


@dataclass(slots=True)
class _Aside:
    """Conversations that could not be read: what is owed of them, and what of that is still to be saved."""

    owed: dict[str, Owed] = field(default_factory=dict)
    notes: deque[str] = field(default_factory=deque)


class PageScan:
    """The scanner of one page."""

    def __init__(
        self,
        state: PageState,
        shelf: Shelf,
        pace: Pace,
        *,
        epoch_ms: int = 0,
        shapes: Shapes = Shapes(),  # noqa: B008 - frozen
    ) -> None:
        """``shelf``: the state of each conversation. ``epoch_ms``: when the monotonic clock stood at zero."""
        self.state = state
        self.passes = 0
        self._shelf = shelf
        self._pace = pace
        self._epoch_ms = epoch_ms
        self._lists = {mode: Scroll(mode, full_list=shapes.conversations) for mode in Mode}
        self._lists[Mode.BACKFILL].after = state.backfill.after
        self._lists[Mode.RECONCILE].due_at = math.inf
        self._audit = Audit(state.reconcile, pace.deep_every)
        self._comparison = Comparison(self._audit)
        self._likelihood = Likelihood(pace.interval, pace.slowest, epoch=epoch_ms / 1000)
        self._meter = Meter(state.backfill.pace / 1000)
        self._jobs = Jobs(shelf, shapes.messages)
        self._broken = dict(state.broken)
        self._aside = _Aside()
        self._saves = 0
        self._debts = self._inherited()

    def _inherited(self) -> Debts:
        """What the owner before us owed; also what only the page's own record still says."""
        for name, owed in self.state.debts.items():
            before = self._jobs.before(name)
            if before.owed is None:
                self._shelf.put(name, encode(replace(before, owed=owed)))
        owing = [(name, decode_conversation(raw)) for name, raw in self._shelf.items() if owes(raw)]
        return Debts((name, state.owed) for name, state in owing if state is not None and state.owed)

    # What there is to say

    @property
    def caught_up(self) -> bool:
        """Whether a live scan and the back-fill have come to their ends, and nothing is under way."""
        listed = self.state.backfill.ended or Mode.BACKFILL in self._broken
        owed = self._debts.owed[Reason.BACKFILL] or self._aside.owed
        idle = not self._jobs and all(scroll.listing is None for scroll in self._lists.values())
        return self.passes > 0 and listed and not owed and idle

    @property
    def holes(self) -> int:
        """Conversations that could not be read, and lists that do not come to an end."""
        return self._debts.holes + len(self._broken)

    @property
    def owed(self) -> Mapping[Reason, int]:
        """How many conversations are owed, and why."""
        return self._debts.owed

    @property
    def broken(self) -> frozenset[str]:
        """The scans whose lists do not come to an end."""
        return frozenset(self._broken)

    def position(self, now: float) -> PageState:
        """The page's state with what is owed and counted now; its claims are those saved last."""
        live, at = self._lists[Mode.LIVE], self._ms(now)
        return changed(
            self.state,
            scanning=self._ms(live.started_at) if live.under_way else 0,
            backfill=changed(
                self.state.backfill,
                listed=len(self._shelf),
                owed=self._debts.owed[Reason.BACKFILL],
                calls=self._debts.calls,
                pace=round(self._meter.rate * 1000),
            ),
            reconcile=self._audit.state(),
            debts=self._debts.recent(at),
            holes=self._debts.holes,
            rereads=self._debts.rereads,
            broken=dict(self._broken),
        )

    # What to do next

    def next_step(self, now: float) -> ScanStep | None:
        """The next step, marked as handed out; None when there is none now."""
        if self._aside.notes:
            return OweStep(self._aside.notes.popleft())
        self._begin_due(now)
        return (
            self._jobs.next(Origin.LIVE)
            or self._list_step(Mode.LIVE, now)
            or self._list_step(Mode.BACKFILL, now)
            or self._jobs.next(Origin.RECONCILE)
            or self._list_step(Mode.RECONCILE, now)
            or self._next_of_audit(now)
            or self._next_in_line(Reason.MISSED, Origin.RECONCILE)
            or self._jobs.next(Origin.BACKFILL)
            or self._next_in_line(Reason.BACKFILL, Origin.BACKFILL)
        )

    def wake_at(self) -> float | None:
        """When the next step will be due; None while another one must come back first."""
        due = []
        if not self._busy:
            due = [s.due_at for s in self._lists.values() if s.listing is None and self._wanted(s.mode)]
        if (moment := self._debts.next_moment()) is not None:
            due.append((moment - self._epoch_ms) / 1000)
        if not self._audit.idle:
            due.append(0.0)
        return min(due, default=None)

    def hint(self, now: float) -> None:
        """Somebody says that the page looks changed; believed as far as ``Likelihood`` does."""
        self._likelihood.hinted(now)
        live = self._lists[Mode.LIVE]
        if not live.under_way:
            live.due_at = min(live.due_at, max(now, self._likelihood.due_at(live.started_at, now)))

    @property
    def _busy(self) -> bool:
        # Two lists side by side would show one conversation at two moments, and the older snapshot may
        # be published last: its answer was overtaken, or its publication repeated.
        return any(scroll.busy for scroll in self._lists.values())

    def _list_step(self, mode: Mode, now: float) -> ScanStep | None:
        scroll = self._lists[mode]
        if (listing := scroll.listing) is not None:
            if listing.saved and not listing.pending and not listing.settling:
                listing.settling = True
                return SettleStep(mode)
            return None
        if self._busy or now < scroll.due_at or not self._wanted(mode):
            return None
        if mode is Mode.RECONCILE and not scroll.under_way:
            self._audit.begin(self._ms(now), self._shelf)
        return ListStep(mode, scroll.ask(now))

    def _wanted(self, mode: Mode) -> bool:
        if mode is Mode.LIVE:
            return True
        if mode is Mode.BACKFILL:
            # It begins once the live scan watches: what changes meanwhile is then its business.
            return self.passes > 0 and not self.state.backfill.ended
        read = self.state.backfill.ended and not self._debts.owed[Reason.BACKFILL]
        return self._pace.reconcile > 0 and self.passes > 0 and read and not self._audit.looking

    def _begin_due(self, now: float) -> None:
        for name, owed in self._debts.due(self._ms(now)):
            if name in self._jobs:
                self._debts.again(name, owed, self._ms(now + STUCK_SECONDS))
            else:
                self._jobs.pay(name, Origin.LIVE if owed.reason is Reason.LAG else Origin.RECONCILE)

    def _next_of_audit(self, now: float) -> ScanStep | None:
        """Look at what the list of the reconcile has left to look at."""
        audit = self._audit
        audit.look(self._shelf)
        while (found := audit.next()) is not None:
            name, kind = found
            before = self._jobs.before(name)
            wanted = kind is Kind.PROBE or before.owed is None
            if name not in self._jobs and wanted and not before.vanished:
                audit.running.add(name)
                self._jobs.look(name, kind)
                return self._jobs.next(Origin.RECONCILE)
        if audit.finished and self._lists[Mode.RECONCILE].listing is None:
            self._lists[Mode.RECONCILE].conclude()
            return self._list_step(Mode.RECONCILE, now)
        return None

    def _next_in_line(self, reason: Reason, origin: Origin) -> MessagesStep | None:
        while (name := self._debts.take(reason)) is not None:
            owed = self._jobs.before(name).owed
            if name not in self._jobs and owed is not None and owed.reason is reason:
                self._jobs.pay(name, origin)
                return self._jobs.next(origin)
        return None

    # What a step brought

    def listed(self, step: ListStep, page: Sequence[Listed], now: float) -> Findings:
        """Note a page of conversations: which snapshots are new, which conversations must be read."""
        scroll, at = self._lists[step.mode], self._ms(now)
        sightings = [self._sight(seen) for seen in page]
        if not scroll.top:
            scroll.top = max((plausible(seen.updated_at, at) for seen in page), default=0)
        horizon = Horizon.of(self.state, self._pace.overlap)
        reached = step.mode is Mode.LIVE and horizon.reached(sightings, scroll.top)
        listing = scroll.open(step.after, page, reached=reached)
        remembered: dict[str, ConversationState] = {}
        for sighting in sightings:
            self._shelf.show(sighting.seen.id)
            state = self._comparison.note(step.mode, sighting, listing, horizon, at)
            if state is not None:
                remembered[sighting.seen.id] = state
        news = [n for n, sighting in enumerate(sightings) if sighting.changed]
        scroll.found += sum(sighting.changed or sighting.moved for sighting in sightings)
        return Findings(news, [n for n, s in enumerate(sightings) if s.returned], remembered)

    def _sight(self, seen: Listed) -> Sighting:
        return sight(seen, decode_conversation(self._shelf.get(seen.id)), self._jobs.get(seen.id))

    def took(self, step: MessagesStep, page: Sequence[Seen], shown: int) -> Sequence[int]:
        """Note a page of messages (``shown``: with those that have no id); which are to be published."""
        return self._jobs.took(step.target.id, page, shown)

    def walk(self, step: MessagesStep) -> Walk:
        """The walk that the step belongs to."""
        return self._job(step.target.id).walk

    def remember(self, step: MessagesStep, now: float) -> ConversationState:
        """What may be saved of the conversation, once everything taken so far is published."""
        return self._jobs.remember(step.target.id, self._ms(now))

    def refused(self, step: MessagesStep, reason: str, now: float) -> ConversationState:
        """Pancake says that the conversation cannot be read; what may be saved of it."""
        return self._jobs.refused(step.target.id, reason, self._ms(now))

    def vanishing(self, step: MessagesStep) -> bool:
        """Whether what ``remember`` or ``refused`` returned says that the conversation is gone."""
        return self._job(step.target.id).vanishing

    def owing(self, step: OweStep) -> ConversationState:
        """What is to be saved of a conversation that could not be read."""
        before = self._jobs.before(step.conversation_id)
        return replace(before, owed=self._aside.owed[step.conversation_id])

    def settled(self, step: SettleStep, now: float) -> PageState:
        """The page's state once the open listing counts."""
        scroll, state = self._lists[step.mode], self.position(now)
        listing = scroll.listing
        if listing is None:
            raise AssertionError("a settle step is handed out only for an open listing")
        ended = listing.last and not listing.stuck
        if step.mode is Mode.BACKFILL:
            since = state.backfill.since or self._ms(scroll.started_at)
            backfill = changed(state.backfill, after=listing.after, ended=ended, since=since)
            return changed(state, backfill=backfill)
        if step.mode is Mode.RECONCILE:
            audit = self._audit
            due = self._ms(now + self._pace.reconcile)
            return changed(state, reconcile=audit.ending(self._ms(now), due)) if audit.looking else state
        if not ended:
            return state
        # Only now: the scan has reached what was known before. Saved any earlier, a crash would
        # leave a gap between the newest and the old watermark for ever.
        watermark = max(state.watermark, scroll.top)
        return changed(state, watermark=watermark, proved=self._ms(scroll.started_at), scanning=0)

    def saved(self, step: ScanStep, states: Mapping[str, ConversationState], now: float) -> None:
        """What the step brought is published, and ``states`` (by conversation) are saved."""
        self._saves += 1
        for name, state in states.items():
            self._keep(name, state)
        match step:
            case ListStep():
                listing = self._listing(step.mode)
                listing.saved = True
                # Not before: what a reading saves says that the snapshot is published as well.
                for seen in listing.reads:
                    listing.pending.add(seen.id)
                    self._jobs.read(seen, Origin.LIVE)
                reason = Reason.MISSED if step.mode is Mode.RECONCILE else Reason.BACKFILL
                self._debts.queue(reason, listing.queued)
            case MessagesStep():
                self._read(step, now)
            case OweStep():
                del self._aside.owed[step.conversation_id]
                self._release(step.conversation_id)
            case SettleStep():
                self.state = self.settled(step, now)
                self._close(step.mode, now)

    def failed(self, step: ScanStep, now: float) -> None:
        """The step came to nothing; it is handed out again, or set aside as a hole."""
        match step:
            case ListStep():
                self._lists[step.mode].refused(step.after, self._saves)
            case SettleStep():
                self._listing(step.mode).settling = False
            case OweStep():
                self._aside.notes.append(step.conversation_id)
            case MessagesStep():
                job = self._jobs.failed(step.target.id, self._saves)
                if job is not None:
                    self._set_aside(step.target.id, job, now)

    def _set_aside(self, name: str, job: Job, now: float) -> None:
        owed = self._jobs.before(name).owed
        if job.kind is Kind.READ or owed is not None:
            self._aside.owed[name] = debt(Reason.UNREADABLE, job, self._ms(now))
            self._aside.notes.append(name)
        self._audit.running.discard(name)

    def _keep(self, name: str, state: ConversationState) -> None:
        owed = self._jobs.before(name).owed
        self._shelf.put(name, encode(state))
        self._debts.change(name, owed, state.owed)
        self._audit.healed += owed is not None and owed.reason is Reason.MISSED and state.owed is None

    def _read(self, step: MessagesStep, now: float) -> None:
        if step.origin is Origin.BACKFILL:
            self._meter.note(now)
        job = self._jobs.saved(step.target.id)
        if job is not None:
            self._audit.vanished += job.vanishing
            self._audit.running.discard(step.target.id)
            self._release(step.target.id)

    def _release(self, name: str) -> None:
        for scroll in self._lists.values():
            if scroll.listing is not None:
                scroll.listing.pending.discard(name)

    def _close(self, mode: Mode, now: float) -> None:
        scroll = self._lists[mode]
        listing = scroll.close()
        if listing.stuck:
            self._give_up(mode, scroll, now)
        elif listing.last:
            self._broken.pop(mode.value, None)
            if mode is Mode.LIVE:
                self._scanned(scroll, now)
            elif mode is Mode.RECONCILE:
                self._audited(now)

    def _scanned(self, scroll: Scroll, now: float) -> None:
        self.passes += 1
        self._likelihood.found(now, scroll.found)
        # A pause after each live scan, however long it took: the slow ones begin their lists there.
        due = self._likelihood.due_at(scroll.started_at, now)
        scroll.due_at = max(due, now + self._pace.interval / 4)
        audit = self._audit
        if self.state.backfill.ended:
            audit.due = audit.due or self._ms(now + self._pace.reconcile)
            self._lists[Mode.RECONCILE].due_at = (audit.due - self._epoch_ms) / 1000

    def _audited(self, now: float) -> None:
        if self._audit.looking:
            self._audit.end(self._ms(now), self._ms(now + self._pace.reconcile))
            self._lists[Mode.RECONCILE].due_at = now + self._pace.reconcile
        else:
            self._audit.list_ended()

    def _give_up(self, mode: Mode, scroll: Scroll, now: float) -> None:
        # Live, somebody wrote in the cursor's conversation, which is the newest now: on a busy page
        # that is nothing special, and a pause would leave the page unread for its length.
        moved = mode is Mode.LIVE and scroll.stuck < STUCK_TRIES
        scroll.due_at = now + (self._pace.interval if moved else STUCK_SECONDS)
        if scroll.stuck >= STUCK_TRIES:
            self._broken.setdefault(mode.value, self._ms(now))
            self.passes += mode is Mode.LIVE
        if mode is Mode.RECONCILE:
            self._audit.give_up(self._ms(scroll.due_at))

    def _job(self, name: str) -> Job:
        job = self._jobs.get(name)
        if job is None:
            raise AssertionError("a step belongs to a conversation that is being read")
        return job

    def _listing(self, mode: Mode) -> Listing:
        listing = self._lists[mode].listing
        if listing is None:
            raise AssertionError(f"no open listing by {mode}")
        return listing

    def _ms(self, now: float) -> int:
        return self._epoch_ms + round(now * 1000)
