"""
Which call is next: all partitions of a process, what each holds, and what became of each call.

Pure: records, answers and time come in, jobs come out. Whoever makes the calls is `worker.py`.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connector.engine.book import Book, Lane, Reach, name_of
from connector.engine.flood import Flood, FloodLimits
from connector.engine.packing import RANKS, Batch, rank_of
from connector.engine.queue import Queue
from connector.engine.trial import Patience
from connector.engine.weather import Weather
from connector.errors import RateLimitedError, RejectedError, RetryableError
from connector.model import Kind, Partition, Position, Problem, Record, Start

Verdict = RetryableError | RejectedError | None
# As many calls may wait for their moment: fewer, and a moment would pass unused; more, and what they
# carry would be fixed long before it goes out.
QUEUE = 4
# After a pause, who was called off asks again so soon.
UNSURE_SECONDS = 0.5
# So many letters are on their way at once: enough to be quick, few enough to stop a flood in time.
SHELVES = 8
# So many conversations that passed are kept in mind, to be sent again where an outage must be told.
WITNESSES = 8
WITNESS_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Rules:
    """How much goes out at once, and when something is given up."""

    calls: int
    reach: Reach
    patience: Patience
    flood: FloodLimits
    remembered: int


@dataclass(frozen=True, slots=True)
class Job:
    """
    One call to make: write each lane's records, or shelve the one record for its ``problem``.

    ``looks``: it goes out to see whether the target is back. ``first_at``: epoch milliseconds at which its
    batch went out first.
    """

    book: Book
    lanes: tuple[Lane, ...]
    parts: tuple[Sequence[Record], ...]
    rank: int
    problem: Problem | None = None
    looks: bool = False
    first_at: int = 0


class Desk:
    """
    Owns the books of the partitions that this process has.

    ``wait``: seconds to wait after so many failures. ``settled`` is told of each batch that is delivered,
    superseded or shelved.
    """

    def __init__(
        self,
        rules: Rules,
        wait: Callable[[int, RetryableError], float],
        settled: Callable[[Book, Batch], None],
    ) -> None:
        self.books: dict[Partition, Book] = {}
        self._rules = rules
        self._wait = wait
        self._settled = settled
        self._flood = Flood(rules.flood)
        self._queue = Queue()
        self._weather: dict[str, Weather] = {}
        self._witnesses: dict[str, dict[str, tuple[Book, Record]]] = {}
        self._parked: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._calls = [0] * len(RANKS)
        self._shelves = 0
        self._on_the_wire: Counter[str] = Counter()

    @property
    def calls(self) -> int:
        """How many are out."""
        return sum(self._calls)

    def assigned(self, partition: Partition, start: Start) -> Book:
        book = Book(partition, start, self._rules.reach, self._room)
        self.books[partition] = book
        self._weather.setdefault(partition.topic, Weather())
        self._witnesses.setdefault(partition.topic, {})
        return book

    def forget(self, partition: Partition) -> Book | None:
        """It is not ours any more: nothing of it is begun, and what comes home of it is ignored."""
        book = self.books.pop(partition, None)
        if book is not None:
            book.closed = True
            for lane in book.lanes:
                self._weather[partition.topic].forget(lane)
        return book

    def offer(self, record: Record, now_ms: int) -> None:
        lane = self.books[record.partition].offer(record)
        # Most records join a lane that stands in its queue already, as high as they would put it.
        if lane is not None and (lane.queued is None or lane.queued > rank_of(record)):
            self._enter(lane, now_ms)

    def committed(self, partition: Partition, position: Position, now_ms: int) -> None:
        """The broker has acknowledged it: so much more may be written."""
        if (book := self.books.get(partition)) is not None:
            for lane in book.committed(position):
                self._enter(lane, now_ms)

    def next_job(self, now: float, now_ms: int, *, queue: int = 0, width: int = 1) -> Job | None:
        """
        The next call to make; None when there is none now.

        ``queue``: how many calls wait for their moment, ``width``: how many snapshots fit into one.

        Raises:
            FatalError: too much is refused; nothing more may be shelved.
        """
        while self._parked and self._parked[0][0] <= now:
            parked = heapq.heappop(self._parked)[2]
            parked.parked = False
            self._ready(parked)
        if self._shelves < SHELVES and (refused := self._queue.shelving()) is not None:
            return self._shelf(refused)
        while (lane := self._queue.best(self._may_call(now, queue))) is not None:
            if lane.trial is None and lane.book.begin(lane, now_ms, self._settled) is None:
                self._ready(lane)
                continue
            return self._write([lane, *self._company(lane, now_ms, width)])
        return None

    def weather(self, topic: str) -> Weather:
        """How calls fare on a topic's route."""
        return self._weather[topic]

    def wake_at(self) -> float | None:
        """When there may be something to do although nothing happens until then."""
        looks = (self._weather[topic].look_at() for topic in self._queue.topics)
        parked = self._parked[0][0] if self._parked else None
        return min((moment for moment in (*looks, parked) if moment is not None), default=None)

    def called_back(self, job: Job) -> None:
        """A call will tell nothing any more: its partition is gone."""
        if job.problem is not None:
            self._shelves -= 1
            return
        self._calls[job.rank] -= 1
        self._on_the_wire[job.book.partition.topic] -= 1
        if job.looks:
            self._weather[job.book.partition.topic].unseen()

    def answered(self, job: Job, verdicts: Sequence[Verdict], now: float, *, sure: bool = True) -> None:
        """What became of a call, lane by lane; not ``sure``: it was called off, for it may not be ours."""
        self.called_back(job)
        for lane, records, verdict in zip(job.lanes, job.parts, verdicts, strict=True):
            called_off = isinstance(verdict, RetryableError) and (lane.book.leaving or not sure)
            if not self._home(lane):
                continue
            if called_off:
                self._park(lane, now + UNSURE_SECONDS)
            else:
                self._judge(lane, records, verdict, now, looked=job.looks)

    def shelved(self, job: Job, problem: RetryableError | None, now: float) -> None:
        """The dead letter is acknowledged, or it must be put again."""
        self.called_back(job)
        (lane,) = job.lanes
        if not self._home(lane) or lane.trial is None:
            return
        if problem is None:
            lane.trial.passed()
            self._go_on(lane)
        else:
            lane.trial.tries += 1
            self._park(lane, now + self._wait(lane.trial.tries, problem))

    def _enter(self, lane: Lane | None, now_ms: int) -> None:
        if lane is not None and lane.junk:
            # It needs no call, so it waits for none.
            lane.book.begin(lane, now_ms, self._settled)
        self._ready(lane)

    def _judge(
        self, lane: Lane, records: Sequence[Record], verdict: Verdict, now: float, *, looked: bool
    ) -> None:
        trial, weather = lane.trial, self._weather[lane.book.partition.topic]
        assert trial is not None
        if verdict is None:
            weather.passed(lane)
            lane.book.written(records)
            self._remember(lane.book, records[-1])
            trial.passed()
        elif isinstance(verdict, RejectedError):
            if verdict.status is not None:
                weather.answered(lane)
            trial.rejected(verdict, self._rules.patience)
        elif isinstance(verdict, RateLimitedError):
            trial.tries += 1
            return self._park(lane, now + self._wait(trial.tries, verdict))
        else:
            weather.failed(lane, now + self._wait(weather.looks + 1, verdict), looked=looked)
            wait = trial.failed(verdict, weather, lane, self._rules.patience)
            if trial.doubtful:
                self._ask_another(lane.book.partition.topic)
            if wait:
                return self._park(lane, now + self._wait(trial.tries, verdict))
        return self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        trial = lane.trial
        if trial is not None and trial.done:
            self._weather[lane.book.partition.topic].forget(lane)
            self._flood.settled(refused=trial.refused)
            lane.book.settle(lane, trial.batch)
            self._settled(lane.book, trial.batch)
        self._ready(lane, first=lane.trial is not None)

    def _ask_another(self, topic: str) -> None:
        """
        Where nobody else calls, send once more what passed before: that is how an outage is told.

        Writing it again changes nothing, and its conversation has nothing newer on its way.
        """
        if self._on_the_wire[topic] or topic in self._queue.topics:
            return
        for book, record in reversed(self._witnesses[topic].values()):
            if (lane := book.again(record)) is not None:
                self._ready(lane)
                return

    def _remember(self, book: Book, record: Record) -> None:
        seen = self._witnesses[book.partition.topic]
        seen.pop(name_of(record), None)
        if record.size <= WITNESS_BYTES:
            seen[name_of(record)] = (book, record)
            if len(seen) > WITNESSES:
                del seen[next(iter(seen))]

    def _home(self, lane: Lane) -> bool:
        """A call for the lane has come back; whether it still counts."""
        lane.called = False
        lane.book.calls -= 1
        return not lane.book.closed

    def _ready(self, lane: Lane | None, *, first: bool = False) -> None:
        if lane is not None and not (lane.called or lane.parked or lane.book.closed) and lane.has_work:
            self._queue.put(lane, next(self._order), first=first)

    def _park(self, lane: Lane, until: float) -> None:
        lane.parked = True
        heapq.heappush(self._parked, (until, next(self._order), lane))

    def _may_call(self, now: float, queue: int) -> Callable[[str, int], bool]:
        free = self.calls < self._rules.calls

        def may(topic: str, rank: int) -> bool:
            # Who is waited for does not wait behind calls that nobody waits for: the budget lets it
            # pass them by.
            early = queue < QUEUE or sum(self._calls[: rank + 1]) < QUEUE
            return free and early and self._weather[topic].may_call(now)

        return may

    def _company(self, lane: Lane, now_ms: int, width: int) -> list[Lane]:
        """More snapshots of the same page that fit into the same call."""
        page = _page_of_snapshot(lane)
        if width == 1 or page is None:
            return []
        found: list[Lane] = []
        for other in self._queue.others(lane, lane.rank):
            if other.trial is None and other.book.begin(other, now_ms, self._settled) is None:
                self._ready(other)
            elif _page_of_snapshot(other) == page:
                found.append(other)
            else:
                self._ready(other, first=True)
            if len(found) == width - 1:
                break
        return found

    def _write(self, lanes: Sequence[Lane]) -> Job:
        book = lanes[0].book
        parts = []
        for lane in lanes:
            assert lane.trial is not None
            lane.called = True
            book.calls += 1
            book.writing(lane.trial.part)
            parts.append(lane.trial.part)
        rank = min(lane.rank for lane in lanes)
        self._calls[rank] += 1
        self._on_the_wire[book.partition.topic] += 1
        looks = self._weather[book.partition.topic].begin()
        return Job(book, tuple(lanes), tuple(parts), rank, looks=looks)

    def _shelf(self, lane: Lane) -> Job:
        self._flood.check()
        assert lane.trial is not None
        lane.called = True
        lane.book.calls += 1
        self._shelves += 1
        trial = lane.trial
        return Job(lane.book, (lane,), (trial.part,), lane.rank, trial.shelving, first_at=trial.first_at)

    def _room(self) -> int:
        return self._rules.remembered // max(1, len(self.books))


def _page_of_snapshot(lane: Lane) -> str | None:
    records = lane.trial.part if lane.trial is not None else ()
    event = records[0].event if len(records) == 1 else None
    return event.page_id if event is not None and event.kind is Kind.CONVERSATION else None
