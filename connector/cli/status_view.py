"""The status document as a table for a terminal, or one line a page for a pipe. Pure."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from connector.status import PageReport, State, Status, moment

STYLES: Mapping[State, str] = {
    State.UNREAD: "bold red",
    State.SILENT: "bold red",
    State.PARKED: "bold red",
    State.INCOMPLETE: "bold yellow",
    State.FILLING: "yellow",
    State.COMPLETE: "green",
}
COLUMNS = ("page", "state", "proved until", "back-fill", "reconcile", "holes")
_SPANS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def table(document: Status) -> RenderableType:
    """For people at a terminal; what must be done stands below, in whole sentences."""
    grid = Table(*COLUMNS, title=None, box=None, pad_edge=False, header_style="bold")
    for page in document.pages:
        state = Text(page.state.value, STYLES[page.state])
        grid.add_row(
            Text(named(page)),
            state,
            ago(page.proved_until, document.at),
            backfill(page),
            reconcile(page, document.at),
            holes(page),
        )
    todo = [Text(f"{page.page_id}: {page.action}") for page in document.pages if page.action]
    return Group(grid, Text(summary(document), "bold"), *todo)


def lines(document: Status) -> Iterator[str]:
    """For a pipe: a page a line, words in a fixed order, and the sum at the end."""
    for page in document.pages:
        parts = [
            page.page_id,
            page.state.value,
            f"proved {moment(page.proved_until) or 'never'}",
            f"back-fill {backfill(page)}",
            f"reconcile {reconcile(page, document.at)}",
            f"holes {holes(page)}",
        ]
        yield "; ".join([*parts, page.action] if page.action else parts)
    yield summary(document)


def summary(document: Status) -> str:
    """How many pages there are, and how many of them need a look."""
    if not document.pages:
        return "no pages: no poller has run yet"
    whole = sum(page.state is State.COMPLETE for page in document.pages)
    return f"{len(document.pages)} pages, {whole} complete, {document.left_out} with something left out"


def named(page: PageReport) -> str:
    return f"{page.name} ({page.page_id})" if page.name not in ("", page.page_id) else page.page_id


def backfill(page: PageReport) -> str:
    """``done``, or how far it is and how long it will take."""
    fill = page.backfill
    if fill.done:
        return "done"
    if not fill.listed:
        return "not begun"
    listing = "" if fill.list_ended else ", still listing"
    left = "" if fill.seconds_left is None else f", about {span(fill.seconds_left)}"
    # Rounded down: 100 % is said by "done" alone.
    return f"{int(fill.share * 100)} % of {fill.listed:,}{listing}{left}"


def reconcile(page: PageReport, now: int) -> str:
    """When the last whole one ended, and what all of them found."""
    said = page.reconcile
    words = [f"{ago(said.ended, now)}"]
    words += ["under way"] if said.since else []
    counts = {"found": said.found, "healed": said.healed, "vanished": said.vanished}
    words += [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join(words)


def holes(page: PageReport) -> str:
    """How many, and why the oldest of them are there."""
    if not page.holes_open:
        return "none"
    reasons = sorted({hole.reason for hole in page.holes})
    return f"{page.holes_open:,} ({', '.join(reasons)})" if reasons else f"{page.holes_open:,}"


def ago(at: int, now: int) -> str:
    return f"{span(max(0, now - at) / 1000)} ago" if at else "never"


def span(seconds: float) -> str:
    """In the largest unit of which there are two at least: ``90 s``, ``4 min``, ``30 h``."""
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds)} s"
