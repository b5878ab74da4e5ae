"""Taking over: a page's cursors read back from Kafka, and a thousand pages on four pollers."""

import asyncio
import multiprocessing
import random
import statistics
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.figures import Baseline, Figure, Plan, Result, at_most
from bench.stage import Simulator, connector_env, cpu_seconds, folder, peak_rss, rss, simulator
from connector.clock import SystemClock
from connector.kafka.config import Topics, producer_config, reader_config
from connector.kafka.cursors import KafkaCursors
from connector.kafka.partitioner import partition_of
from connector.kafka.producer import ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.topics import create
from connector.model import CursorRecord
from connector.settings import KafkaSettings
from tests.services.kafka import KafkaBroker, broker_for_tests
from tests.services.pipeline import metrics_url
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

PAGE_ID = "100000000001000"
PARTITIONS = 12
STATE_BYTES = 130  # of a conversation with some twenty messages: with key and frame about 230 B
BATCH = 5_000
POLLERS = 4
START_SECONDS = 600


def measure(plan: Plan) -> Result:
    sizes = (2_000, 10_000) if plan.quick else (100_000, 1_000_000)
    pages = 100 if plan.quick else 1_000
    with broker_for_tests() as broker:
        loads = {size: _loads(broker, size, plan) for size in sizes}
        fleet = _fleet(broker, pages, plan)
    seconds = {size: [load.seconds for load in found] for size, found in loads.items()}
    return Result(
        [
            Figure(f"take-over: cursors of {sizes[0]:,} conversations", "s", seconds[sizes[0]], at_most(30)),
            Figure(f"take-over: cursors of {sizes[1]:,} conversations", "s", seconds[sizes[1]]),
            Figure(
                f"take-over: memory at its height, {sizes[1]:,} conversations",
                "MB",
                [load.peak / 1e6 for load in loads[sizes[1]]],
                None,
                Baseline("what is left of it", [load.kept / 1e6 for load in loads[sizes[1]]]),
            ),
            Figure(f"{pages:,} pages on {POLLERS} pollers: until each was read", "s", [fleet.start]),
            Figure(f"{pages:,} pages: calls to Pancake", "1/s", [fleet.calls]),
            Figure(f"{pages:,} pages: a poller's processor", "%", [100 * share for share in fleet.shares]),
            Figure(f"{pages:,} pages: lag of a poller's loop, median", "ms", [fleet.lag(0.5)]),
            Figure(f"{pages:,} pages: lag of a poller's loop, p99", "ms", [fleet.lag(0.99)]),
        ],
        ["lag: how long /livez takes; simulator, broker and pollers share the cores"],
    )


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds, and bytes of memory at the height of it and when only the records are left."""

    seconds: float
    peak: int
    kept: int


def _loads(broker: KafkaBroker, size: int, plan: Plan) -> Sequence[Load]:
    settings = KafkaSettings(
        bootstrap_servers=broker.bootstrap, topic_prefix=f"takeover{size}.", partitions=PARTITIONS
    )
    asyncio.run(_write(settings, size))
    plan.say(f"{size:,} cursors written")
    context = multiprocessing.get_context("spawn")
    found = []
    for _ in range(plan.repeats):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            found.append(pool.submit(load_apart, settings, size).result())
        plan.say(f"{size:,} cursors read in {found[-1].seconds:.1f} s")
    return found


async def _write(settings: KafkaSettings, size: int) -> None:
    topics = Topics(settings.topic_prefix)
    await create(settings, topics)
    dice = random.Random(1)
    producer = ProducerThread(producer_config(settings))
    publisher = _publisher(producer, topics)
    for first in range(0, size, BATCH):
        await publisher.save(
            [
                CursorRecord(PAGE_ID, f"{PAGE_ID}_{5 * 10**15 + n}", dice.randbytes(STATE_BYTES))
                for n in range(first, min(first + BATCH, size))
            ]
        )
    await producer.close(30.0)


def _publisher(producer: ProducerThread, topics: Topics) -> KafkaPublisher:
    return KafkaPublisher(
        producer, topics, dict.fromkeys((topics.cursors, topics.pages), PARTITIONS), SystemClock()
    )


def load_apart(settings: KafkaSettings, size: int) -> Load:
    """In a process of its own, for its memory's sake."""
    return asyncio.run(_load(settings, size))


async def _load(settings: KafkaSettings, size: int) -> Load:
    topics = Topics(settings.topic_prefix)
    producer = ProducerThread(producer_config(settings))
    config = reader_config(settings, topics)
    cursors = KafkaCursors(config, topics.cursors, _publisher(producer, topics), SystemClock())
    before = rss()
    began = time.perf_counter()
    records = await cursors.load(partition_of(PAGE_ID, PARTITIONS))
    seconds = time.perf_counter() - began
    assert len(records) == size, len(records)
    kept = rss() - before
    await cursors.close()
    await producer.close(5.0)
    return Load(seconds, peak_rss() - before, kept)


@dataclass(frozen=True, slots=True)
class FleetRun:
    """Seconds until every page was read, calls a second then, and how busy and how late the pollers were."""

    start: float
    calls: float
    shares: Sequence[float]
    lags: Sequence[float]

    def lag(self, share: float) -> float:
        return statistics.quantiles(self.lags, n=100)[round(100 * share) - 1] * 1000


def _fleet(broker: KafkaBroker, pages: int, plan: Plan) -> FleetRun:
    shape = ("--pages", str(pages), "--conversations", "2", "--messages", "3", "--plain")
    with simulator("pancake", *shape) as pancake, _pollers(broker, pancake, pages) as pollers:
        began = time.monotonic()
        wait_until(lambda: _read(pancake) >= pages, timeout=START_SECONDS, what="every page to be read")
        start = time.monotonic() - began
        plan.say(f"{pages:,} pages were read after {start:.1f} s")
        urls = [metrics_url(poller) for poller in pollers]
        calls, busy, began = pancake.status()["calls"], _busy(pollers), time.monotonic()
        lags = [_seconds(f"{url}/livez") for _ in range(5 if plan.quick else 100) for url in urls]
        passed = time.monotonic() - began
        shares = [(now - then) / passed for now, then in zip(_busy(pollers), busy, strict=True)]
        return FleetRun(start, (pancake.status()["calls"] - calls) / passed, shares, lags)


@contextmanager
def _pollers(broker: KafkaBroker, pancake: Simulator, pages: int) -> Iterator[list[ManagedProcess]]:
    env = connector_env(kafka=broker.bootstrap, folkform=pancake.url, pancake=pancake.url)
    env |= {"CONNECTOR_KAFKA__TOPIC_PREFIX": f"fleet{pages}.", "CONNECTOR_LOG__LEVEL": "info"}
    with ExitStack() as stack:
        where = stack.enter_context(folder())
        kafka = {name: value for name, value in env.items() if name.startswith("CONNECTOR_KAFKA__")}
        made = ManagedProcess.connector("topics", "create", folder=where, env=kafka)
        assert stack.enter_context(made).wait(60) == 0, made.text()
        yield [
            stack.enter_context(ManagedProcess.connector("poll", folder=where / str(number), env=env))
            for number in range(POLLERS)
        ]


def _read(pancake: Simulator) -> int:
    """Pages whose messages were asked for."""
    return sum("messages" in routes for page, routes in pancake.status()["pages"].items() if page)


def _busy(pollers: Sequence[ManagedProcess]) -> list[float]:
    return [cpu_seconds(poller.pid) for poller in pollers]


def _seconds(url: str) -> float:
    time.sleep(0.05 / POLLERS)
    began = time.perf_counter()
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own pollers
        answer.read()
    return time.perf_counter() - began
