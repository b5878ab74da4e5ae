"""Which pages this process reads: those whose partition it owns."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import structlog

from connector.clock import Deadline
from connector.engine.crew import Crew
from connector.engine.guard import Guard
from connector.engine.hearing import Hearing
from connector.engine.poller import PagePoller, PollerTools
from connector.engine.standing import Standing
from connector.engine.tasks import Tasks
from connector.errors import RetryableError, UnauthorizedError
from connector.leaving import unless
from connector.model import CursorRecord, Page, Partition, Turn
from connector.ports import Consumer, CursorStore, Notices, PageDirectory, PageReader, Step
from connector.telemetry import OWNERSHIP

log = structlog.get_logger("connector.poller")


@dataclass(frozen=True, slots=True)
class Source(Generic[Step]):
    """How pages are found, placed, read and told of."""

    directory: PageDirectory
    cursors: CursorStore
    notices: Notices
    partition_of: Callable[[str], int]
    open: Callable[[Page, Sequence[CursorRecord]], PageReader[Step]]


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Seconds: between two looks at the list of pages, and for a hand-over.

    ``reclaim``: after another process claimed a partition, until we claim it again if the group still
    says that it is ours. Longer than a member needs to learn that it is none, or two would take turns.
    """

    pages_interval: float
    drain: float
    reclaim: float = 20.0


class Fleet(Generic[Step]):
    """
    Runs a poller for every page of the partitions it owns; a Listener of its consumer.

    The assignment of the topic of pages *is* the map of pages to processes. A turn of the loop costs the
    same however many pages there are.
    """

    def __init__(self, consumer: Consumer, source: Source[Step], tools: PollerTools, pace: Pace) -> None:
        self.beat = tools.clock.monotonic()
        self.ready = False
        self.left_out = 0
        self._consumer = consumer
        self._source = source
        self._tools = tools
        self._pace = pace
        self._guard = Guard(source.cursors, tools.clock, tools.backoff)
        self._crew = Crew(tools, self._guard, source.open)
        self._beside = Tasks()
        self.hints = Hearing(self._crew.pollers, lambda: self._known, source.notices, self._beside)
        self._standing = Standing(self._crew.pollers, source.notices, tools.clock, tools.metrics)
        self._pages: dict[int, list[Page]] = {}
        self._known: frozenset[str] = frozenset()
        self._listed = asyncio.Event()
        self._states: dict[int, dict[str, list[CursorRecord]]] = {}
        self._loads = Tasks()
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._announced: set[Page] = set()
        self._opened: set[str] = set()
        self._once = False

    @property
    def pollers(self) -> Mapping[str, PagePoller[Step]]:
        """Those that read now, by their page's id."""
        return self._crew.pollers

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> None:
        """
        Read the pages until ``stop`` is set; with ``once`` until each had one whole pass.

        Raises:
            FatalError: the credentials, a topic or a setting are not as they must be.
        """
        self._once = once
        await self._consumer.start(self)
        self._beside.start(self._keep_listing(stop), "list of pages")
        self._beside.start(self._standing.keep(), "how pages stand")
        try:
            while not stop.is_set() and not (once and self._finished()):
                polled = await self._consumer.poll(Turn())
                self.beat = self._tools.clock.monotonic()
                self._guard.turn()
                await self._stand_down(self._states.keys() - self._source.cursors.held())
                self.hints.hear(polled.records)
                for part in (self._beside, self._loads, self._crew):
                    part.raise_failure()
            if once:
                await self._standing.report()
        finally:
            self.ready = False
            self.left_out = self._crew.left_out()
            await self._beside.cancel()
            await self._consumer.close()
            await self._source.cursors.close()

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._begin(partition.number, self._take_over(partition.number))
        self._note("assigned", partitions)
        self.ready = True

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        await self._leave({p.number for p in partitions}, self._pace.drain)
        self._note("revoked", partitions)
        return {}

    async def lost(self, partitions: Sequence[Partition]) -> None:
        await self._leave({p.number for p in partitions}, 0.0)
        self._note("lost", partitions)

    async def _stand_down(self, numbers: Collection[int]) -> None:
        """Stop at once what another process has claimed; and if it is ours all the same, come back later."""
        for number in numbers:
            log.warning("partition claimed by another process", partition=number)
            self._tools.metrics.count(OWNERSHIP, "claimed by another")
            await self._leave({number}, 0.0)
            self._begin(number, self._come_back(number))

    async def _come_back(self, number: int) -> None:
        # A process that lost the partition just before it wrote its claim has stopped us, and will not
        # read. If we are the one who lost it, we are told, and this ends, before we claim again.
        await self._tools.clock.sleep(self._pace.reclaim)
        log.info("partition claimed again", partition=number)
        await self._take_over(number)

    def _begin(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        self._loading[number] = self._loads.start(work, f"partition {number}")

    async def _take_over(self, number: int) -> None:
        await self._load(number)
        await self._listed.wait()
        await self._open_pages([number])

    async def _load(self, number: int) -> None:
        """Read where the pages of a partition stand, as of now: an old reading would do work again."""
        tenure = self._loading.get(number)
        tries = 0
        while True:
            try:
                records = await self._source.cursors.load(number)
                break
            except RetryableError as problem:
                tries += 1
                log.warning("take-over repeated", partition=number, tries=tries, problem=str(problem))
                await self._tools.clock.sleep(self._tools.backoff.wait(tries, problem))
        if tenure is None or self._loading.get(number) is not tenure:
            # Handed over meanwhile: its pages must not be opened here any more.
            if number not in self._loading:
                self._source.cursors.release(number)
            return
        states: dict[str, list[CursorRecord]] = defaultdict(list)
        for record in records:
            if record.page_id not in self.pollers:
                states[record.page_id].append(record)
        self._states[number] = states

    async def _keep_listing(self, stop: asyncio.Event) -> None:
        tries = 0
        while not stop.is_set():
            try:
                self._place(await self._source.directory.pages())
            except (RetryableError, UnauthorizedError) as problem:
                if isinstance(problem, UnauthorizedError) and not self._listed.is_set():
                    raise
                tries += 1
                log.warning("list of pages repeated", tries=tries, problem=str(problem))
                await unless(stop, self._tools.clock.sleep(self._wait(tries, problem)))
                continue
            tries = 0
            self._listed.set()
            await self._close_absent()
            await self._open_pages(self._states)
            await unless(stop, self._tools.clock.sleep(self._pace.pages_interval))

    def _place(self, pages: Sequence[Page]) -> None:
        placed: dict[int, list[Page]] = defaultdict(list)
        for page in pages:
            placed[self._source.partition_of(page.id)].append(page)
        self._pages, self._known = placed, frozenset(page.id for page in pages)

    async def _open_pages(self, numbers: Collection[int]) -> None:
        mine = [(number, page) for number in numbers for page in self._pages.get(number, ())]
        await self._announce([page for _, page in mine if page not in self._announced])
        for number, page in mine:
            if page.id in self._opened and page.id not in self.pollers:
                await self._load(number)
            self._open(number, page)

    async def _announce(self, pages: Sequence[Page]) -> None:
        try:
            await self._tools.publisher.announce(pages)
            self._announced |= set(pages)
        except RetryableError as problem:
            # The next look at the list announces them; reading them need not wait for it.
            log.warning("pages not announced", problem=str(problem))

    def _open(self, number: int, page: Page) -> None:
        states = self._states.get(number)
        if states is not None and page.id not in self.pollers:
            self._crew.start(page, number, states.pop(page.id, []), once=self._once)
            self._opened.add(page.id)

    async def _close_absent(self) -> None:
        gone = [page_id for page_id in self.pollers if page_id not in self._known]
        if gone:
            log.warning("pages gone from the list", pages=gone)
            await self._crew.stop(gone, Deadline.after(self._tools.clock, self._pace.drain))

    async def _leave(self, numbers: Collection[int], seconds: float) -> None:
        deadline = Deadline.after(self._tools.clock, seconds)
        for number in numbers:
            if (loading := self._loading.pop(number, None)) is not None:
                loading.cancel()
            self._states.pop(number, None)
        theirs = {page_id for page_id in self._opened if self._source.partition_of(page_id) in numbers}
        self._opened -= theirs
        await self._crew.stop([page_id for page_id in self.pollers if page_id in theirs], deadline)
        for number in numbers:
            self._source.cursors.release(number)

    def _wait(self, tries: int, problem: RetryableError | UnauthorizedError) -> float:
        if isinstance(problem, UnauthorizedError):
            # A person must act; the pages go on with the tokens they have.
            return self._pace.pages_interval
        return self._tools.backoff.wait(tries, problem)

    def _finished(self) -> bool:
        return self.ready and self._listed.is_set() and self._loads.idle and self._crew.idle

    def _note(self, change: str, partitions: Sequence[Partition]) -> None:
        self._tools.metrics.count(OWNERSHIP, change, by=len(partitions))
        if partitions:
            log.info("ownership", change=change, partitions=[str(partition) for partition in partitions])
