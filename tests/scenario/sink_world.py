"""
One small world of sinks, all of it from a seed: traffic, faults, crashes, hand-overs, frozen processes.

No event loop: the engine's state machine is driven step by step, and after every step the promise is
looked at (`Promise`). The same seed plays the same history.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.engine.book import Book, Reach
from connector.engine.desk import Desk, Job, Rules, Verdict
from connector.engine.flood import FloodLimits
from connector.engine.trial import Patience
from connector.errors import (
    DoubtfulError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.model import Event, Kind, Partition, Position, Problem, Record, Start
from tests.fakes.events import message, snapshot
from tests.scenario.sink_promise import Promise

EPOCH_MS = 1_700_000_000_000
CONVERSATIONS = 7
MESSAGES = 5


@dataclass(slots=True)
class Call:
    """One that is out; ``done``: it has been carried out, and nobody here knows yet."""

    job: Job
    verdicts: Sequence[Verdict] | None = None


@dataclass
class Process:
    """One sink: its desk, what it reads and stores, and the calls it has out."""

    desk: Desk
    at: dict[Partition, int] = field(default_factory=dict)
    stored: dict[Partition, Position] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    frozen: bool = False


class SinkWorld:
    """Some processes before a target with moods; how rough it is belongs to the seed."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.now = 1000.0
        self.logs: dict[Partition, list[Record | None]] = {
            Partition(topic, number): []
            for topic in ("pancake.conversations", "pancake.messages")
            for number in range(dice.choice([1, 1, 2]))
        }
        self.committed = {partition: Position(0) for partition in self.logs}
        self.owners: dict[Partition, Process] = {}
        self.rules = Rules(
            calls=dice.choice([1, 2, 6]),
            reach=Reach(dice.choice([1, 2, 5, 20]), dice.choice([1, 3, 8, 50])),
            patience=Patience(dice.randint(1, 3), dice.randint(4, 6)),
            flood=FloodLimits(in_row=10_000, share=1.0),
            remembered=dice.choice([0, 3, 1000]),
        )
        self.width = dice.choice([1, 1, 3])
        # Late publishing of what was read early, by a second poller, only where nobody forgets.
        self.still = seed % 5 == 0 and self.rules.remembered == 1000
        self.refused = {_id(dice) for _ in range(dice.choice([0, 0, 1, 4]))}
        # What fails for ever is known by what passes beside it: there must be room for some.
        roomy = self.rules.reach.records >= 5 and self.rules.reach.ahead >= 50
        self.poison = {dice.choice([_id(dice), "c0"])} if roomy and dice.random() < 0.5 else set()
        self.out = False
        self.faults = True
        self.promise = Promise()
        self.processes = [self._process()]
        self.history: list[str] = []
        self.version = 0

    def play(self) -> None:
        for _ in range(self.dice.randint(20, 60)):
            self.step(self.dice.random())
        self.faults = self.out = False
        self._end()

    def step(self, kind: float) -> None:
        """Something happens, and then the promise must hold."""
        process = self.dice.choice(self.processes)
        if kind < 0.22:
            self._publish(self.dice.randint(1, 6))
        elif kind < 0.5:
            self._poll(process)
        elif kind < 0.8:
            self._answer(process)
        elif kind < 0.88:
            self.now += self.dice.choice([0.05, 0.5, 3.0])
            self._pump(process)
        elif kind < 0.91:
            self.out = not self.out
        elif kind < 0.94:
            self._compact()
        elif not self.still:
            self._change_owners(process)
        self.history.append(f"{kind:.3f}")
        self.promise.hold(self.logs, self.committed, self.refused | self.poison)

    def _process(self) -> Process:
        return Process(Desk(self.rules, self._wait, lambda _book, _batch: None))

    def _wait(self, tries: int, problem: RetryableError) -> float:
        return (problem.after or 0.0) + self.dice.uniform(0.05, min(4.0, 0.2 * 2**tries))

    def _publish(self, count: int) -> None:
        for _ in range(count):
            self.version += 1
            conversation = f"c{self.dice.randrange(CONVERSATIONS)}"
            late = self.still and self.dice.random() < 0.2
            version = max(1, self.version - self.dice.randint(1, 30)) if late else self.version
            event = (
                snapshot(conversation, version, observed_at=version)
                if self.dice.random() < 0.4
                else message(conversation, f"{conversation}m{self.dice.randrange(MESSAGES)}", version)
            )
            self._append(event, junk=self.dice.random() < 0.02)

    def _append(self, event: Event, *, junk: bool = False) -> None:
        topic = "pancake.conversations" if event.kind is Kind.CONVERSATION else "pancake.messages"
        places = [partition for partition in self.logs if partition.topic == topic]
        partition = places[int(event.conversation_id[1:]) % len(places)]
        log = self.logs[partition]
        key = f"{event.conversation_id}\0{event.message_id}".encode()
        problem = Problem("bad_frame", "junk") if junk else None
        log.append(Record(partition, len(log), self.version, key, b"", None if junk else event, problem))

    def _compact(self) -> None:
        """
        Below some offset only the newest record of each key stays: so does Kafka's cleaner.

        Not where a stretch is being read twice: what is lost in between is a story of its own.
        """
        partition = self.dice.choice(list(self.logs))
        if self.still or any(
            partition in p.desk.books and p.desk.books[partition].twice for p in self.processes
        ):
            return
        log = self.logs[partition]
        upto = self.dice.randint(0, len(log))
        last = {record.key: record.offset for record in log if record is not None and record.event}
        for offset, record in enumerate(log[:upto]):
            # Oldest first: of a key nothing goes while something older stays.
            if record is not None and record.event is not None and last[record.key] > offset:
                log[offset] = None

    # What a process does.

    def _poll(self, process: Process) -> None:
        if process.frozen:
            process.frozen = False
        self._commit(process)
        for partition in [p for p in process.desk.books if self.owners.get(p) is not process]:
            self._drop(process, partition)
        for partition in self.logs:
            if partition not in self.owners and self.dice.random() < 0.8:
                self._assign(process, partition)
        self._turn(process)
        for partition, book in process.desk.books.items():
            self._read(process, partition, book)
        self._pump(process)

    def _commit(self, process: Process) -> None:
        for partition, position in process.stored.items():
            if self.owners.get(partition) is process:
                self.committed[partition] = position
                process.desk.committed(partition, position, EPOCH_MS)
        process.stored.clear()

    def _assign(self, process: Process, partition: Partition) -> None:
        self.owners[partition] = process
        last = self.committed[partition]
        start = Start(last.offset, len(self.logs[partition]), last.reach, last.unanswered)
        process.desk.assigned(partition, start)
        process.at[partition] = last.offset

    def _turn(self, process: Process) -> None:
        for partition, book in process.desk.books.items():
            if (position := book.position or book.declaration) is not None:
                process.stored[partition] = position
            if book.surveyed:
                process.at[partition] = book.rewound()

    def _read(self, process: Process, partition: Partition, book: Book) -> None:
        if book.held_records >= 2 * self.rules.reach.records:
            return
        log, at = self.logs[partition], process.at[partition]
        upto = min(len(log), at + self.dice.choice([1, 3, 20]))
        for record in log[at:upto]:
            if record is not None:
                process.desk.offer(record, EPOCH_MS)
        process.at[partition] = upto
        if upto == len(log):
            book.end_met()

    def _pump(self, process: Process) -> None:
        if process.frozen:
            return
        while True:
            queue = self.dice.choice([0, 0, 3, 4])
            job = process.desk.next_job(self.now, EPOCH_MS, queue=queue, width=self.width)
            if job is None:
                return
            assert not job.book.leaving, "begun while leaving"
            process.calls.append(Call(job))
            if job.problem is None:
                self._begin(job)

    def _begin(self, job: Job) -> None:
        last = self.committed[job.book.partition]
        ahead = last.offset + self.rules.reach.ahead
        for lane in job.parts:
            self.promise.begin(lane)
            assert all(record.offset < ahead for record in lane), "written too far ahead"
            known = ahead if last.reach is None else last.reach
            assert all(record.offset < known for record in lane), "written where nobody would look"
        assert len(job.lanes) <= self.width
        assert len({event.page_id for lane in job.parts for event in events_of(lane)}) == 1

    def _answer(self, process: Process) -> None:
        if not process.calls or process.frozen:
            return
        call = process.calls.pop(self.dice.randrange(len(process.calls)))
        self._come_home(process, call)
        self._pump(process)

    def _come_home(self, process: Process, call: Call) -> None:
        if call.job.problem is not None:
            process.desk.shelved(call.job, self._shelve(call.job), self.now)
            return
        verdicts = call.verdicts or self._carry_out(call.job)
        process.desk.answered(call.job, verdicts, self.now)

    # What the target and the shelf do.

    def _shelve(self, job: Job) -> RetryableError | None:
        if self.faults and self.dice.random() < 0.2:
            return UnavailableError("the shelf does not answer")
        assert not self.out or job.problem is None or job.problem.reason != "refused_by_server" or self.poison
        self.promise.shelve(job.parts[0][0], self.refused | self.poison)
        return None

    def _carry_out(self, job: Job) -> Sequence[Verdict]:
        return [self._write(events_of(lane)) for lane in job.parts]

    def _write(self, lane: Sequence[Event]) -> Verdict:
        self.promise.end(lane)
        names = {event.message_id or event.conversation_id for event in lane}
        if self.out:
            return self.dice.choice([UnavailableError("out"), DoubtfulError("out", status=500)])
        if names & self.refused:
            return RejectedError("refused", "never", status=self.dice.choice([None, 422]))
        if names & self.poison:
            return DoubtfulError("it fails", status=500)
        if self.faults and self.dice.random() < 0.15:
            problem = self.dice.choice(
                [UnavailableError("no"), UnknownOutcomeError("hm"), RateLimitedError("slow", after=0.3)]
            )
            if isinstance(problem, UnknownOutcomeError):
                self.promise.write(lane)
            return problem
        self.promise.write(lane)
        return None

    # Who owns what.

    def _change_owners(self, process: Process) -> None:
        how = self.dice.choice(["start", "leave", "crash", "freeze", "revoke"])
        if how == "start" and len(self.processes) < 3:
            self.processes.append(self._process())
        elif how == "freeze":
            self._freeze(process)
        elif how == "revoke" and process.desk.books and not process.frozen:
            self._hand_over(process, [self.dice.choice(list(process.desk.books))])
        elif how in ("leave", "crash"):
            if how == "leave" and not process.frozen:
                self._hand_over(process, list(process.desk.books))
            else:
                self._land(process)
                self.owners = {p: owner for p, owner in self.owners.items() if owner is not process}
            self.processes.remove(process)
            self.processes = self.processes or [self._process()]

    def _freeze(self, process: Process) -> None:
        """
        It stands still for so long that the group gives its partitions away.

        A call's deadline is shorter than that, so what it had on the wire is over by then, one way or the
        other; it hears of the answers when it wakes, and only then that it owns nothing any more.
        """
        process.frozen = True
        self._land(process)
        self.owners = {p: owner for p, owner in self.owners.items() if owner is not process}

    def _land(self, process: Process) -> None:
        for call in process.calls:
            if call.job.problem is None and call.verdicts is None:
                if self.dice.random() < 0.5:
                    call.verdicts = self._carry_out(call.job)
                else:
                    for lane in call.job.parts:
                        self.promise.end(events_of(lane))
                    call.verdicts = [UnknownOutcomeError("never arrived") for _ in call.job.parts]

    def _hand_over(self, process: Process, partitions: Sequence[Partition]) -> None:
        books = [process.desk.books[partition] for partition in partitions]
        for book in books:
            book.leaving = True
        for call in [call for call in process.calls if call.job.book in books]:
            if self.dice.random() < 0.7:
                process.calls.remove(call)
                self._come_home(process, call)
                self._pump(process)
        for book in books:
            if self.owners.get(book.partition) is process:
                self.committed[book.partition] = book.last_position
                del self.owners[book.partition]
            self._drop(process, book.partition)

    def _drop(self, process: Process, partition: Partition) -> None:
        book = process.desk.books[partition]
        gone = [call for call in process.calls if call.job.book is book]
        self._land(Process(process.desk, calls=gone))
        for call in gone:
            process.calls.remove(call)
            process.desk.called_back(call.job)
        process.desk.forget(partition)
        process.stored.pop(partition, None)

    # How it ends.

    def _end(self) -> None:
        """Nothing goes wrong any more: then everything must arrive, and nothing else."""
        process, *others = self.processes
        for other in others:
            self._land(other)
        self.processes = [process]
        self.owners = {p: owner for p, owner in self.owners.items() if owner is process}
        for turn in range(3000):
            if turn % 40 == 0 and turn < 2000:
                self._bring_witnesses()
            self.now += 0.5
            self._poll(process)
            while process.calls:
                self._answer(process)
            self.promise.hold(self.logs, self.committed, self.refused | self.poison)
            if turn > 2 and all(self.committed[p].offset == len(log) for p, log in self.logs.items()):
                break
        self.promise.kept(self.logs, self.committed, self.refused | self.poison)

    def _bring_witnesses(self) -> None:
        """What never passes is known by what does: somebody else must call too."""
        for number in range(len(self.logs)):
            self.version += 1
            conversation = f"c{CONVERSATIONS + number}"
            self._append(snapshot(conversation, self.version))
            self._append(message(conversation, f"w{number}", self.version))

    @property
    def trace(self) -> tuple[object, ...]:
        """What happened, to compare two plays of one seed."""
        rows = sorted((key, event.version) for key, event in self.promise.rows.items())
        return tuple(self.history), tuple(rows), self.now, tuple(self.promise.shelved)


def _id(dice: random.Random) -> str:
    return f"c{dice.randrange(CONVERSATIONS)}m{dice.randrange(MESSAGES)}"


def events_of(lane: Sequence[Record]) -> list[Event]:
    return [record.event for record in lane if record.event is not None]
