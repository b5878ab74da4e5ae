"""A source of pages in memory: each page is a row of steps, each step one call."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence

from connector.errors import ParkedError, UnavailableError
from connector.leaving import unless
from connector.model import (
    Backfill,
    Completeness,
    CursorRecord,
    DeadLetter,
    Event,
    Page,
    Problem,
    SourceBatch,
)
from tests.fakes.events import message

REST_SECONDS = 30.0
DONE = b"done"


class FakeSource:
    """
    What the source holds, and how each call to it goes: it outlives processes.

    ``calls`` are the calls answered, in order, as page and step.
    """

    def __init__(self, pages: dict[str, int]) -> None:
        """``pages``: how many steps one pass of each page has."""
        self.steps = dict(pages)
        self.calls: list[tuple[str, int]] = []
        self.tries: Counter[tuple[str, int]] = Counter()
        self.on_the_wire: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.opened: list[tuple[str, int]] = []
        self.rejecting: set[tuple[str, int]] = set()
        self.settling: set[tuple[str, int]] = set()  # steps that ask nothing and prove the page
        self.answer: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)  # takes that long
        self._problems: dict[tuple[str, int], list[Exception]] = defaultdict(list)
        self._gates: dict[tuple[str, int], asyncio.Event] = {}
        self._rations: dict[str, asyncio.Event] = {}

    def fail(self, page_id: str, step: int, *problems: Exception) -> None:
        """Let the next calls for a step raise."""
        self._problems[page_id, step] += problems

    def park(self, page_id: str, *, times: int = 1) -> None:
        """Let the next calls for the first step of a page need a person."""
        self.fail(page_id, 0, *(ParkedError("no token", action="sign in"),) * times)

    def recover(self) -> None:
        """Nothing fails any more."""
        self._problems.clear()

    def hold(self, page_id: str, step: int) -> asyncio.Event:
        """Keep calls for a step on the wire until the event returned is set."""
        return self._gates.setdefault((page_id, step), asyncio.Event())

    def ration(self, page_id: str) -> asyncio.Event:
        """Let the calls of a page wait for their grant until the event returned is set."""
        return self._rations.setdefault(page_id, asyncio.Event())

    async def granted(self, page_id: str, leaving: asyncio.Event | None) -> None:
        if page_id in self._rations and not await unless(
            leaving or asyncio.Event(), self._rations[page_id].wait()
        ):
            raise UnavailableError("not sent, the partition is handed over")

    def open(self, page: Page, cursors: Sequence[CursorRecord]) -> "FakeReader":
        """A reader that goes on behind the steps that ``cursors`` say are done."""
        return FakeReader(self, page.id, self.done_by(page, cursors))

    def done_by(self, page: Page, cursors: Sequence[CursorRecord]) -> set[int]:
        """The steps that ``cursors`` say are done, for one who opens the page."""
        done = {int(cursor.conversation_id) for cursor in cursors if cursor.state == DONE}
        self.opened.append((page.id, len(done)))
        return done

    async def call(self, page_id: str, step: int) -> SourceBatch:
        where = (page_id, step)
        self.tries[where] += 1
        self.on_the_wire[page_id] += 1
        self.most_at_once[page_id] = max(self.most_at_once[page_id], self.on_the_wire[page_id])
        try:
            await self.answer()
            if where in self._gates:
                await self._gates[where].wait()
        finally:
            self.on_the_wire[page_id] -= 1
        if self._problems[where]:
            raise self._problems[where].pop(0)
        self.calls.append(where)
        letter = DeadLetter(page_id.encode(), b"{}", Problem("missing_id", "it has none"), 1)
        return SourceBatch(
            events_of(page_id, step),
            (letter,) if where in self.rejecting else (),
            (CursorRecord(page_id, str(step), DONE),),
            asked=where not in self.settling,
        )


def events_of(page_id: str, step: int) -> tuple[Event, ...]:
    """What the call for a step brings."""
    return tuple(message(f"{page_id}-{step}", f"m{n}", page_id=page_id) for n in range(2))


class FakeReader:
    """The PageReader port: a step is its number; all of them may run side by side."""

    def __init__(self, source: FakeSource, page_id: str, done: set[int]) -> None:
        self.done = done
        self.holes = 0
        self.proved_until = 0
        self.failures: list[tuple[int, float]] = []
        self.hints: list[float] = []
        self._source = source
        self._page_id = page_id
        self._out: set[int] = set()
        self._rests_until = 0.0

    @property
    def _pending(self) -> list[int]:
        return [n for n in range(self._source.steps[self._page_id]) if n not in self.done | self._out]

    @property
    def caught_up(self) -> bool:
        return not self._pending and not self._out

    @property
    def completeness(self) -> Completeness:
        owed = len(self._pending) + len(self._out)
        return Completeness(
            self._page_id,
            self.proved_until,
            holes_open=self.holes,
            backfill=Backfill(listed=self._source.steps[self._page_id], owed=owed),
        )

    def hint(self, now: float) -> None:
        self.hints.append(now)

    def next_step(self, now: float) -> int | None:
        pending = self._pending
        if not pending:
            self._rests_until = now + REST_SECONDS
            return None
        self._out.add(pending[0])
        return pending[0]

    def wake_at(self) -> float | None:
        if self._pending:
            return 0.0
        return None if self._out else self._rests_until

    async def read(self, step: int, leaving: asyncio.Event | None = None) -> SourceBatch:
        await self._source.granted(self._page_id, leaving)
        return await self._source.call(self._page_id, step)

    def saved(self, step: int) -> None:
        self._out.discard(step)
        self.done.add(step)
        self.proved_until += (self._page_id, step) in self._source.settling

    def failed(self, step: int, now: float) -> None:
        self._out.discard(step)
        self.failures.append((step, now))


class FakeDirectory:
    """The PageDirectory port: ``listed`` may change while everything runs."""

    def __init__(self, page_ids: Sequence[str]) -> None:
        self.listed = list(page_ids)
        self.looks = 0
        self._problems: list[Exception] = []

    def fail(self, *problems: Exception) -> None:
        self._problems += problems

    async def pages(self) -> Sequence[Page]:
        self.looks += 1
        await asyncio.sleep(0)
        if self._problems:
            raise self._problems.pop(0)
        return [Page(page_id, f"user-{page_id}") for page_id in self.listed]
