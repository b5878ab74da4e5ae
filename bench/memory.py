"""What the poller remembers of conversations: a PageScan after a back-fill, in a process of its own."""

import gc
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from bench.figures import Baseline, Figure, Plan, Result, at_most
from bench.stage import rss
from connector.pancake.scan import ListStep, MessagesStep, Mode, Pace, PageScan
from connector.pancake.state import PageState
from connector.pancake.walk import Listed, Seen

PAGE = 60
MESSAGES = 27
MILLION = 1_000_000


def measure(plan: Plan) -> Result:
    conversations = 10_000 if plan.quick else 100_000
    found = [_apart(conversations) for _ in range(plan.repeats)]
    least = [float(least) for _, least in found]
    each = [each for each, _ in found]
    megabytes = [value * MILLION / 1e6 for value in each]
    return Result(
        [
            Figure("memory: a conversation's cursor", "B", each, None, Baseline("its encoded bytes", least)),
            Figure("memory: of 1 M conversations", "MB", megabytes, at_most(300)),
        ],
        [f"{conversations:,} conversations of {MESSAGES} messages, read once; growth of RSS"],
    )


def _apart(conversations: int) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(backfilled, conversations).result()


def backfilled(conversations: int) -> tuple[float, float]:
    """Bytes per conversation by RSS, and the bytes of an id and its encoded state."""
    states: dict[str, bytes] = {}
    scan = PageScan(PageState(watermark=1), states, Pace(1.0, 0.0))
    gc.collect()
    before = rss()
    at, now = 0, 0.0  # a clock that stands still: after the first live scan only the back-fill is due
    while (step := scan.next_step(now)) is not None:
        if isinstance(step, ListStep):
            live = step.mode is Mode.LIVE
            page = [] if live else _listed(at, min(at + PAGE, conversations))
            at += len(page)
            scan.saved(step, scan.listed(step, page, now).remembered, now)
        elif isinstance(step, MessagesStep):
            scan.took(step, _messages(step))
            scan.saved(step, {step.target.id: scan.walk(step).state()}, now)
        else:
            scan.saved(step, {}, now)
    gc.collect()
    grown = rss() - before
    assert len(states) == conversations, len(states)
    least = sum(len(name) + len(state) for name, state in states.items()) / conversations
    return grown / conversations, least


def _listed(first: int, end: int) -> Sequence[Listed]:
    return [
        Listed(
            f"100000000001000_{5_000_000_000_000_000 + n}",
            f"7a1d6f0e-93b5-4c0f-a{n % 1000:03}-{n:012}",
            1_767_225_600_000 + n,
            MESSAGES,
            n.to_bytes(8, "big"),
        )
        for n in range(first, end)
    ]


def _messages(step: MessagesStep) -> Sequence[Seen]:
    left = range(step.skip, MESSAGES)
    name = step.target.id
    return [Seen(f"m_{name}_{n}", hash((name, n)).to_bytes(8, "big", signed=True)) for n in left]
