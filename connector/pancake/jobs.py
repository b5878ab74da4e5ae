"""The conversations being read: which one next, what of it may be saved, and when to set it aside. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from connector.model import Origin
from connector.pancake.job import RECENT_MS, Job, Kind, debt, debt_after
from connector.pancake.shelf import Shelf
from connector.pancake.state import ConversationState, Owed, Reason, decode_conversation
from connector.pancake.steps import Listed, MessagesStep, Seen
from connector.pancake.walk import Walk

HOLE_TRIES = 8
HOLE_TRIES_AT_MOST = 24  # with the waits between them, over ten minutes
REFUSALS = {"conversation_gone": Reason.GONE, "customer_id_required": Reason.CUSTOMER_REQUIRED}
URGENCY = (Origin.LIVE, Origin.RECONCILE, Origin.BACKFILL)


class Jobs:
    """Walks by conversation, never two of one; more urgent origins go first."""

    def __init__(self, shelf: Shelf, page_size: int) -> None:
        self._shelf = shelf
        self._page_size = page_size
        self._from_oldest = False
        self._jobs: dict[str, Job] = {}
        self._ready: dict[Origin, deque[str]] = {origin: deque() for origin in URGENCY}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, name: str) -> bool:
        return name in self._jobs

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def before(self, name: str) -> ConversationState:
        """What is remembered of a conversation; nothing, if it was never read."""
        return decode_conversation(self._shelf.get(name)) or ConversationState()

    def read(self, seen: Listed, origin: Origin) -> None:
        """It must be read as far as this listing tells; at once, or again after the reading under way."""
        job = self._jobs.get(seen.id)
        if job is None:
            self._begin(Job(self._walk(seen, self.before(seen.id)), origin))
            return
        target = job.walk.target
        if job.kind is not Kind.READ or (seen.updated_at, seen.count) != (target.updated_at, target.count):
            # It moved while it is being read: read it again afterwards, whatever this walk still sees.
            job.newer = seen
        if URGENCY.index(origin) < URGENCY.index(job.origin):
            job.origin = origin
            self._ready[origin].append(seen.id)

    def pay(self, name: str, origin: Origin) -> None:
        """Read what is owed of a conversation that is not being read."""
        before = self.before(name)
        if (owed := before.owed) is not None:
            kind = Kind.DEEP if owed.deep and owed.reason is not Reason.LAG else Kind.READ
            self._begin(Job(self._walk(_owed(name, owed, before), before, kind), origin, kind))

    def look(self, name: str, kind: Kind) -> None:
        """Read a conversation that nothing is owed of, nor is being read."""
        before = self.before(name)
        target = Listed(name, before.customer, before.updated_at, before.count, before.snapshot, before.rest)
        self._begin(Job(self._walk(target, before, kind), Origin.RECONCILE, kind))

    def next(self, origin: Origin) -> MessagesStep | None:
        """The next step of a conversation of this origin, handed out."""
        ready = self._ready[origin]
        while ready:
            name = ready.popleft()
            job = self._jobs.get(name)
            # One that became more urgent stands in two lines.
            if job is not None and not job.out:
                job.out = True
                return MessagesStep(job.walk.target, job.walk.skip, job.origin)
        return None

    def took(self, name: str, page: Sequence[Seen], shown: int) -> Sequence[int]:
        """Note a page of messages; which of them (by index) are to be published."""
        self._page_size = max(self._page_size, shown)
        return self._jobs[name].walk.take(page, shown, self._page_size)

    def remember(self, name: str, now_ms: int) -> ConversationState:
        """What may be saved of a conversation, once everything taken so far is published."""
        job = self._jobs[name]
        walk, before = job.walk, job.walk.before
        if job.fresh is None:
            job.fresh = walk.target.updated_at > now_ms - RECENT_MS
        if job.kind is Kind.PROBE:
            job.over, job.vanishing = True, walk.empty and job.newer is None
            return replace(before, vanished=True, owed=None) if job.vanishing else before
        job.over = walk.ended
        if job.kind is Kind.DEEP and walk.done:
            job.over = before.exact and walk.digest == before.digest
            return replace(before, owed=None) if job.over else before
        if job.kind is Kind.DEEP and walk.stuck:
            return replace(before, owed=debt_after(job, now_ms))
        return replace(walk.state(), owed=debt_after(job, now_ms)) if job.over else walk.state()

    def refused(self, name: str, reason: str, now_ms: int) -> ConversationState:
        """Pancake says of this conversation why it cannot be read; what may be saved of it."""
        job = self._jobs[name]
        before = self.before(name)
        job.over = True
        if job.kind is Kind.PROBE:
            # No list shows it. Its customer may not be known, and then it cannot even be asked for.
            job.vanishing = job.newer is None
            return replace(before, vanished=True, owed=None) if job.vanishing else before
        return replace(before, owed=debt(REFUSALS[reason], job, now_ms))

    def saved(self, name: str) -> Job | None:
        """What ``remember`` or ``refused`` returned is saved. The job, if that was its end."""
        job = self._jobs[name]
        job.out = False
        if not job.over:
            if job.kind is Kind.DEEP and job.walk.done:
                # Something differs, and nobody kept what: all of it is published again.
                bare = replace(job.walk.before, tail=b"", walk=None, exact=False, read=False)
                job.walk, job.kind = self._walk(job.walk.target, bare), Kind.READ
            self._ready[job.origin].append(name)
            return None
        if job.walk.climbed:
            self._from_oldest = job.walk.done
        del self._jobs[name]
        if job.newer is not None:
            self._begin(Job(self._walk(job.newer, self.before(name)), job.origin))
            return None
        return job

    def failed(self, name: str, saves: int) -> Job | None:
        """The step came to nothing. The job, if it is set aside; else its step is handed out again."""
        job = self._jobs[name]
        job.out = job.over = job.vanishing = False
        # Failures between which others came through speak against this conversation. On a page where
        # nothing else moves there are no others: then many failures must do, or the page would wait for ever.
        job.tries += 1
        if saves > job.saves_at_failure:
            job.alone += 1
            job.saves_at_failure = saves
        if job.alone < HOLE_TRIES and job.tries < HOLE_TRIES_AT_MOST:
            self._ready[job.origin].append(name)
            return None
        return self._jobs.pop(name)

    def _begin(self, job: Job) -> None:
        name = job.walk.target.id
        self._jobs[name] = job
        self._ready[job.origin].append(name)

    def _walk(self, target: Listed, before: ConversationState, kind: Kind = Kind.READ) -> Walk:
        # Without a digest to compare there is nothing that a quiet reading could tell.
        quiet = kind is not Kind.READ and not (kind is Kind.DEEP and not before.exact)
        if kind is Kind.DEEP and not quiet:
            before = replace(before, tail=b"", walk=None, read=False)
        return Walk.begin(target, before, quiet=quiet, from_oldest=self._from_oldest)


def _owed(name: str, owed: Owed, before: ConversationState) -> Listed:
    return Listed(name, owed.customer_id, owed.updated_at, owed.count, before.snapshot, before.rest)
