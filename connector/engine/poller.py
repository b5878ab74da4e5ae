"""One page: make the calls that are due, publish what they brought, and only then save where we are."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import structlog

from connector.clock import Clock, Deadline
from connector.engine.backoff import Backoff
from connector.engine.parking import Parking
from connector.errors import ParkedError, RetryableError
from connector.leaving import unless
from connector.model import SourceBatch
from connector.ports import DeadLetters, PageReader, Publisher, Step
from connector.telemetry import PASSES, PUBLISHED, REJECTED_AT_SOURCE, STEPS_FAILED, Metrics

IDLE_SECONDS = 1.0  # a reader that names no moment is asked again after this

Holds = Callable[[asyncio.Event], Awaitable[bool]]

log = structlog.get_logger("connector.poller")


async def always(_leaving: asyncio.Event) -> bool:
    """For a page that nobody else can own."""
    return True


@dataclass(frozen=True, slots=True)
class PollerTools:
    """What the pages of a process share. ``lanes``: calls of one page side by side."""

    publisher: Publisher
    dead_letters: DeadLetters
    backoff: Backoff
    clock: Clock
    metrics: Metrics
    lanes: int


class PagePoller(Generic[Step]):
    """Reads one page until told to leave. ``parking`` holds what a person must do, if anything."""

    def __init__(
        self, page_id: str, reader: PageReader[Step], tools: PollerTools, holds: Holds = always
    ) -> None:
        """``holds``: whether the page's partition is still ours to write for; asked before each write."""
        self.page_id = page_id
        self.reader = reader
        self.parking = Parking()
        self._tools = tools
        self._holds = holds
        self._running: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._not_before = 0.0
        self._leaving = asyncio.Event()
        self._news = asyncio.Event()

    @property
    def parked(self) -> str | None:
        """What a person must do before the page can be read."""
        return self.parking.action

    @property
    def _lanes(self) -> int:
        return self._tools.lanes if self.parked is None else 1

    async def run(self, *, once: bool = False) -> None:
        """
        Poll until ``drain``; with ``once`` until one whole pass is saved, or the page is parked.

        Ends, too, when the partition is no more ours to write for.

        Raises:
            FatalError: the process must stop.
        """
        try:
            while not self._leaving.is_set() and not (once and self._finished()):
                self._news.clear()
                self._start_steps()
                await self._wait()
                self._raise_failures()
            # What is under way comes home; who drained us cancels us when its time is over.
            await asyncio.gather(*self._running)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def drain(self, deadline: Deadline) -> None:
        """Begin no further call; let those under way be published and saved until the deadline."""
        self._leave()
        if self._running:
            await asyncio.wait(self._running, timeout=deadline.left())

    def hint(self) -> None:
        """Somebody says that the page has changed: it is worth a look, at once if its reader thinks so."""
        self.reader.hint(self._tools.clock.monotonic())
        self._news.set()

    def _leave(self) -> None:
        self._leaving.set()
        self._news.set()

    def _finished(self) -> bool:
        return not self._running and (self.reader.caught_up or self.parked is not None)

    def _start_steps(self) -> None:
        now = self._tools.clock.monotonic()
        while now >= self._not_before and len(self._running) < self._lanes:
            step = self.reader.next_step(now)
            if step is None:
                return
            task = asyncio.create_task(self._step(step), name=f"page {self.page_id}")
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._news.set()
        if task.cancelled() or task.exception() is None:
            self._running.discard(task)

    def _raise_failures(self) -> None:
        for task in self._running:
            if task.done():
                task.result()

    async def _wait(self) -> None:
        """Until a step ends, the next one is due, or we leave: whichever comes first."""
        due = self.reader.wake_at()
        if len(self._running) >= self._lanes or (due is None and self._running):
            await self._news.wait()
            return
        now = self._tools.clock.monotonic()
        due = max(now + IDLE_SECONDS if due is None else due, self._not_before)
        await unless(self._news, self._tools.clock.sleep(due - now))

    async def _step(self, step: Step) -> None:
        term = self.parking.term
        try:
            batch = await self.reader.read(step, self._leaving)
        except RetryableError as problem:
            if self._leaving.is_set():
                self.reader.failed(step, self._tools.clock.monotonic())
                return
            self._failures += 1
            if self._failures & (self._failures - 1) == 0:
                log.warning("step repeated", page=self.page_id, tries=self._failures, problem=str(problem))
            self._hold(step, self._tools.backoff.wait(self._failures, problem))
        except ParkedError as problem:
            if self.parking.refused(term, problem.action, self._tools.clock.epoch_ms()):
                log.warning("page parked", page=self.page_id, problem=str(problem), action=problem.action)
            self._hold(step, self.parking.wait)
        else:
            if batch.asked and self.parking.answered(term):
                log.info("page no longer parked", page=self.page_id)
            self._failures = 0
            # The line that moves the position stands right behind the line that earned it.
            if await self._publish(batch):
                self._saved(step, asked=batch.asked)

    def _saved(self, step: Step, *, asked: bool) -> None:
        proved = 0 if asked else self.reader.completeness.proved_until
        self.reader.saved(step)
        # A step that asks nothing moves the page's position: with the last of a scan, what is proved moves.
        if not asked and self.reader.completeness.proved_until > proved:
            self._tools.metrics.count(PASSES)

    def _hold(self, step: Step, seconds: float) -> None:
        now = self._tools.clock.monotonic()
        self._not_before = max(self._not_before, now + seconds)
        self.reader.failed(step, now)
        self._tools.metrics.count(STEPS_FAILED, self.page_id)

    async def _publish(self, batch: SourceBatch) -> bool:
        """Events and dead letters first, all acknowledged; then the cursors. False: we left before."""
        tools = self._tools
        done = (
            await self._acknowledged(lambda: tools.publisher.publish(batch.events))
            and await self._acknowledged(lambda: tools.dead_letters.put(batch.rejected))
            and await self._acknowledged(lambda: tools.publisher.save(batch.cursors))
        )
        if done:
            for event in batch.events:
                tools.metrics.count(PUBLISHED, event.kind, event.origin)
            for letter in batch.rejected:
                tools.metrics.count(REJECTED_AT_SOURCE)
                log.warning(
                    "dead letter",
                    page=self.page_id,
                    reason=letter.problem.reason,
                    problem=letter.problem.message,
                )
        return done

    async def _acknowledged(self, produce: Callable[[], Awaitable[None]]) -> bool:
        tries = 0
        while await self._may_write():
            try:
                await produce()
            except RetryableError as problem:
                tries += 1
                log.warning("publishing repeated", page=self.page_id, tries=tries, problem=str(problem))
                wait = self._tools.backoff.wait(tries, problem)
                if not await unless(self._leaving, self._tools.clock.sleep(wait)):
                    return False
            else:
                return True
        return False

    async def _may_write(self) -> bool:
        # Another process may have claimed the partition while we waited, or while this process stood
        # still: what we publish behind its claim could put an older snapshot over a newer one.
        if await self._holds(self._leaving):
            return True
        self._leave()
        return False
