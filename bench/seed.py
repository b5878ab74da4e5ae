"""The main job: ten pages with history, from Pancake through Kafka into FolkForm, as three processes."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from bench.figures import Baseline, Figure, Plan, Result, at_most
from bench.stage import Simulator, connector_env, folder, simulator
from connector.simulator.audit import compare_dumps
from tests.services.kafka import KafkaBroker, broker_for_tests
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

PAGES = 10
MESSAGES = 50
LIMIT = 5
LIST_PAGE, MESSAGE_PAGE = 60, 30
RUN_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is on each page, and the fewest calls that can bring it."""

    conversations: int

    @property
    def least(self) -> int:
        return -(-self.conversations // LIST_PAGE) + self.conversations * -(-MESSAGES // MESSAGE_PAGE)


@dataclass(frozen=True, slots=True)
class Run:
    """
    One whole sync.

    Seconds: ``polled`` from the first call to Pancake to the last, ``whole`` from the start of the
    processes until everything was in FolkForm.
    """

    calls: int
    over: int
    polled: float
    whole: float
    folkform_calls: int
    differences: int


def measure(plan: Plan) -> Result:
    size = Size(10 if plan.quick else 100)
    with broker_for_tests() as broker:
        runs = [_sync(broker, size, number, plan) for number in range(plan.repeats)]
    least, at_limit = size.least * PAGES, size.least / LIMIT
    # One call for the conversation and one for its messages; packing cannot do better.
    ideal = 2 * PAGES * size.conversations
    return Result(
        [
            Figure(
                "seed: Pancake calls",
                "",
                [run.calls for run in runs],
                at_most(1.03 * least),
                Baseline("the fewest possible", [least]),
            ),
            Figure(
                "seed: time of the polling",
                "s",
                [run.polled for run in runs],
                at_most(1.05 * at_limit),
                Baseline("calls ÷ limit", [at_limit]),
            ),
            Figure("seed: calls over the limit", "", [run.over for run in runs], at_most(0)),
            Figure(
                "seed: FolkForm calls",
                "",
                [run.folkform_calls for run in runs],
                None,
                Baseline("two a conversation", [ideal]),
            ),
            Figure("seed: differences after it", "", [run.differences for run in runs], at_most(0)),
            Figure("seed: until all is in FolkForm", "s", [run.whole for run in runs]),
        ],
        [f"{PAGES} pages x {size.conversations} conversations x {MESSAGES} messages, {LIMIT} calls/s a page"],
    )


def _sync(broker: KafkaBroker, size: Size, number: int, plan: Plan) -> Run:
    shape = ("--pages", str(PAGES), "--conversations", str(size.conversations), "--messages", str(MESSAGES))
    with (
        simulator("pancake", *shape, "--rate", f"{LIMIT}/1s") as pancake,
        simulator("folkform", "--rate", "off", "--digests-only") as folkform,
        _connector(broker, pancake, folkform, number) as (poller, began),
    ):
        polled = _watch(pancake, poller)
        wanted = PAGES * size.conversations * MESSAGES
        wait_until(
            lambda: _stored(folkform) >= (wanted, PAGES * size.conversations),
            timeout=RUN_SECONDS,
            what="all of it to be in FolkForm",
        )
        whole = time.monotonic() - began
        audit = compare_dumps(pancake.dump(), folkform.dump())
        counted, written = pancake.status(), folkform.status()
        run = Run(
            int(counted["calls"]),
            int(counted["calls_over_limit"]),
            polled,
            whole,
            int(written["calls"]),
            sum(audit.differences().values()),
        )
    plan.say(f"{run.calls:,} calls in {run.polled:.1f} s, {run.over} over the limit; {audit.sentence()}")
    return run


def _stored(folkform: Simulator) -> tuple[int, int]:
    status = folkform.status()
    return int(status["messages"]), int(status["conversations"])


@contextmanager
def _connector(
    broker: KafkaBroker, pancake: Simulator, folkform: Simulator, number: int
) -> Iterator[tuple[ManagedProcess, float]]:
    """``topics create``, then a sink that runs on and a poller with ``--once``."""
    env = connector_env(kafka=broker.bootstrap, folkform=folkform.url, pancake=pancake.url)
    env["CONNECTOR_KAFKA__TOPIC_PREFIX"] = f"seed{number}."
    with ExitStack() as stack:
        where = stack.enter_context(folder())
        made = stack.enter_context(
            ManagedProcess.connector("topics", "create", folder=where, env=_only(env, "KAFKA"))
        )
        assert made.wait(60) == 0, made.text()
        began = time.monotonic()
        sink = stack.enter_context(ManagedProcess.connector("sink", folder=where, env=env))
        poller = stack.enter_context(ManagedProcess.connector("poll", "--once", folder=where, env=env))
        yield poller, began
        sink.stop(20)


def _only(env: Mapping[str, str], group: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(f"CONNECTOR_{group}__")}


def _watch(pancake: Simulator, poller: ManagedProcess) -> float:
    """Seconds from the first limited call to the last, by Pancake's counters, read ten times a second."""
    first = last = 0.0
    seen = 0
    while poller.running:
        calls = _page_calls(pancake.status())
        now = time.monotonic()
        if calls > seen:
            first, last, seen = first or now, now, calls
        time.sleep(0.1)
    assert poller.wait(0) == 0, poller.text()
    return last - first


def _page_calls(status: Mapping[str, Any]) -> int:
    """The calls that count against a page's limit."""
    return sum(
        tally["calls"] for page, routes in status["pages"].items() if page for tally in routes.values()
    )
