"""What the program says of itself: log lines without secrets, and every metric with its question."""

import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

import structlog
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

SECRET = re.compile(r"(?i)((?:page_)?access_token|token|password|secret|key|sig)=[^&\s\"']+")
BEARER = re.compile(r"(?i)bearer\s+[\w.~+/-]+=*")

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and the question that it answers."""

    name: str
    question: str
    labels: tuple[str, ...] = ()


PUBLISHED = Metric("events.published", "What does the source bring, and why was it read?", ("kind", "origin"))
REJECTED_AT_SOURCE = Metric("source.rejected", "How much of the source could not be read as anything?")
STEPS_FAILED = Metric("source.steps.failed", "Is reading a page going wrong?", ("page",))
CALLS = Metric("http.calls", "How are the calls to each API answered?", ("api", "route", "outcome"))
CONSUMED = Metric("records.consumed", "How fast do records come?", ("topic",))
DELIVERED = Metric(
    "events.delivered", "How many events reached the target, superseded ones included?", ("topic",)
)
WRITES = Metric("sink.writes", "How many writes did they take? Events per write is the figure.", ("topic",))
REFUSALS = Metric("sink.refusals", "How many writes were refused for what is in them?", ("topic",))
RETRIES = Metric("sink.retries", "How often must a write be repeated?", ("topic",))
PASSES = Metric("source.passes", "Do scans of the pages come through?")
DEAD_LETTERS = Metric("dead_letters", "What is shelved, and why?", ("reason",))
HOOKS = Metric("hooks", "Do webhooks come, and are they worth a look?", ("outcome",))
OWNERSHIP = Metric("ownership.changes", "Does the group settle?", ("change",))
BUDGET_GRANTS = Metric("budget.grants", "How many calls were let go?", ("scope",))
BUDGET_REFUSALS = Metric("budget.refusals", "How often did the API say too many?", ("scope",))
BUDGET_WAITED = Metric(
    "budget.waited.seconds", "What is the limit's price, in waiting?", ("scope", "priority")
)

COUNTERS: Final = (
    PUBLISHED,
    REJECTED_AT_SOURCE,
    STEPS_FAILED,
    PASSES,
    CALLS,
    CONSUMED,
    DELIVERED,
    WRITES,
    REFUSALS,
    RETRIES,
    DEAD_LETTERS,
    HOOKS,
    OWNERSHIP,
    BUDGET_GRANTS,
    BUDGET_REFUSALS,
    BUDGET_WAITED,
)
BUDGET_LIMIT = Metric("budget.limit", "How many calls a second are configured?", ("scope",))
BUDGET_LEARNT = Metric("budget.learnt", "How many of them does the API really take?", ("scope",))
BUDGET_WAITING = Metric("budget.waiting", "Who waits for a call now?", ("scope", "priority"))
BUDGET_DEGRADED = Metric("budget.degraded", "Is each process on its own because Redis is away?", ("scope",))
PAGES_OWNED = Metric("pages.owned", "How many pages does this process read?")
PAGES_PARKED = Metric("pages.parked", "How many of them wait for a person?")
PAGES_HOLES = Metric("pages.holes", "How many known gaps do they have?")
PAGES_UNPROVED = Metric("pages.unproved.seconds", "How long ago was the one that is furthest behind proved?")
GAUGES: Final = (
    PAGES_OWNED,
    PAGES_PARKED,
    PAGES_HOLES,
    PAGES_UNPROVED,
    BUDGET_LIMIT,
    BUDGET_LEARNT,
    BUDGET_WAITING,
    BUDGET_DEGRADED,
)
CALL_SECONDS = Metric("http.call.duration", "How long does a call take, without its wait?", ("api", "route"))
FRESHNESS_SECONDS = Metric("freshness", "How old is an event when it is in the target?", ("topic",))
HISTOGRAMS: Final = (CALL_SECONDS, FRESHNESS_SECONDS)


Reading = Callable[[], Mapping[tuple[str, ...], float]]


class Metrics:
    """Counts, for Prometheus and for whoever shows them in this process."""

    def __init__(self) -> None:
        # A registry of our own: the global one would hold the series of every instance in a test run.
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(prefix="connector", registry=self._registry, scope_info_enabled=False)
        self._provider = MeterProvider(
            [reader], Resource({"service.name": "connector"}), shutdown_on_exit=False
        )
        meter = self._provider.get_meter("connector")
        for metric in COUNTERS:
            callbacks = [self._observer(metric), self._reader(metric)]
            meter.create_observable_counter(metric.name, callbacks, "", metric.question)
        for metric in GAUGES:
            meter.create_observable_gauge(metric.name, [self._reader(metric)], "", metric.question)
        self._readings: dict[Metric, Reading] = {}
        self._histograms: dict[Metric, Histogram] = {
            metric: meter.create_histogram(metric.name, "s", metric.question) for metric in HISTOGRAMS
        }
        self.totals: Counter[tuple[str, ...]] = Counter()

    def count(self, metric: Metric, *labels: str, by: int = 1) -> None:
        """Add to a counter; ``labels`` in the order of the metric's own."""
        if len(labels) != len(metric.labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels}")
        # Read from here when somebody asks: adding to an instrument each time was 5 % of the sink's loop.
        self.totals[metric.name, *labels] += by

    def _observer(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(total, dict(zip(metric.labels, labels, strict=True)))
                for (name, *labels), total in self.totals.items()
                if name == metric.name
            ]

        return observe

    def watch(self, metric: Metric, reading: Reading) -> None:
        """Let a metric be read whenever somebody asks: a value for each set of its labels."""
        self._readings[metric] = reading

    def _reader(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_options: CallbackOptions) -> Iterable[Observation]:
            reading = self._readings.get(metric)
            values = {} if reading is None else reading()
            return [
                Observation(value, dict(zip(metric.labels, labels, strict=True)))
                for labels, value in values.items()
            ]

        return read

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Put one duration into a histogram."""
        self._histograms[metric].record(seconds, dict(zip(metric.labels, labels, strict=True)))

    def total(self, metric: Metric, *labels: str) -> int:
        """The sum of a counter over everything that begins with ``labels``."""
        head = (metric.name, *labels)
        return sum(value for key, value in self.totals.items() if key[: len(head)] == head)

    def page(self) -> bytes:
        """The Prometheus page."""
        return generate_latest(self._registry)

    def close(self) -> None:
        self._provider.shutdown()


def redact(text: str) -> str:
    """``text`` without the values of tokens in query strings and headers."""
    return BEARER.sub("Bearer ***", SECRET.sub(r"\1=***", text))


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}


def set_up_logs(*, form: str, level: str, stream: TextIO | None = None) -> None:
    """One line per event on ``stream`` (stderr): ``console`` for people, ``json`` for machines."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # httpx and aiohttp write whole URLs, and Pancake's tokens ride in them.
    for name in ("httpx", "httpcore", "aiohttp", "redis"):
        logging.getLogger(name).setLevel(logging.WARNING)
