"""
The engine broken on purpose, one way at a time: some test must fail each time.

``python -m bench.mutations`` takes about ten minutes; names after it choose mutations, ``--list`` shows them.
It works on a copy, so the checkout stays as it is. Exit code 1: a mutation that no test noticed.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import table

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("bench", "connector", "docs", "schemas", "tests")
SEEDS = "tests/scenario/test_sink_seeds.py"
TESTS = (
    "tests/property/test_packing.py",
    "tests/property/test_prefix.py",
    "tests/unit/engine/test_take_over.py",
    "tests/unit/engine/test_doubt.py",
    "tests/unit/engine/test_delivery.py",
    "tests/unit/engine/test_hand_over.py",
    "tests/unit/engine/test_sink_loop.py",
    "tests/unit/engine/test_vigil.py",
    SEEDS,
)
SEED_COUNT = "2000"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One line of the engine, and what stands there instead."""

    name: str
    file: str
    line: str
    instead: str


def mutation(name: str, file: str, line: str, instead: str) -> Mutation:
    return Mutation(name, f"connector/engine/{file}.py", line, instead)


MUTATIONS = (
    mutation(
        "the offset moves before the write",
        "book",
        "        lane.trial = Trial(batch, records, _unreadable(records[0]))",
        "        self._prefix.settle(batch.starts)\n"
        "        lane.trial = Trial(batch, records, _unreadable(records[0]))",
    ),
    mutation(
        "the offset follows whatever was settled last",
        "prefix",
        "        while self._open and self._open[0] in self._settled:",
        "        while self._open and (self._open[0] in self._settled or len(self._settled) > 1):",
    ),
    mutation(
        "oldest wins inside a batch",
        "packing",
        "outdated(record, stamp(held))",
        "not outdated(record, stamp(held))",
    ),
    mutation(
        "versions are compared the wrong way round",
        "versions",
        "        return mine.updated_at < held.updated_at",
        "        return mine.updated_at > held.updated_at",
    ),
    mutation(
        "observed_at is believed whatever the clocks say",
        "versions",
        "    return 0 < held.observed_at - mine.observed_at <= record.timestamp - mine.observed_at",
        "    return 0 < held.observed_at - mine.observed_at",
    ),
    mutation(
        "a date in the future is believed",
        "versions",
        "    future = event.updated_at > record.timestamp + DAY_MS > DAY_MS",
        "    future = False",
    ),
    mutation(
        "what was written is forgotten",
        "versions",
        "        return self._held.get(short(key))",
        "        return None",
    ),
    mutation(
        "a snapshot is sent again though its content is there",
        "book",
        "        if held.content != event.content_hash or event.origin is Origin.REPLAY:",
        "        if held.content != event.content_hash or event.origin is not Origin.REPLAY:",
    ),
    mutation(
        "the survey is skipped",
        "book",
        "        self._survey = Survey(self._inherited) if self._inherited > start.offset else None",
        "        self._survey = None",
    ),
    mutation(
        "the survey ends one record early",
        "survey",
        "        self.whole = self.whole or record.next_offset >= self.until",
        "        self.whole = self.whole or record.next_offset >= self.until - 1",
    ),
    mutation(
        "a superseded record is settled before the newer one",
        "survey",
        "        self._starts[name] = record.offset\n        return True",
        "        return False",
    ),
    mutation(
        "writes run ahead without bound",
        "book",
        "        return min(self._granted, self._committed + self.reach.ahead)",
        "        return 2**62",
    ),
    mutation(
        "writes do not wait for the declaration",
        "book",
        "        return min(self._granted, self._committed + self.reach.ahead)",
        "        return self._committed + self.reach.ahead",
    ),
    mutation(
        "a hand-over says less than was written",
        "book",
        "        reach = max(at, self._inherited, self._written)",
        "        reach = at",
    ),
    mutation(
        "a gap of compaction holds up the partition",
        "book",
        "        if self._beyond and not self._prefix.open_pieces:",
        "        if self._beyond and self._prefix.open_pieces < 0:",
    ),
    mutation(
        "a lost partition still moves its offset",
        "desk",
        "            book.closed = True",
        "            book.closed = False",
    ),
    mutation(
        "what is on the wire is dropped at a revoke",
        "worker",
        "            await asyncio.wait(tasks, timeout=deadline.left())",
        "            await asyncio.wait(tasks, timeout=0.0)",
    ),
    mutation(
        "new calls begin while leaving",
        "book",
        "        return self.closed or self.leaving",
        "        return self.closed",
    ),
    mutation(
        "a dead letter is not waited for",
        "desk",
        "        if problem is None:\n            lane.trial.passed()",
        "        if problem is None or problem is not None:\n            lane.trial.passed()",
    ),
    mutation(
        "the whole batch is shelved for one record",
        "trial",
        "        if len(part.records) > 1:\n            if problem.culprit is None:",
        "        if len(part.records) > 10**6:\n            if problem.culprit is None:",
    ),
    mutation(
        "a refusal is final at the first word",
        "trial",
        "        if problem.status is None or part.refusals >= patience.refusals:",
        "        if problem.status is None or part.refusals >= 1:",
    ),
    mutation(
        "doubt is data during an outage",
        "trial",
        "        part.doubts += weather.passes > part.passes",
        "        part.doubts += 1",
    ),
    mutation(
        "doubt is never data",
        "trial",
        "        if part.doubts >= patience.doubts and not weather.others_fail(lane, since):",
        "        if part.doubts >= 10**6:",
    ),
    mutation(
        "an outage is not noticed",
        "weather",
        "        elif not self.out and self._failing_since(self._dry) >= OUTAGE_LANES:",
        "        elif not self.out and self._failing_since(self._dry) >= 10**6:",
    ),
    mutation(
        "an outage never ends",
        "weather",
        "        self.out = self._looking = False\n        self.looks = 0\n\n    def failed",
        "        self._looking = False\n        self.looks = 0\n\n    def failed",
    ),
    mutation(
        "who is shelved counts as failing for ever",
        "desk",
        "            self._weather[lane.book.partition.topic].forget(lane)\n            self._flood",
        "            self._flood",
    ),
    mutation(
        "a witness takes the next record along",
        "packing",
        "last is not None and not last.again and len(last.records) < self._most",
        "last is not None and len(last.records) < self._most",
    ),
    mutation("a flood empties the topic onto the shelf", "desk", "        self._flood.check()\n", ""),
    mutation(
        "two calls for one conversation",
        "desk",
        "not (lane.called or lane.parked or lane.book.closed)",
        "not (lane.parked or lane.book.closed)",
    ),
    mutation(
        "a lane that waits keeps its place",
        "desk",
        "        self.called_back(job)\n        for lane, records, verdict",
        "        if not any(isinstance(verdict, RetryableError) for verdict in verdicts):\n"
        "            self.called_back(job)\n        for lane, records, verdict",
    ),
    mutation("live waits behind back-fill", "packing", "    Origin.LIVE: 0,", "    Origin.LIVE: 3,"),
    mutation(
        "the last rank is passed over for ever",
        "queue",
        "            if self._passed_over[rank] > PASSED_OVER:",
        "            if self._passed_over[rank] > 10**6:",
    ),
    mutation(
        "a call that never came home is not waited for",
        "runner",
        "            if book.surveyed and now >= self._not_before.get(partition, now)",
        "            if book.surveyed",
    ),
    mutation(
        "offsets are stored after a fatal answer",
        "runner",
        "        return {} if self._failing else positions",
        "        return positions",
    ),
    mutation(
        "a frozen process that wakes sends at once",
        "worker",
        "        return self.vigil.awake",
        "        return True",
    ),
    mutation(
        "who stood still is sure again at once",
        "book",
        "        return self._proof is None",
        "        return True",
    ),
    mutation(
        "a full partition is not paused",
        "runner",
        "        full = frozenset(partition for partition, part in filled.items() if part >= 1)",
        "        full = frozenset[Partition]()",
    ),
    mutation(
        "the end met by the survey ends --once",
        "runner",
        "            book.end_met()\n        else:",
        "            book.end_met()\n        if book is not None:",
    ),
)


def main(arguments: Sequence[str]) -> int:
    if "--list" in arguments:
        print("\n".join(each.name for each in MUTATIONS))
        return 0
    chosen = [each for each in MUTATIONS if not arguments or each.name in arguments]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        _copy(tree)
        rows = [_row(each, tree) for each in chosen]
    print("\n".join(_report(rows)))
    return any(row[1] == "NOBODY" for row in rows)


def _copy(tree: Path) -> None:
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)


def _row(each: Mutation, tree: Path) -> tuple[str, str, str]:
    began = time.monotonic()
    file = tree / each.file
    whole = file.read_text("utf-8")
    if whole.count(each.line) != 1:
        raise SystemExit(f"{each.name}: the line is not there exactly once: {each.line.strip()}")
    file.write_text(whole.replace(each.line, each.instead), "utf-8")
    try:
        failed = _first_failure(tree)
    finally:
        file.write_text(whole, "utf-8")
    print(f"{each.name}: {failed} ({time.monotonic() - began:.0f} s)", flush=True)
    return each.name, failed, each.file.removeprefix("connector/engine/")


def _first_failure(tree: Path) -> str:
    """The test that notices, quick ones first; NOBODY where none does."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *TESTS]
    env = {"PATH": "/usr/bin:/bin", "SINK_SEEDS": SEED_COUNT, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(  # noqa: S603 - our own interpreter and our own tests
            command, cwd=tree, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    if run.returncode == 0:
        return "NOBODY"
    return next(_failures(run.stdout), f"pytest exited with {run.returncode}")


def _failures(output: str) -> Iterator[str]:
    for line in output.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            yield line.split(" - ")[0].split("::")[-1].split("[")[0]


def _report(rows: Sequence[tuple[str, str, str]]) -> Sequence[str]:
    return list(table(("broken", "noticed first by", "in"), [(a, b, c) for a, b, c in rows]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
