"""What follows from a listing of a conversation: read it now, owe it, or leave it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from connector.pancake.audit import Audit
from connector.pancake.debts import QUEUED
from connector.pancake.scroll import Listing
from connector.pancake.sighting import Sighting
from connector.pancake.state import ConversationState, Owed, PageState, Reason
from connector.pancake.steps import Listed, Mode

OVERDUE_MS = 300_000  # of a clock that may be some minutes before or behind Pancake's


@dataclass(frozen=True, slots=True)
class Horizon:
    """
    How far down live scans look: to the ``floor`` below the ``watermark``.

    ``overdue``: what moved before this should have been found. ``listed``: the back-fill knows everything.
    """

    watermark: int
    floor: int
    overdue: int
    listed: bool

    @classmethod
    def of(cls, state: PageState, overlap: float) -> "Horizon":
        floor = state.watermark - int(overlap * 1000)
        return cls(state.watermark, floor, max(floor, state.proved - OVERDUE_MS), state.backfill.ended)

    def is_old(self, seen: Listed) -> bool:
        """Whether it lies where live scans do not look, or should have found it long since."""
        return seen.updated_at < self.overdue

    def claims(self, sighting: Sighting) -> bool:
        """
        Whether this scan's watermark will stand for a conversation that waits in line.

        It must be read then: an owner that was frozen may still write over what says that it is owed.
        """
        before = sighting.before
        queued = before is not None and before.owed is not None and before.owed.reason in QUEUED
        return queued and sighting.seen.updated_at > self.watermark

    def reached(self, sightings: Sequence[Sighting], top: int) -> bool:
        """Whether a live scan need not look further down."""
        if not self.watermark:
            # The first scan ever only finds the top; what lies below is the back-fill's, if it is to come.
            return top > 0 and not self.listed
        # A time that could not be read says nothing about how far down the list we are.
        below = [sighting for sighting in sightings if 0 < sighting.seen.updated_at < self.floor]
        # News where there can be none: the watermark was ahead of Pancake's clock. Look further.
        return bool(below) and not any(sighting.moved and sighting.known for sighting in below)


class Comparison:
    """Decides for each conversation of a list; what is found missing by the reconcile is counted."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    def note(
        self, mode: Mode, sighting: Sighting, listing: Listing, horizon: Horizon, at: int
    ) -> ConversationState | None:
        """Read it, owe it or know it already; the state that is to be saved with the list, if any."""
        if mode is Mode.LIVE:
            return _read(sighting, listing, at) if _must_read(sighting, horizon) else _silent(sighting)
        moved = sighting.moved
        if mode is Mode.RECONCILE:
            moved = moved and horizon.is_old(sighting.seen)
            self._count(sighting, old=horizon.is_old(sighting.seen))
        return _owe(mode, sighting, listing, at) if moved else _silent(sighting)

    def _count(self, sighting: Sighting, *, old: bool) -> None:
        """A reconcile shows this conversation: was it missed, or is it its turn to be read deep?"""
        if sighting.job is not None:
            return
        if old and (sighting.before is None or sighting.before.owed is None):
            self._audit.found += sighting.moved or sighting.changed
            self._audit.healed += sighting.changed and not sighting.moved
        if sighting.known and not sighting.moved and self._audit.is_turn(sighting.seen.id):
            self._audit.deep.append(sighting.seen.id)


def _must_read(sighting: Sighting, horizon: Horizon) -> bool:
    return sighting.moved or horizon.claims(sighting)


def _read(sighting: Sighting, listing: Listing, at: int) -> ConversationState | None:
    seen = sighting.seen
    listing.pending.add(seen.id)
    listing.reads.append(seen)
    if sighting.before is not None:
        return None
    # Should it vanish, or somebody else go on before it is read: its snapshot is published.
    owed = Owed(Reason.BACKFILL, seen.customer_id, seen.updated_at, seen.count, at)
    return ConversationState(snapshot=seen.snapshot, rest=seen.rest, owed=owed)


def _owe(mode: Mode, sighting: Sighting, listing: Listing, at: int) -> ConversationState | None:
    seen, before = sighting.seen, sighting.before or ConversationState()
    reason = Reason.MISSED if mode is Mode.RECONCILE else Reason.BACKFILL
    if sighting.job is not None:
        # It is being read already, and the list counts when that is saved.
        listing.pending.add(seen.id)
        return None
    if before.owed is not None and before.owed.reason is not reason:
        return _silent(sighting)
    if before.owed is None:
        listing.queued.append(seen.id)
    owed = Owed(reason, seen.customer_id, seen.updated_at, seen.count, at)
    return replace(before, snapshot=seen.snapshot, rest=seen.rest, owed=owed)


def _silent(sighting: Sighting) -> ConversationState | None:
    """Its snapshot changed and nothing else: published with the list, remembered with it."""
    seen, before = sighting.seen, sighting.before
    if before is None or sighting.job is not None or before.snapshot == seen.snapshot:
        return None
    return replace(before, snapshot=seen.snapshot, rest=seen.rest)
