"""
The status document: how each page stands, for people, scripts and whoever serves it. Pure.

Built from what the pollers wrote beside the pages (``PageStatus``). Times are UTC milliseconds, 0 for never.
"""

import enum
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connector.model import Completeness, Hole, Page, PageStatus, Reconciled

SILENT_SECONDS = 180.0  # a poller writes at least once a minute while it reads a page's list


class State(enum.StrEnum):
    """How a page stands, in one word; the first that fits, from the worst on."""

    UNREAD = "unread"  # named, but no poller has reported it
    SILENT = "silent"  # its poller does not report any more
    PARKED = "parked"  # a person must act
    INCOMPLETE = "incomplete"  # something is known to be missing
    FILLING = "filling"  # its history is still being read
    COMPLETE = "complete"


LEFT_OUT: Final = frozenset({State.UNREAD, State.SILENT, State.PARKED, State.INCOMPLETE})


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What of the history is still to be read; ``seconds_left`` is None while nobody can know."""

    done: bool
    share: float
    list_ended: bool
    listed: int
    owed: int
    calls_left: int
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class PageReport:
    """One page. ``action``: what a person must do, or who looks after it; ``holes``: the oldest few."""

    page_id: str
    name: str
    platform: str
    state: State
    action: str
    reported_at: int
    owner: str
    parked_since: int
    proved_until: int
    scanning_since: int
    holes_open: int
    holes: tuple[Hole, ...]
    rereads: int
    backfill: BackfillReport
    reconcile: Reconciled


@dataclass(frozen=True, slots=True)
class Status:
    """All pages at one moment."""

    at: int
    pages: tuple[PageReport, ...]

    @property
    def left_out(self) -> int:
        """Pages of which something is missing, or of which nobody knows."""
        return sum(page.state in LEFT_OUT for page in self.pages)


def status(
    pages: Iterable[tuple[Page, PageStatus | None]], *, now: int, silent_after: float = SILENT_SECONDS
) -> Status:
    """
    The document at ``now``; pages in the order of what needs attention, then by id.

    ``silent_after``: seconds without news, longer than any page goes unread.
    """
    order = list(State)
    reports = [_report(page, said, now, silent_after) for page, said in pages]
    return Status(now, tuple(sorted(reports, key=lambda page: (order.index(page.state), page.page_id))))


# What holds of a report that is so many seconds old, and how old is too old.
_STATES: Sequence[tuple[State, Callable[[PageStatus, float, float], bool]]] = (
    (State.SILENT, lambda said, age, silent_after: not said.parked and age > silent_after),
    (State.PARKED, lambda said, *_: bool(said.parked)),
    (State.INCOMPLETE, lambda said, *_: said.completeness.holes_open > 0),
    (State.FILLING, lambda said, *_: not said.completeness.complete),
    (State.COMPLETE, lambda *_: True),
)
_ACTIONS: Mapping[State, str] = {
    State.UNREAD: "no poller has reported it yet: is one running?",
    State.SILENT: "no news of it: its poller is gone or cannot read it, or the account has it no more",
    State.INCOMPLETE: "what is missing is tried again by itself; see docs/OPERATIONS.md, Holes",
    State.FILLING: "",
    State.COMPLETE: "",
}


def _report(page: Page, said: PageStatus | None, now: int, silent_after: float) -> PageReport:
    state = State.UNREAD
    if said is not None:
        age = (now - said.written_at) / 1000
        state = next(name for name, fits in _STATES if fits(said, age, silent_after))
    known = said or PageStatus(Completeness(page.id), 0, "")
    complete = known.completeness
    filling = complete.backfill
    return PageReport(
        page.id,
        page.name or page.username,
        page.platform,
        state,
        known.parked if state is State.PARKED else _ACTIONS[state],
        known.written_at,
        known.owner,
        known.parked_since,
        complete.proved_until,
        complete.scanning_since,
        complete.holes_open,
        complete.holes,
        complete.rereads,
        BackfillReport(
            filling.done,
            filling.share,
            filling.list_ended,
            filling.listed,
            filling.owed,
            filling.calls_left,
            filling.seconds_left,
        ),
        complete.reconcile,
    )


_MOMENTS: Final = frozenset(
    {"at", "reported_at", "parked_since", "proved_until", "scanning_since", "since", "ended"}
)


def as_json(document: Status) -> str:
    """One JSON object: moments as ISO 8601 in UTC, null for never."""
    return json.dumps(_plain(asdict(document) | {"left_out": document.left_out}), ensure_ascii=False)


def moment(epoch_ms: int) -> str | None:
    """ISO 8601 in UTC; None for 0."""
    if not epoch_ms:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: moment(part) if name in _MOMENTS else _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
