"""The composition root: settings in, a running poller or sink out. Everything is built here."""

import asyncio
import gc
import os
import random
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp.web import RouteDef
from pydantic import SecretStr

from connector.budget import BudgetOptions, LocalBudget, RedisBudget
from connector.budget.gauges import show
from connector.budget.leases import LeaseOptions, LocalLeases, RedisLeases
from connector.clock import Clock, SystemClock
from connector.codec import warm_up
from connector.engine.backoff import Backoff
from connector.engine.book import Reach
from connector.engine.desk import Rules
from connector.engine.fleet import Fleet, Source
from connector.engine.fleet import Pace as FleetPace
from connector.engine.flood import FloodLimits
from connector.engine.poller import PollerTools
from connector.engine.runner import Bounds, SinkRunner
from connector.engine.trial import Patience
from connector.engine.worker import Tools
from connector.folkform.sink import FolkFormSink
from connector.health import HealthServer
from connector.http.client import HttpClient
from connector.kafka.config import Topics, consumer_config, producer_config, reader_config
from connector.kafka.consumer import KafkaConsumer
from connector.kafka.cursors import KafkaCursors
from connector.kafka.partitioner import partition_of
from connector.kafka.producer import ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.topics import partition_counts
from connector.model import CursorRecord, Page
from connector.pancake.account import Account
from connector.pancake.hooks import Hooks
from connector.pancake.source import PancakePage
from connector.pancake.steps import Pace, ScanStep
from connector.ports import Consumer, Leases, RateBudget
from connector.settings import Settings, SinkSettings, user_tokens
from connector.telemetry import DEAD_LETTERS, REJECTED_AT_SOURCE, Metrics

STALL_SECONDS = 60.0  # a loop that has not turned for so long is not alive
HARD_EXIT_SECONDS = 20.0
NEVER = 1e9  # seconds: longer than any process lives

log = structlog.get_logger("connector.app")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: ``left_out`` counts dead letters, parked pages and holes."""

    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Base:
    """What both roles stand on."""

    settings: Settings
    topics: Topics
    clock: Clock
    metrics: Metrics
    budget: RateBudget
    client: HttpClient
    publisher: KafkaPublisher
    partitions: Mapping[str, int]
    backoff: Backoff
    leases: Leases


@asynccontextmanager
async def base(settings: Settings, budget: RateBudget | None = None) -> AsyncIterator[Base]:
    """
    Build what both roles stand on, and take it down again in the right order.

    ``budget``: one that several roles of the same process share; it stays open.

    Raises:
        UnavailableError: the broker does not answer.
        ContractError: topics are missing.
    """
    topics, clock, metrics = Topics(settings.kafka.topic_prefix), SystemClock(), Metrics()
    async with AsyncExitStack() as stack:
        stack.callback(metrics.close)
        partitions = await partition_counts(settings.kafka, topics)
        if budget is None:
            budget = _budget(settings, clock)
            stack.push_async_callback(budget.close)
        show(budget, metrics)
        client = HttpClient(settings.http, budget, clock, metrics)
        stack.push_async_callback(client.close)
        producer = ProducerThread(producer_config(settings.kafka))
        stack.push_async_callback(producer.close, 5.0)
        publisher = KafkaPublisher(producer, topics, partitions, clock)
        backoff = Backoff(settings.http.max_retry_wait, random.Random())  # noqa: S311
        _steady()
        leases = _leases(settings, clock)
        stack.push_async_callback(leases.close)
        yield Base(settings, topics, clock, metrics, budget, client, publisher, partitions, backoff, leases)


def _steady() -> None:
    """
    Do what would stop the loop for tens of milliseconds now, before it has calls to make on time.

    What start-up made lives as long as the process: frozen, the garbage collector walks it no more. A
    full walk took as long as a call may be late.
    """
    warm_up()
    gc.collect()
    gc.freeze()


def _budget(settings: Settings, clock: Clock) -> RateBudget:
    options = BudgetOptions(jitter_share=settings.budget.jitter)
    url = settings.redis.url.get_secret_value()
    if url:
        return RedisBudget(url, clock, options)
    log.warning("in-process budget", advice="with more than one process set CONNECTOR_REDIS__URL")
    return LocalBudget(clock, options)


def _leases(settings: Settings, clock: Clock) -> Leases:
    options = LeaseOptions(call_timeout=settings.http.total_timeout)
    url = settings.redis.url.get_secret_value()
    return RedisLeases(url, clock, options) if url else LocalLeases(clock, options)


def sink_consumer(parts: Base) -> Consumer:
    """A member of the sinks' group, that notices the ends of its partitions."""
    config = consumer_config(parts.settings.kafka, parts.topics.sink_group, role="sink", ends=True)
    return KafkaConsumer(config, [parts.topics.conversations, parts.topics.messages])


def build_sink(parts: Base, consumer: Consumer) -> SinkRunner:
    """A sink over ``parts``. Raises ConfigError without FolkForm's credentials."""
    settings = parts.settings
    scope = f"folkform:{settings.folkform.account}"
    tools = Tools(
        FolkFormSink(
            parts.client, settings.folkform.model_copy(update={"call_timeout": settings.call_timeout})
        ),
        parts.publisher,
        parts.backoff,
        parts.clock,
        parts.metrics,
        lambda: _waiting(parts.budget, scope),
    )
    return SinkRunner(consumer, tools, sink_rules(settings.sink), sink_bounds(settings))


def sink_rules(settings: SinkSettings) -> Rules:
    """How much goes out at once, and when something is given up."""
    return Rules(
        settings.lanes,
        Reach(settings.window_records, settings.ahead),
        Patience(settings.item_attempts, settings.doubt_attempts),
        FloodLimits(settings.rejects_in_row, settings.reject_share),
        settings.remembered,
    )


def sink_bounds(settings: Settings) -> Bounds:
    """How much is held, how long a hand-over may take, and for how long an old call may still be heard of."""
    return Bounds(settings.sink.window_bytes, settings.sink.drain, settings.call_timeout)


def _waiting(budget: RateBudget, scope: str) -> int | None:
    use = budget.snapshot().get(scope)
    return None if use is None or use.limit_per_second is None else use.waiting


def build_poller(
    parts: Base, *, once: bool = False, tokens: Callable[[], Sequence[SecretStr]] | None = None
) -> Fleet[ScanStep]:
    """
    A poller over ``parts``; ``once``: each page has one live scan, and then its back-fill.

    ``tokens``: the user access tokens of now, where they may be exchanged while the process runs.

    Raises:
        ConfigError: there is no access token.
    """
    settings, topics, clock = parts.settings, parts.topics, parts.clock
    account = Account(parts.client, settings.pancake, parts.leases, clock, tokens=tokens)
    poller = settings.poller
    pace = Pace(
        NEVER if once else poller.interval,
        poller.overlap,
        poller.interval_max,
        0.0 if once else poller.reconcile_interval,
        poller.deep_every,
    )

    def open_page(page: Page, cursors: Sequence[CursorRecord]) -> PancakePage:
        return PancakePage(page, account, parts.client, settings.pancake, clock).resume(cursors, pace)

    count = parts.partitions[topics.pages]
    source: Source[ScanStep] = Source(
        account,
        KafkaCursors(reader_config(settings.kafka, topics), topics.cursors, parts.publisher, clock),
        parts.publisher,
        lambda page_id: partition_of(page_id, count),
        open_page,
    )
    config = consumer_config(settings.kafka, topics.poller_group, role="poller", ends=False)
    tools = PollerTools(
        parts.publisher, parts.publisher, parts.backoff, clock, parts.metrics, settings.poller.lanes
    )
    fleet_pace = FleetPace(settings.poller.pages_interval, settings.poller.drain)
    return Fleet(KafkaConsumer(config, [topics.pages], from_end=True), source, tools, fleet_pace)


async def run_sink(settings: Settings, *, once: bool) -> Outcome:
    """Own partitions, upsert, commit, until SIGTERM. Raises as ``base`` and SinkRunner.run."""
    async with base(settings) as parts:
        runner = build_sink(parts, sink_consumer(parts))
        await _serve(parts, runner, lambda stop: runner.run(stop, once=once))
        return Outcome(parts.metrics.total(DEAD_LETTERS))


async def run_poller(settings: Settings, *, once: bool) -> Outcome:
    """Own pages, publish events, save cursors, until SIGTERM. Raises as ``base`` and Fleet.run."""
    async with base(settings) as parts:
        fleet = build_poller(parts, once=once, tokens=lambda: user_tokens(settings.pancake))
        secret = settings.pancake.webhook_secret.get_secret_value()
        hooks = Hooks(secret, fleet.hints, parts.clock, parts.metrics)
        await _serve(parts, fleet, lambda stop: fleet.run(stop, once=once), () if once else hooks.routes())
        return Outcome(fleet.left_out + parts.metrics.total(REJECTED_AT_SOURCE))


async def _serve(
    parts: Base,
    role: "SinkRunner | Fleet[ScanStep]",
    run: Callable[[asyncio.Event], Awaitable[None]],
    routes: Sequence[RouteDef] = (),
) -> None:
    stop = asyncio.Event()
    health = HealthServer(
        parts.settings.http.listen,
        parts.metrics,
        lambda: {"loop turns": parts.clock.monotonic() - role.beat < STALL_SECONDS},
        lambda: {"assigned": role.ready, "not leaving": not stop.is_set()},
        routes,
    )
    await health.start()
    try:
        with _signals(stop):
            await run(stop)
    finally:
        await health.stop()


class _signals:  # noqa: N801
    """SIGTERM and Ctrl-C ask to stop; a client that then hangs does not keep the process for ever."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def _asked(self) -> None:
        if self._stop.is_set():
            return
        log.info("stopping")
        self._stop.set()
        watchdog = threading.Timer(HARD_EXIT_SECONDS, _hard_exit)
        watchdog.daemon = True
        watchdog.start()


def _hard_exit() -> None:
    sys.stderr.write("did not stop in time: leaving at once; what was not committed is done again\n")
    os._exit(1)
