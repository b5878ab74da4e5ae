"""What the poller remembers of conversations, back-filled and taken over; each in a process of its own."""

import gc
import math
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from bench.figures import Baseline, Figure, Plan, Result, at_most
from bench.stage import rss
from connector.pancake.scan import PageScan
from connector.pancake.shelf import Shelf
from connector.pancake.state import PageState
from connector.pancake.steps import Listed, ListStep, MessagesStep, Mode, Pace, Seen, SettleStep

T = TypeVar("T")
LIST_PAGE, MESSAGE_PAGE = 60, 30
MEAN, SPREAD, LONGEST = 27.4, 1.2, 12_000
MILLION = 1_000_000
PAGE_ID = "100000000001000"


def measure(plan: Plan) -> Result:
    conversations = 10_000 if plan.quick else 100_000
    resumed = (10_000, 20_000) if plan.quick else (100_000, MILLION)
    found = [_apart(backfilled, conversations) for _ in range(plan.repeats)]
    taken = {count: [_apart(taken_over, count) for _ in range(plan.repeats)] for count in resumed}
    least = [float(least) for _, least in found]
    megabytes = [each * MILLION / 1e6 for each, _ in found]
    most = [each * MILLION / 1e6 for _, each in taken[resumed[1]]]
    return Result(
        [
            Figure("memory: a conversation's cursor", "B", [each for each, _ in found], None,
                   Baseline("its encoded bytes", least)),
            Figure("memory: of 1 M conversations, back-filled", "MB", megabytes, at_most(300)),
            Figure("memory: of 1 M conversations, taken over", "MB", most, at_most(300)),
            *(
                Figure(f"resume: {count:,} conversations", "s", [seconds for seconds, _ in taken[count]],
                       at_most(30))
                for count in resumed
            ),
        ],
        [
            f"{conversations:,} conversations, {MEAN} messages on average with a long tail; growth of RSS",
            "resume: from records in memory to a scanner that can go on; what Kafka needs comes on top",
        ],
    )  # fmt: skip


def _apart(work: Callable[[int], T], conversations: int) -> T:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, conversations).result()


def backfilled(conversations: int) -> tuple[float, float]:
    """Bytes per conversation by RSS, and the bytes of an id and its encoded state."""
    shelf = Shelf(PAGE_ID)
    scan = PageScan(PageState(watermark=1), shelf, Pace(1.0, 0.0))
    counts = _counts(conversations)
    gc.collect()
    before = rss()
    at, now = 0, 0.0  # a clock that stands still: after the first live scan only the back-fill is due
    while (step := scan.next_step(now)) is not None:
        match step:
            case ListStep():
                page = [] if step.mode is Mode.LIVE else _listed(counts, at)
                at += len(page)
                scan.saved(step, scan.listed(step, page, now).remembered, now)
            case MessagesStep():
                seen = _messages(step)
                scan.took(step, seen, len(seen))
                scan.saved(step, {step.target.id: scan.remember(step, now)}, now)
            case SettleStep():
                scan.saved(step, {}, now)
            case _:
                raise AssertionError(f"nothing fails here: {step}")
    gc.collect()
    grown = rss() - before
    assert len(shelf) == conversations, len(shelf)
    least = sum(len(name) + len(state) for name, state in shelf.items()) / conversations
    return grown / conversations, least


def taken_over(conversations: int) -> tuple[float, float]:
    """Seconds that a new owner needs, and bytes per conversation by RSS once the records are let go."""
    model = _one_of_each()
    counts = _counts(conversations)
    names = [f"{PAGE_ID}_{5 * 10**15 + n}" for n in range(conversations)]
    # Copies: a record that comes from Kafka shares its bytes with no other.
    states = [bytes(bytearray(model[min(count, MESSAGE_PAGE)])) for count in counts]
    gc.collect()
    before = rss()
    began = time.perf_counter()
    shelf = Shelf(PAGE_ID, names, states)
    PageScan(PageState(watermark=1), shelf, Pace(1.0, 0.0))
    seconds = time.perf_counter() - began
    grown = rss() - before
    assert len(shelf) == conversations
    return seconds, grown / conversations


def _one_of_each() -> dict[int, bytes]:
    """The encoded state of a conversation that was read, by the length of its newest page."""
    states: dict[int, bytes] = {}
    shelf = Shelf(PAGE_ID)
    scan = PageScan(PageState(watermark=1), shelf, Pace(1.0, 0.0))
    at = 0
    counts = list(range(1, MESSAGE_PAGE + 1))
    while (step := scan.next_step(0.0)) is not None:
        if isinstance(step, ListStep):
            page = [] if step.mode is Mode.LIVE else _listed(counts, at)
            at += len(page)
            scan.saved(step, scan.listed(step, page, 0.0).remembered, 0.0)
        elif isinstance(step, MessagesStep):
            seen = _messages(step)
            scan.took(step, seen, len(seen))
            scan.saved(step, {step.target.id: scan.remember(step, 0.0)}, 0.0)
            states[step.target.count] = shelf.get(step.target.id) or b""
        else:
            scan.saved(step, {}, 0.0)
    return states


def _counts(conversations: int) -> Sequence[int]:
    dice = random.Random(1)
    middle = math.log(MEAN) - SPREAD * SPREAD / 2
    return [min(LONGEST, max(1, round(dice.lognormvariate(middle, SPREAD)))) for _ in range(conversations)]


def _listed(counts: Sequence[int], first: int) -> Sequence[Listed]:
    return [
        Listed(
            f"{PAGE_ID}_{5 * 10**15 + first + n}",
            f"7a1d6f0e-93b5-4c0f-a{n % 1000:03}-{first + n:012}",
            1_767_225_600_000 - first - n,
            count,
            (first + n + 1).to_bytes(8, "big"),
            b"rest",
        )
        for n, count in enumerate(counts[first : first + LIST_PAGE])
    ]


def _messages(step: MessagesStep) -> Sequence[Seen]:
    held = range(step.skip, min(step.target.count, step.skip + MESSAGE_PAGE))
    name = step.target.id
    return [Seen(f"{name}{n}", (hash((name, n)) % 2**56).to_bytes(7, "big")) for n in held]
