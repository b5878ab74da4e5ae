"""What the demo shows: a frozen moment → a picture for a terminal, or one line for a pipe. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Phase = Literal["starting", "running", "catching up", "stopping", "ended"]
PageState = Literal["joining", "back-fill", "live", "parked"]

STATE_STYLES: Mapping[PageState, str] = {
    "joining": "dim",
    "back-fill": "yellow",
    "live": "green",
    "parked": "bold red",
}
BAR_CELLS = 20


@dataclass(frozen=True, slots=True)
class Use:
    """Calls of the last second against the limit of a second, and how many wait for their turn."""

    calls: int
    limit: int
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class PageRow:
    """
    One page. ``arrived`` of its ``seeded`` conversations have been in FolkForm, whole.

    ``behind``: seconds since the newest change of the conversation that waits longest; None: none waits.
    """

    name: str
    conversations: int
    messages: int
    state: PageState
    arrived: int
    seeded: int
    behind: float | None
    use: Use


@dataclass(frozen=True, slots=True)
class TopicRow:
    """Records of one topic: acknowledged by the broker, and settled by the sink."""

    name: str
    published: int
    delivered: int

    @property
    def lag(self) -> int:
        return max(0, self.published - self.delivered)


@dataclass(frozen=True, slots=True)
class Totals:
    """
    Since the start.

    ``most``: calls of one page that any one second held, as Pancake counted them. ``arrival``: median
    seconds from a change at Pancake until FolkForm has it. ``changes`` by kind.
    """

    pancake_calls: int = 0
    pancake_refused: int = 0
    most: int = 0
    folkform_calls: int = 0
    folkform_refused: int = 0
    dead_letters: int = 0
    arrival: float | None = None
    changes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One moment of the demo.

    ``seconds``: how long the whole shall last; None: until Ctrl-C. ``servers``: where each can be reached.
    """

    phase: Phase
    elapsed: float
    seconds: float | None
    pages: tuple[PageRow, ...]
    topics: tuple[TopicRow, ...]
    folkform: Use
    totals: Totals
    servers: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def events_per_call(self) -> float:
        return sum(topic.delivered for topic in self.topics) / max(1, self.totals.folkform_calls)


def picture(moment: Snapshot) -> RenderableType:
    """The whole screen: it needs 80 columns and fits 24 rows."""
    return Group(
        _head(moment),
        Padding(_pages(moment), (1, 0)),
        _topics(moment),
        Padding(_facts(moment), (1, 0, 0, 0)),
        *(Text(f"! {line}", style="yellow", no_wrap=True, overflow="ellipsis") for line in moment.warnings),
    )


def line(moment: Snapshot) -> str:
    """The same in one line."""
    arrived = sum(page.arrived for page in moment.pages)
    seeded = sum(page.seeded for page in moment.pages)
    pages = " ".join(f"{page.use.calls}/{page.use.limit}" for page in moment.pages)
    parts = [
        f"{moment.elapsed:4.0f} s {moment.phase}",
        f"back-fill {arrived}/{seeded}",
        _worst(moment.pages),
        f"lag {sum(topic.lag for topic in moment.topics)} records",
        f"calls/s: pages {pages}, FolkForm {moment.folkform.calls}/{moment.folkform.limit}",
        f"{moment.events_per_call:.1f} events/call",
        f"{moment.totals.dead_letters} dead letters",
    ]
    return " | ".join(parts)


def bar(use: Use, cells: int) -> Text:
    """``use`` as full and empty cells; a call more than none shows at least one."""
    full = min(cells, math.ceil(cells * use.calls / max(1, use.limit)))
    style = "red" if use.calls > use.limit else "cyan"
    return Text.assemble(("█" * full, style), ("░" * (cells - full), "dim"))


def _head(moment: Snapshot) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    clock = f"{moment.elapsed:.0f} s"
    if moment.seconds is not None:
        clock += f" of {moment.seconds:.0f} s"
    grid.add_row(
        Text("Pancake → Kafka → FolkForm, in one process", style="bold"),
        Text.assemble((moment.phase, "bold cyan"), f" · {clock}"),
    )
    told = "Two simulators, invented data. Ctrl-C: deliver what is left, audit, end."
    return Group(grid, Text(told, style="dim", no_wrap=True, overflow="ellipsis"))


def _table(*columns: tuple[str, int]) -> Table:
    # Fixed widths: a column that grows with a number makes everything beside it jump.
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim")
    for title, width in columns:
        if width:
            table.add_column(title, justify="right", width=width, no_wrap=True)
        else:
            table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _pages(moment: Snapshot) -> RenderableType:
    widths = {"Conversations": 13, "Messages": 8, "State": 15, "In FolkForm": 12, "Calls/s": 9}
    table = _table(("Page", 0), *widths.items())
    for page in moment.pages:
        table.add_row(
            page.name,
            f"{page.conversations:,}",
            f"{page.messages:,}",
            _state(page),
            _freshness(page),
            Text.assemble(bar(page.use, 5), f" {page.use.calls}/{page.use.limit}"),
        )
    return table


def _state(page: PageRow) -> Text:
    style = STATE_STYLES[page.state]
    if page.state == "back-fill":
        return Text(f"back-fill {page.arrived}/{page.seeded}", style=style)
    return Text(page.state, style=style)


def _freshness(page: PageRow) -> Text:
    if page.behind is not None:
        return Text(_behind(page.behind), style="yellow")
    if page.arrived < page.seeded:
        return Text("on its way", style="yellow")
    return Text("up to date", style="green")


def _worst(pages: tuple[PageRow, ...]) -> str:
    behind = max((page.behind for page in pages if page.behind is not None), default=None)
    return "nothing waits" if behind is None else _behind(behind)


def _behind(seconds: float) -> str:
    return f"{seconds:.1f} s behind" if round(seconds, 1) < 10 else f"{seconds:.0f} s behind"  # noqa: PLR2004


def _topics(moment: Snapshot) -> RenderableType:
    table = _table(("Topic", 0), ("Published", 12), ("Settled", 12), ("Lag", 16))
    for topic in moment.topics:
        style = "yellow" if topic.lag else "green"
        lag = Text(f"{topic.lag:,} records", style=style)
        table.add_row(topic.name, f"{topic.published:,}", f"{topic.delivered:,}", lag)
    return table


def _facts(moment: Snapshot) -> RenderableType:
    totals, use = moment.totals, moment.folkform
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(style="dim", width=8)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    limit = f" {use.calls} of {use.limit} calls in the last second, {use.waiting} waiting"
    grid.add_row("FolkForm", Text.assemble(bar(use, BAR_CELLS), limit))
    grid.add_row("", Text("(its default is 100 a minute; the demo allows more, to be watched)", "dim"))
    grid.add_row(
        "Packing",
        f"{sum(topic.delivered for topic in moment.topics):,} events in {totals.folkform_calls:,}"
        f" FolkForm calls: {moment.events_per_call:.1f} events per call",
    )
    grid.add_row("Limits", _limits(moment))
    grid.add_row("Arrival", _arrival(totals))
    grid.add_row("Changes", ", ".join(f"{count} {kind}" for kind, count in totals.changes))
    shelf = Text(f"{totals.dead_letters} dead letters", "bold red" if totals.dead_letters else "green")
    grid.add_row("Shelf", shelf)
    grid.add_row("Servers", moment.servers)
    return grid


def _limits(moment: Snapshot) -> Text:
    totals = moment.totals
    refused = totals.pancake_refused + totals.folkform_refused
    limit = max((page.use.limit for page in moment.pages), default=0)
    return Text.assemble(
        f"{totals.pancake_calls:,} Pancake calls, at most {totals.most} of {limit} a second per page; ",
        (f"{refused} refused", "bold red" if refused else "green"),
    )


def _arrival(totals: Totals) -> str:
    if totals.arrival is None:
        return "no change has arrived yet"
    return f"a change at Pancake is in FolkForm after {totals.arrival:.1f} s (median, latest 100)"
