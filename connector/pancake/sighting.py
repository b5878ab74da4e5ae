"""What a listing of a conversation says, held against what is remembered of it. Pure."""

from dataclasses import dataclass

from connector.pancake.job import Job, Kind
from connector.pancake.state import ConversationState
from connector.pancake.steps import Listed

AHEAD_MS = 300_000  # how far Pancake's clock may be before ours


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    One conversation on a list.

    ``changed``: its snapshot is not the one published last. ``moved``: its messages are not published as
    far as this listing tells, and nobody owes them. ``returned``: it had vanished.
    """

    seen: Listed
    before: ConversationState | None
    job: Job | None
    changed: bool
    moved: bool
    returned: bool

    @property
    def known(self) -> bool:
        """Whether its messages were read once, and are not owed."""
        return self.before is not None and self.before.read and self.before.owed is None


def sight(seen: Listed, before: ConversationState | None, job: Job | None) -> Sighting:
    """Compare; ``job``: the reading that is under way."""
    returned = (before is not None and before.vanished) or (job is not None and job.vanishing)
    moved = returned or _moved(seen, before)
    return Sighting(seen, before, job, returned or _known(before, job) != seen.snapshot, moved, returned)


def _known(before: ConversationState | None, job: Job | None) -> bytes:
    if job is not None and job.kind is Kind.READ:
        return (job.newer or job.walk.target).snapshot
    return before.snapshot if before is not None else b""


def _moved(seen: Listed, before: ConversationState | None) -> bool:
    if before is None:
        return True
    if before.owed is not None:
        owed = before.owed
        found = bool(seen.customer_id) and not owed.customer_id
        return found or (owed.updated_at, owed.count) != (seen.updated_at, seen.count)
    if not before.read or before.walk is not None:
        return True
    if (before.updated_at, before.count) != (seen.updated_at, seen.count):
        return True
    # Without a moment that can be read, a change of anything may be a change of its messages.
    silent = not seen.updated_at and before.snapshot != seen.snapshot
    return silent or (bool(seen.customer_id) and not before.customer)


def plausible(moment: int, now_ms: int) -> int:
    """
    A moment that may become the watermark; 0 for one too far ahead of our own clock.

    A conversation dated next year would end every later scan at its first page.
    """
    return moment if moment <= now_ms + AHEAD_MS else 0
