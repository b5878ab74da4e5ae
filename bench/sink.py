"""The sink alone: a full topic, a FolkForm that answers in 20 ms, no limit."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bench.events import MESSAGES, production
from bench.figures import Baseline, Figure, Plan, Result, at_least, at_most
from bench.report import table
from bench.stage import connector_env, cpu_seconds, folder, simulator
from connector.clock import SystemClock
from connector.kafka.config import Topics, producer_config
from connector.kafka.producer import ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.topics import create, partition_counts
from connector.settings import KafkaSettings
from tests.services.kafka import KafkaBroker, broker_for_tests
from tests.services.processes import ManagedProcess

LATENCY = "0.02"
RUN_SECONDS = 600
MANY_LANES = 64
# A conversation's snapshot, its thread and its messages, in two calls, when no window cuts it.
IDEAL = (MESSAGES + 2) / 2


@dataclass(frozen=True, slots=True)
class Place:
    """A broker whose topics are full."""

    broker: KafkaBroker
    topics: Topics


@dataclass(frozen=True, slots=True)
class Run:
    """One sink from the first record to the last."""

    events: int
    seconds: float
    cpu: float
    target_cpu: float
    calls: int
    rss: float
    outcome: Mapping[str, Any]

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def measure(plan: Plan) -> Result:
    conversations = 400 if plan.quick else 4000
    runs: list[Run] = []
    wide: list[Run] = []
    alone: list[Run] = []
    with _filled(conversations, plan) as place:
        # Taken in turns, so that a busy moment of the machine falls on all three.
        for _ in range(plan.repeats):
            runs.append(_with_target(place, plan))
            wide.append(_with_target(place, plan, lanes=MANY_LANES))
            alone.append(_alone(place, plan))
        profile = _with_target(place, plan, "--profile")
    return Result(_figures(runs, wide, alone), [*_profile(profile)])


def _figures(runs: Sequence[Run], wide: Sequence[Run], alone: Sequence[Run]) -> list[Figure]:
    free = Baseline("the same without a target", [run.rate for run in alone])
    free_cpu = Baseline("the same without a target", [run.events / run.cpu for run in alone])
    ideal = Baseline("an unlimited window", [IDEAL])
    per_call = [run.events / run.calls for run in runs]
    return [
        Figure("sink: throughput", "events/s", [r.rate for r in runs], at_least(20_000), free),
        Figure(f"sink: with {MANY_LANES} lanes", "events/s", [r.rate for r in wide], None, free),
        Figure("sink: by CPU", "events/CPU s", [r.events / r.cpu for r in runs], None, free_cpu),
        Figure("sink: events per FolkForm call", "", per_call, at_least(0.95 * IDEAL), ideal),
        Figure("sink: calls", "calls/s", [r.calls / r.seconds for r in runs]),
        Figure("sink: peak memory", "MB", [r.rss / 1e6 for r in runs], at_most(150)),
        Figure("sink: CPU of the sink", "cores", [r.cpu / r.seconds for r in runs]),
        Figure("sink: CPU of the simulator", "cores", [r.target_cpu / r.seconds for r in runs]),
    ]


@contextmanager
def _filled(conversations: int, plan: Plan) -> Iterator[Place]:
    topics = Topics("bench.")
    with broker_for_tests() as broker:
        plan.say(f"filling the topics with {conversations} conversations")
        asyncio.run(_fill(broker.bootstrap, topics, conversations))
        yield Place(broker, topics)


async def _fill(bootstrap: str, topics: Topics, conversations: int) -> None:
    settings = KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=topics.prefix)
    await create(settings, topics)
    producer = ProducerThread(producer_config(settings))
    publisher = KafkaPublisher(producer, topics, await partition_counts(settings, topics), SystemClock())
    made = production(conversations)
    while some := list(islice(made, 50)):
        await publisher.publish([event for events in some for event in events])
    await producer.close(10)


def _with_target(place: Place, plan: Plan, *options: str, lanes: int | None = None) -> Run:
    with simulator("folkform", "--rate", "off", "--latency", LATENCY, "--digests-only") as folkform:
        before = cpu_seconds(folkform.process.pid)
        outcome = _sink(place, folkform.url, *options, lanes=lanes)
        used = cpu_seconds(folkform.process.pid) - before
        calls = int(folkform.status()["calls"])
    run = _run(outcome, used, calls)
    said = " ".join(["", *options, f"{lanes} lanes" if lanes else ""]).rstrip()
    plan.say(f"{run.rate:,.0f} events/s, {run.cpu / run.seconds:.2f} cores{said}")
    return run


def _alone(place: Place, plan: Plan) -> Run:
    run = _run(_sink(place, "http://127.0.0.1:9/api", "--without-target"), 0.0, 1)
    plan.say(f"{run.rate:,.0f} events/s without a target")
    return run


def _run(outcome: Mapping[str, Any], target_cpu: float, calls: int) -> Run:
    numbers = (outcome["events"], outcome["seconds"], outcome["cpu"])
    return Run(*numbers, target_cpu, calls, outcome["rss"], outcome)


def _sink(place: Place, folkform: str, *options: str, lanes: int | None = None) -> dict[str, Any]:
    env = connector_env(kafka=place.broker.bootstrap, folkform=folkform)
    env["CONNECTOR_KAFKA__TOPIC_PREFIX"] = place.topics.prefix
    if lanes:
        env["CONNECTOR_SINK__LANES"] = str(lanes)
    argv = [sys.executable, "-m", "bench.sink_process", *options]
    with folder() as where, ManagedProcess(argv, folder=where, env=env) as process:
        found = process.wait_for_line(r"^outcome (.*)$", RUN_SECONDS)
        process.wait(30)
    # A group without members is forgotten, so that the next run begins at the beginning.
    group = place.topics.sink_group
    admin = place.broker.admin()  # the answer never comes once its client is collected
    admin.delete_consumer_groups([group])[group].result(30)
    return dict(json.loads(found[1]))


def _profile(run: Run) -> Iterator[str]:
    profile = run.outcome["profile"]
    threads = [(name, f"{used / run.seconds:.1%}") for name, used in profile["threads"].items()]
    yield from table(("thread", "CPU, of a core"), threads)
    for title, shares in (("main thread, own time", "own"), ("main thread, with what it calls", "total")):
        rows = [(place, f"{share:.1%}") for place, share in profile[shares].items() if share >= 0.01]
        yield from ("", *table((title, "share of the time"), rows))
