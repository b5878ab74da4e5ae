"""One page: make the calls that are due, publish what they brought, and only then save where we are."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import structlog

from connector.clock import Clock, Deadline
from connector.engine.backoff import Backoff
from connector.errors import ParkedError, RetryableError
from connector.leaving import unless
from connector.model import SourceBatch
from connector.ports import DeadLetters, PageReader, Publisher, Step
from connector.telemetry import PUBLISHED, REJECTED_AT_SOURCE, STEPS_FAILED, Metrics

PARKED_SECONDS = 300.0
IDLE_SECONDS = 1.0  # a reader that names no moment is asked again after this

log = structlog.get_logger("connector.poller")


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
    """Reads one page until told to leave. ``parked`` holds what a person must do, if anything."""

    def __init__(self, page_id: str, reader: PageReader[Step], tools: PollerTools) -> None:
        self.page_id = page_id
        self.reader = reader
        self.parked: str | None = None
        self._tools = tools
        self._running: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._not_before = 0.0
        self._leaving = asyncio.Event()
        self._news = asyncio.Event()

    async def run(self, *, once: bool = False) -> None:
        """
        Poll until ``drain``; with ``once`` until one whole pass is saved, or the page is parked.

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
        self._leaving.set()
        self._news.set()
        if self._running:
            await asyncio.wait(self._running, timeout=deadline.left())

    def _finished(self) -> bool:
        return not self._running and (self.reader.caught_up or self.parked is not None)

    def _start_steps(self) -> None:
        now = self._tools.clock.monotonic()
        while now >= self._not_before and len(self._running) < self._tools.lanes:
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
        if len(self._running) >= self._tools.lanes or (due is None and self._running):
            await self._news.wait()
            return
        now = self._tools.clock.monotonic()
        due = max(now + IDLE_SECONDS if due is None else due, self._not_before)
        await unless(self._news, self._tools.clock.sleep(due - now))

    async def _step(self, step: Step) -> None:
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
            if self.parked is None:
                log.warning("page parked", page=self.page_id, problem=str(problem), action=problem.action)
            self.parked = problem.action
            self._hold(step, PARKED_SECONDS)
        else:
            if self.parked is not None:
                log.info("page no longer parked", page=self.page_id)
            self._failures, self.parked = 0, None
            # The line that moves the position stands right behind the line that earned it.
            if await self._publish(batch):
                self.reader.saved(step)

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
        while True:
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
