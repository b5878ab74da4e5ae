"""Which pages this process reads: those whose partition it owns."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import structlog

from connector.clock import Deadline
from connector.engine.poller import PagePoller, PollerTools
from connector.errors import RetryableError, UnauthorizedError
from connector.leaving import unless
from connector.model import CursorRecord, Page, Partition, Turn
from connector.ports import Consumer, CursorStore, PageDirectory, PageReader, Step
from connector.telemetry import OWNERSHIP

log = structlog.get_logger("connector.poller")


@dataclass(frozen=True, slots=True)
class Source(Generic[Step]):
    """How pages are found, placed and read."""

    directory: PageDirectory
    cursors: CursorStore
    partition_of: Callable[[str], int]
    open: Callable[[Page, Sequence[CursorRecord]], PageReader[Step]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two looks at the list of pages, and for a hand-over."""

    pages_interval: float
    drain: float


class Fleet(Generic[Step]):
    """
    Runs a poller for every page of the partitions it owns; a Listener of its consumer.

    The assignment of the topic of pages *is* the map of pages to processes.
    """

    def __init__(self, consumer: Consumer, source: Source[Step], tools: PollerTools, pace: Pace) -> None:
        self.pollers: dict[str, PagePoller[Step]] = {}
        self.beat = tools.clock.monotonic()
        self.ready = False
        self._consumer = consumer
        self._source = source
        self._tools = tools
        self._pace = pace
        self._pages: Mapping[str, Page] = {}
        self._listed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._states: dict[int, dict[str, list[CursorRecord]]] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._announced: set[Page] = set()
        self._once = False
        self._opened: set[str] = set()
        self.left_out = 0

    async def run(self, stop: asyncio.Event, *, once: bool = False) -> None:
        """
        Read the pages until ``stop`` is set; with ``once`` until each had one whole pass.

        Raises:
            FatalError: the credentials, a topic or a setting are not as they must be.
        """
        self._once = once
        await self._consumer.start(self)
        listing = asyncio.create_task(self._keep_listing(stop))
        try:
            while not stop.is_set() and not (once and self._finished()):
                await self._consumer.poll(Turn())
                self.beat = self._tools.clock.monotonic()
                self._raise_failures(listing)
        finally:
            self.ready = False
            self.left_out = sum((p.parked is not None) + p.reader.holes for p in self.pollers.values())
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)
            await self._consumer.close()

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._loading[partition.number] = asyncio.create_task(self._take_over(partition.number))
        self._note("assigned", partitions)
        self.ready = True

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        await self._leave(partitions, Deadline.after(self._tools.clock, self._pace.drain))
        self._note("revoked", partitions)
        return {}

    async def lost(self, partitions: Sequence[Partition]) -> None:
        await self._leave(partitions, Deadline.after(self._tools.clock, 0.0))
        self._note("lost", partitions)

    async def _take_over(self, number: int) -> None:
        await self._load(number)
        await self._listed.wait()
        await self._open_pages()

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
            return
        states: dict[str, list[CursorRecord]] = defaultdict(list)
        for record in records:
            states[record.page_id].append(record)
        self._states[number] = states

    async def _keep_listing(self, stop: asyncio.Event) -> None:
        tries = 0
        while not stop.is_set():
            try:
                self._pages = {page.id: page for page in await self._source.directory.pages()}
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
            await self._open_pages()
            await unless(stop, self._tools.clock.sleep(self._pace.pages_interval))

    async def _open_pages(self) -> None:
        mine = [page for page in self._pages.values() if self._source.partition_of(page.id) in self._states]
        new = [page for page in mine if page not in self._announced]
        try:
            await self._tools.publisher.announce(new)
            self._announced |= set(new)
        except RetryableError as problem:
            # The next look at the list announces them; reading them need not wait for it.
            log.warning("pages not announced", problem=str(problem))
        for page in mine:
            if page.id in self._opened and page.id not in self.pollers:
                await self._load(self._source.partition_of(page.id))
            self._open(page)

    def _open(self, page: Page) -> None:
        states = self._states.get(self._source.partition_of(page.id))
        if states is None or page.id in self.pollers:
            return
        reader = self._source.open(page, states.pop(page.id, []))
        poller = self.pollers[page.id] = PagePoller(page.id, reader, self._tools)
        self._tasks[page.id] = asyncio.create_task(poller.run(once=self._once), name=f"page {page.id}")
        self._opened.add(page.id)

    async def _close_absent(self) -> None:
        gone = [page_id for page_id in self.pollers if page_id not in self._pages]
        if gone:
            log.warning("pages gone from the list", pages=gone)
            await self._stop(gone, Deadline.after(self._tools.clock, self._pace.drain))

    async def _leave(self, partitions: Sequence[Partition], deadline: Deadline) -> None:
        numbers = {partition.number for partition in partitions}
        for number in numbers:
            if (loading := self._loading.pop(number, None)) is not None:
                loading.cancel()
            self._states.pop(number, None)
        self._opened = {
            page_id for page_id in self._opened if self._source.partition_of(page_id) not in numbers
        }
        await self._stop([p for p in self.pollers if self._source.partition_of(p) in numbers], deadline)

    async def _stop(self, page_ids: Sequence[str], deadline: Deadline) -> None:
        await asyncio.gather(*(self.pollers[page_id].drain(deadline) for page_id in page_ids))
        # A page may leave the list while its partition is handed over: whoever comes first ends it.
        tasks = [self._tasks.pop(page_id) for page_id in page_ids if page_id in self._tasks]
        for task in tasks:
            task.cancel()
        for page_id in page_ids:
            self.pollers.pop(page_id, None)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wait(self, tries: int, problem: RetryableError | UnauthorizedError) -> float:
        if isinstance(problem, UnauthorizedError):
            # A person must act; the pages go on with the tokens they have.
            return self._pace.pages_interval
        return self._tools.backoff.wait(tries, problem)

    def _finished(self) -> bool:
        loaded = self.ready and all(task.done() for task in self._loading.values())
        return loaded and self._listed.is_set() and all(task.done() for task in self._tasks.values())

    def _raise_failures(self, listing: asyncio.Task[None]) -> None:
        for task in (listing, *self._tasks.values(), *self._loading.values()):
            if task.done() and not task.cancelled():
                task.result()

    def _note(self, change: str, partitions: Sequence[Partition]) -> None:
        self._tools.metrics.count(OWNERSHIP, change, by=len(partitions))
        if partitions:
            log.info("ownership", change=change, partitions=[str(partition) for partition in partitions])
