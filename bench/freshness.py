"""
Live freshness: from a change at Pancake to FolkForm having it, at default limits, with real processes.

Six pages get the changes of a Monday's peak hour as production has them (``bench/likelihood.py``). At night a
page is scanned at its slowest; since the hour is the machine's, that is shown by holding every page there.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.figures import Figure, Plan, Result, at_most, number
from bench.likelihood import HOUR, SHARES, world
from bench.report import table
from bench.stage import connector_env, folder
from connector.settings import PollerSettings
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions, PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig
from tests.services.kafka import KafkaBroker, broker_for_tests
from tests.services.processes import ManagedProcess

PEAK = 9 * HOUR
CONVERSATIONS = 5
CONVERSATION_SECONDS = 120.0  # so long people stay with one conversation of a page
PANCAKE_LATENCY, FOLKFORM_LATENCY = (0.1, 0.3), (0.05, 0.2)
ARRIVE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Load:
    """What happens on which page (by number) after how many seconds, and settings of the poller."""

    name: str
    seconds: float
    changes: Sequence[tuple[float, int]]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds from each change to FolkForm, sorted; calls to Pancake a second and page meanwhile."""

    waits: Sequence[float]
    calls: float

    def at(self, share: float) -> float:
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


PEAK_LOAD, SLOWEST_LOAD = "peak hour", "pages at their slowest"
# At night there is next to nothing to be fresh: only the bound is asked for there.
TARGETS = {
    (PEAK_LOAD, 0.5): at_most(3.0),
    (PEAK_LOAD, 0.99): at_most(10.0),
    (SLOWEST_LOAD, 0.5): None,
    (SLOWEST_LOAD, 0.99): at_most(10.0),
}
COLUMNS = ("load", "changes", "p50 s", "p90 s", "p99 s", "last s", "Pancake calls/s and page")


def measure(plan: Plan) -> Result:
    loads = [load for seed in range(1, plan.repeats + 1) for load in _loads(seed, quick=plan.quick)]
    runs: dict[str, list[Run]] = {}
    with broker_for_tests() as broker:
        for place, load in enumerate(loads):
            runs.setdefault(load.name, []).append(asyncio.run(_run(broker, load, place, plan)))
    figures = [
        Figure(f"freshness, {name}: p{100 * share:.0f}", "s", [run.at(share) for run in runs[name]], target)
        for (name, share), target in TARGETS.items()
    ]
    rows = [_row(name, run) for name, each in runs.items() for run in each]
    return Result(figures, [*table(COLUMNS, rows)])


def _row(name: str, run: Run) -> list[str]:
    waits = [number(run.at(share)) for share in (0.5, 0.9, 0.99, 1.0)]
    return [name, str(len(run.waits)), *waits, number(run.calls)]


def _loads(seed: int, *, quick: bool) -> Iterator[Load]:
    seconds = 60.0 if quick else 240.0
    pages = world(seed, days=1).pages
    peak = [
        (change - PEAK, page)
        for page, changes in enumerate(pages)
        for change in changes
        if PEAK <= change < PEAK + seconds
    ]
    yield Load(PEAK_LOAD, seconds, sorted(peak), {})
    slowest = str(PollerSettings().interval_max)
    rng = random.Random(seed)
    calm = [(6.0 * turn + rng.uniform(0, 6), rng.randrange(len(SHARES))) for turn in range(int(seconds / 12))]
    held = {"CONNECTOR_POLLER__INTERVAL": slowest, "CONNECTOR_POLLER__INTERVAL_MAX": slowest}
    yield Load(SLOWEST_LOAD, seconds / 2, calm, held)


async def _run(broker: KafkaBroker, load: Load, prefix: int, plan: Plan) -> Run:
    async with _simulators() as (pancake, folkform, urls):
        env = connector_env(kafka=broker.bootstrap, pancake=urls[0], folkform=urls[1])
        # The limits are the defaults: those of the settings and those of the simulators.
        del env["CONNECTOR_FOLKFORM__RATE"]
        env["CONNECTOR_KAFKA__TOPIC_PREFIX"] = f"fresh{prefix}."
        async with _connector({**env, **load.env}):
            seeded = sum(len(page.conversations) for page in pancake.world.pages.values())
            await _until(lambda: len(folkform.store.documents) == seeded)
            plan.say(f"{load.name}: {len(load.changes)} changes in {load.seconds:.0f} s")
            before, began = pancake.calls.calls, time.monotonic()
            changed = await _play(pancake.world, load)
            calls = (pancake.calls.calls - before) / (time.monotonic() - began) / len(SHARES)
            await _until(lambda: all(name in folkform.store.items for name in changed))
        waits = sorted((folkform.store.items[name].created_ms - at) / 1000 for name, at in changed.items())
    return Run(waits, calls)


@asynccontextmanager
async def _simulators() -> AsyncIterator[tuple[PancakeSimulator, FolkFormSimulator, tuple[str, str]]]:
    """Both APIs in this process, so that both ends of a wait are read from one clock."""
    shape = WorldConfig(pages=len(SHARES), conversations_per_page=CONVERSATIONS, messages_per_conversation=20)
    pancake = PancakeSimulator(World(shape), options=PancakeOptions(latency=PANCAKE_LATENCY))
    folkform = FolkFormSimulator(options=FolkFormOptions(latency=FOLKFORM_LATENCY))
    urls = await pancake.start(), await folkform.start()
    try:
        yield pancake, folkform, urls
    finally:
        await pancake.stop()
        await folkform.stop()


@asynccontextmanager
async def _connector(env: Mapping[str, str]) -> AsyncIterator[None]:
    with ExitStack() as stack:
        where = stack.enter_context(folder())
        kafka = {name: value for name, value in env.items() if name.startswith("CONNECTOR_KAFKA__")}
        made = stack.enter_context(ManagedProcess.connector("topics", "create", folder=where, env=kafka))
        assert await asyncio.to_thread(made.wait, 60) == 0, made.text()
        roles = [
            stack.enter_context(ManagedProcess.connector(role, folder=where, env=env))
            for role in ("poll", "sink")
        ]
        yield
        for role in roles:
            # In a thread: they end with calls to the simulators, which live on this loop.
            await asyncio.to_thread(role.stop, 20)


async def _until(arrived: Callable[[], bool]) -> None:
    async with asyncio.timeout(ARRIVE_SECONDS):
        while not arrived():  # noqa: ASYNC110 - the simulators know of no waiters
            await asyncio.sleep(0.05)


async def _play(world_: World, load: Load) -> dict[str, int]:
    """Let the load happen; each new message with the moment (ms) at which Pancake had it."""
    pages = list(world_.pages.values())
    began, changed = time.monotonic(), dict[str, int]()
    for moment, number_ in load.changes:
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        page, now = pages[number_], time.time_ns() // 1_000_000
        names = sorted(page.conversations)
        name = names[int(moment / CONVERSATION_SECONDS) % len(names)]
        changed[world_.add_message(page.id, name, at_ms=now).id] = now
    await asyncio.sleep(max(0.0, began + load.seconds - time.monotonic()))
    return changed
