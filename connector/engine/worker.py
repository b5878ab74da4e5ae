"""Makes the calls that the desk asks for, side by side, and tells it what became of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from connector.clock import Clock, Deadline
from connector.engine.backoff import Backoff
from connector.engine.book import Book
from connector.engine.desk import Desk, Job, Rules, Verdict
from connector.engine.packing import Batch
from connector.engine.vigil import Tenure, Vigil
from connector.errors import RejectedError, RetryableError
from connector.model import DeadLetter, Event, Partition, Position, Problem
from connector.ports import DeadLetters, Sink
from connector.telemetry import DEAD_LETTERS, DELIVERED, FRESHNESS_SECONDS, REFUSALS, RETRIES, WRITES, Metrics

log = structlog.get_logger("connector.sink")


@dataclass(frozen=True, slots=True)
class Tools:
    """
    What all partitions of a process share.

    ``queue``: how many calls to the target wait for their moment; None: it has no limit.
    """

    sink: Sink
    dead_letters: DeadLetters
    backoff: Backoff
    clock: Clock
    metrics: Metrics
    queue: Callable[[], int | None] = lambda: None


class Worker:
    """
    Runs the jobs of its desk.

    ``failure`` is what ended a job, if something did that must end the process. Then no other begins.
    """

    def __init__(self, tools: Tools, rules: Rules) -> None:
        self.desk = Desk(rules, tools.backoff.wait, self._settled)
        self.failure: BaseException | None = None
        self.vigil = Vigil(tools.clock)
        self._tools = tools
        self._leaving: dict[Book, asyncio.Event] = {}
        self._tasks: dict[Book, dict[asyncio.Task[None], Job]] = {}
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    def pump(self) -> None:
        """Begin every job that there is now. To be called whenever the desk has learnt something."""
        clock, queue = self._tools.clock, self._tools.queue()
        begun = 0
        try:
            while self.failure is None and self._sure():
                waiting = 0 if queue is None else queue + begun
                job = self.desk.next_job(
                    clock.monotonic(), clock.epoch_ms(), queue=waiting, width=self._tools.sink.width
                )
                if job is None:
                    break
                begun += 1
                self._begin(job)
        # Whatever it is, the loop must end with it.
        except BaseException as problem:  # noqa: BLE001
            self.failure = problem
        self._set_alarm()

    async def drain(self, partitions: Sequence[Partition], deadline: Deadline) -> dict[Partition, Position]:
        """
        Begin nothing new of them, let what is on the wire come home, and return what to commit.

        What has not come home at the deadline is abandoned: the next owner writes it again.
        """
        books = [self.desk.books[partition] for partition in partitions if partition in self.desk.books]
        for book in books:
            book.leaving = True
            self._leaving_of(book).set()
        tasks = [task for book in books for task in self._tasks.get(book, ())]
        if tasks:
            await asyncio.wait(tasks, timeout=deadline.left())
        positions = {book.partition: book.last_position for book in books}
        await self.abandon(partitions)
        return positions

    async def abandon(self, partitions: Sequence[Partition]) -> None:
        """Stop at once: whatever comes home of them moves nothing any more."""
        jobs: dict[asyncio.Task[None], Job] = {}
        for partition in partitions:
            book = self.desk.forget(partition)
            if book is not None:
                self._leaving_of(book).set()
                self._leaving.pop(book)
                jobs |= self._tasks.pop(book, {})
        for task in jobs:
            task.cancel()
        if jobs:
            await asyncio.wait(jobs)
        for task, job in jobs.items():
            # One that was cancelled before its first step never comes to say so itself.
            if task.cancelled():
                self.desk.called_back(job)
        self.pump()

    def close(self) -> None:
        """Nothing is owned any more."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job), name=f"call for {job.book.partition}")
        self._tasks.setdefault(job.book, {})[task] = job
        task.add_done_callback(partial(self._ended, job.book))

    def _ended(self, book: Book, task: asyncio.Task[None]) -> None:
        self._tasks.get(book, {}).pop(task, None)

    async def _run(self, job: Job) -> None:
        try:
            if job.problem is None:
                await self._write(job)
            else:
                await self._shelve(job, job.problem)
        except Exception as problem:  # noqa: BLE001
            # The loop raises it: nothing is stored any more, so no other call may begin either.
            self.failure = self.failure or problem
        else:
            self.pump()

    async def _write(self, job: Job) -> None:
        lanes = [[record.event for record in part if record.event] for part in job.parts]
        verdicts = await self._verdicts(lanes, self._leaving_of(job.book))
        for verdict in verdicts:
            self._count(job.book.partition, verdict)
        topic = job.book.partition.topic
        was_out = self.desk.weather(topic).out
        self.desk.answered(job, verdicts, self._tools.clock.monotonic(), sure=self._sure())
        self._tell(job, verdicts)
        if self.desk.weather(topic).out != was_out:
            log.warning("target back" if was_out else "target out", topic=topic)

    async def _verdicts(self, lanes: Sequence[Sequence[Event]], leaving: asyncio.Event) -> Sequence[Verdict]:
        if len(lanes) > 1:
            return await self._tools.sink.write_many(lanes, leaving)
        try:
            await self._tools.sink.write(lanes[0], leaving)
        except (RetryableError, RejectedError) as problem:
            return [problem]
        return [None]

    def _count(self, partition: Partition, verdict: Verdict) -> None:
        metric = WRITES if verdict is None else REFUSALS if isinstance(verdict, RejectedError) else RETRIES
        self._tools.metrics.count(metric, partition.topic)

    def _tell(self, job: Job, verdicts: Sequence[Verdict]) -> None:
        for lane, verdict in zip(job.lanes, verdicts, strict=True):
            tries = lane.trial.tries if lane.trial is not None else 0
            if isinstance(verdict, RetryableError) and tries & (tries - 1) == 0:
                log.warning(
                    "write repeated", partition=str(job.book.partition), tries=tries, problem=str(verdict)
                )

    def _settled(self, book: Book, batch: Batch) -> None:
        topic, metrics = book.partition.topic, self._tools.metrics
        metrics.count(DELIVERED, topic, by=batch.count)
        seen = [record.event.observed_at for record in batch.records.values() if record.event]
        if seen and batch.count:
            metrics.observe(FRESHNESS_SECONDS, (self._tools.clock.epoch_ms() - min(seen)) / 1000, topic)

    def _sure(self) -> bool:
        return self.vigil.awake

    def _leaving_of(self, book: Book) -> asyncio.Event:
        if book not in self._leaving:
            self._leaving[book] = Tenure(self._sure)
        return self._leaving[book]

    def _set_alarm(self) -> None:
        """Come back when a wait is over, although nothing else happens until then."""
        at = self.desk.wake_at()
        if self._alarm is not None:
            if at is not None and self._alarm_at <= at:
                return
            self._alarm.cancel()
            self._alarm = None
        if at is not None and self.failure is None:
            self._alarm_at = at
            self._alarm = asyncio.create_task(self._wake(at), name="alarm of the sink")

    async def _wake(self, at: float) -> None:
        await self._tools.clock.sleep(at - self._tools.clock.monotonic())
        self._alarm = None
        self.pump()

    async def _shelve(self, job: Job, problem: Problem) -> None:
        ((record,),) = job.parts
        letter = DeadLetter(
            record.key or b"",
            record.value or b"",
            replace(problem, dialect=self._tools.sink.dialect if problem.status else ""),
            self._tools.clock.epoch_ms(),
            record.partition,
            record.offset,
            record.timestamp,
            record.headers,
            job.first_at,
        )
        failed = None
        try:
            await self._tools.dead_letters.put([letter])
        except RetryableError as why:
            failed = why
            self._tools.metrics.count(RETRIES, job.book.partition.topic)
        else:
            self._tools.metrics.count(DEAD_LETTERS, problem.reason)
            log.warning(
                "dead letter",
                partition=str(record.partition),
                offset=record.offset,
                reason=problem.reason,
                problem=problem.message,
            )
        self.desk.shelved(job, failed, self._tools.clock.monotonic())
