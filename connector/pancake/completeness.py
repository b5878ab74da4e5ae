"""What a saved position of a page says about its completeness. Pure, for whoever shows it."""

import msgspec

from connector.model import Backfill, Completeness, Hole, Reconciled
from connector.pancake.state import HOLES, PageState, decode_page

SHOWN = 20


def completeness(page_id: str, state: PageState) -> Completeness:
    """The claims of a page's state, in the words of the program."""
    backfill, reconcile = state.backfill, state.reconcile
    return Completeness(
        page_id,
        proved_until=state.proved,
        scanning_since=state.scanning,
        holes=_holes(state),
        holes_open=state.holes + len(state.broken),
        rereads=state.rereads,
        backfill=Backfill(
            backfill.since,
            backfill.ended,
            backfill.listed,
            backfill.owed,
            backfill.calls,
            backfill.pace / 1000,
        ),
        reconcile=Reconciled(
            reconcile.since, reconcile.ended, reconcile.found, reconcile.healed, reconcile.vanished
        ),
    )


def _holes(state: PageState) -> tuple[Hole, ...]:
    lists = [Hole("", f"list_repeats_{name}", since) for name, since in state.broken.items()]
    read = [Hole(n, d.reason.name.lower(), d.since) for n, d in state.debts.items() if d.reason in HOLES]
    return tuple(lists + sorted(read, key=lambda hole: (hole.since, hole.conversation_id)))[:SHOWN]


def decode_completeness(page_id: str, raw: bytes) -> Completeness | None:
    """The same from a cursor record's bytes; None when they are not a page's state."""
    try:
        return completeness(page_id, decode_page(raw))
    except msgspec.DecodeError:
        return None
