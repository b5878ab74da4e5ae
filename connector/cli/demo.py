"""``connector demo``: both simulators, an embedded broker, poller and sink, in one process, to look at."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import click
from pydantic import SecretStr

from connector.app import Base, Outcome, base, build_poller, build_sink, sink_consumer
from connector.budget import BudgetOptions, LocalBudget
from connector.cli.demo_life import Activity
from connector.cli.demo_screen import Screen, screen
from connector.cli.demo_view import Phase
from connector.cli.demo_watch import Cast, Watch
from connector.cli.process import finish
from connector.clock import Deadline, SystemClock
from connector.engine.fleet import Fleet
from connector.engine.runner import SinkRunner
from connector.errors import ConnectorError
from connector.kafka.config import Topics
from connector.kafka.embedded import EmbeddedBroker
from connector.leaving import unless
from connector.pancake.steps import ScanStep
from connector.settings import (
    BudgetSettings,
    FolkFormSettings,
    KafkaSettings,
    PancakeSettings,
    PollerSettings,
    Settings,
)
from connector.simulator.audit import Audit, compare
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions, PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig

# Small enough to stay within the few megabytes per partition that the embedded broker keeps.
WORLD = WorldConfig(seed=7, pages=3, conversations_per_page=12, messages_per_conversation=8)
PANCAKE_CALLS = 5
FOLKFORM_CALLS = 20
CHANGES_PER_SECOND = 3.0
POLL_SECONDS = 1.0
# Pages as small and busy as these move wholly within the usual minute: each scan would read all of them.
OVERLAP_SECONDS = 5.0
LOOK_SECONDS = 0.25
CATCH_UP_SECONDS = 3.0
GRACE_SECONDS = 16.0
# One loop also serves both simulators and draws the screen: a call may leave later than in production.
JITTER = 0.1
NAMED = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How long the demo lasts.

    ``seconds``: in all, about; None: until a signal. ``grace``: at most so many from the end of the
    activity until everything must have arrived.
    """

    seconds: float | None
    grace: float = GRACE_SECONDS

    @property
    def active(self) -> float | None:
        """Seconds of activity: the last few belong to catching up."""
        return None if self.seconds is None else max(self.seconds / 2, self.seconds - CATCH_UP_SECONDS)


@dataclass(frozen=True, slots=True)
class Stage:
    """Both ends and the broker between them, listening on this machine."""

    pancake: PancakeSimulator
    folkform: FolkFormSimulator
    settings: Settings


@click.command(epilog="Example: connector demo --seconds 20   (or: DEMO_SECONDS=20 make demo)")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    envvar="DEMO_SECONDS",
    show_envvar=True,
    help="End by itself after about so long; without it Ctrl-C ends it.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE_SECONDS,
    show_default=True,
    help="Seconds, from the end of the activity, in which everything must have arrived.",
)
def demo(seconds: float | None, grace: float) -> None:
    """
    The whole connector on this machine, with invented data: watch it work.

    Exit code 0 when everything that Pancake has is in FolkForm at the end, byte for byte; else 3.
    """

    async def run() -> Outcome:
        with screen() as shown:
            async with stage() as set_up:
                audit = await perform(set_up, Plan(seconds, grace), shown)
        return Outcome(sum(audit.differences().values()))

    finish(run)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """
    Bring both ends and the broker up, and take them down at the end.

    Raises:
        UnavailableError: the embedded broker does not start.
    """
    pancake = PancakeSimulator(World(WORLD), options=PancakeOptions(rate=PANCAKE_CALLS))
    folkform = FolkFormSimulator(options=FolkFormOptions(rate=(FOLKFORM_CALLS, 1.0)))
    async with AsyncExitStack() as stack:
        broker = await asyncio.to_thread(EmbeddedBroker)
        stack.callback(broker.close)
        await asyncio.to_thread(broker.create, Topics())
        stack.push_async_callback(pancake.stop)
        stack.push_async_callback(folkform.stop)
        urls = await pancake.start(), await folkform.start()
        yield Stage(pancake, folkform, _settings(urls, folkform.options, broker.bootstrap))


def _settings(urls: tuple[str, str], account: FolkFormOptions, bootstrap: str) -> Settings:
    # Built without the environment: a shell that is set up for production must not let the demo's
    # invented customers into the real FolkForm.
    return Settings.model_construct(
        pancake=PancakeSettings(
            base_url=urls[0], access_token=SecretStr("sim-user-token"), rate=f"{PANCAKE_CALLS}/1s"
        ),
        folkform=FolkFormSettings(
            base_url=urls[1],
            token=SecretStr(account.token),
            role_id=account.role_id,
            rate=f"{FOLKFORM_CALLS}/1s",
        ),
        kafka=KafkaSettings(bootstrap_servers=bootstrap),
        poller=PollerSettings(interval=POLL_SECONDS, overlap=OVERLAP_SECONDS),
        budget=BudgetSettings(jitter=JITTER),
    )


async def perform(set_up: Stage, plan: Plan, shown: Screen) -> Audit:
    """
    Sync until the plan or a signal ends it, let the rest arrive, and say whether all of it did.

    Raises:
        ConnectorError: as ``base``, ``Fleet.run`` and ``SinkRunner.run``.
    """
    async with AsyncExitStack() as stack:
        budget = LocalBudget(SystemClock(), BudgetOptions(jitter_share=set_up.settings.budget.jitter))
        stack.push_async_callback(budget.close)
        parts = await stack.enter_async_context(base(set_up.settings, budget))
        show = Show(set_up, plan, parts, shown)
        await show.run()
    audit = compare(set_up.pancake.world, set_up.folkform)
    show.show("ended")
    for sentence in verdict(audit):
        shown.say(sentence)
    return audit


class Show:
    """One performance: who plays, and the three moments at which it ends."""

    def __init__(self, set_up: Stage, plan: Plan, parts: Base, shown: Screen) -> None:
        self._set_up = set_up
        self._plan = plan
        self._clock = parts.clock
        self._shown = shown
        self._fleet: Fleet[ScanStep] = build_poller(parts)
        self._sink: SinkRunner = build_sink(parts, sink_consumer(parts))
        self._activity = Activity(set_up.pancake.world, parts.clock, per_second=CHANGES_PER_SECOND)
        cast = Cast(set_up.pancake, set_up.folkform, parts, self._fleet, self._activity)
        self._watch = Watch(cast, shown.warnings, plan.seconds)
        self._quiet = asyncio.Event()  # nothing more happens at Pancake
        self._hurry = asyncio.Event()  # do not even wait for what is left
        self._stop = asyncio.Event()  # poller and sink leave

    async def run(self) -> None:
        """Return when poller and sink have left. Raises the first ConnectorError that one of them meets."""
        try:
            with _signals(self._quiet, self._hurry):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._fleet.run(self._stop))
                    group.create_task(self._sink.run(self._stop))
                    group.create_task(self._activity.run(self._quiet))
                    group.create_task(self._direct())
                    group.create_task(self._look())
        except* ConnectorError as problems:
            raise problems.exceptions[0] from None

    def show(self, phase: Phase) -> None:
        self._shown.show(self._watch.look(phase))

    async def _direct(self) -> None:
        if self._plan.active is None:
            await self._quiet.wait()
        else:
            await unless(self._quiet, self._clock.sleep(self._plan.active))
        self._quiet.set()
        await unless(self._hurry, self._catch_up())
        self._stop.set()
        self.show("stopping")

    async def _catch_up(self) -> None:
        deadline = Deadline.after(self._clock, self._plan.grace)
        while deadline.left() and not compare(self._set_up.pancake.world, self._set_up.folkform).equal:
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        while not self._stop.is_set():
            self.show(self._phase())
            await unless(self._stop, self._clock.sleep(LOOK_SECONDS))

    def _phase(self) -> Phase:
        if self._quiet.is_set():
            return "catching up"
        return "running" if self._fleet.ready and self._sink.ready else "starting"


def verdict(audit: Audit) -> list[str]:
    """The audit's sentence, and of what differs the first few by name."""
    named = {
        "conversation missing": audit.missing_conversations,
        "conversation stale": audit.stale_conversations,
        "conversation stored twice": audit.duplicate_conversations,
        "conversation that Pancake never had": audit.extra_conversations,
        "message missing": [" ".join(names) for names in audit.missing_messages],
        "message different": [" ".join(names) for names in audit.different_messages],
        "message that Pancake never had": [" ".join(names) for names in audit.extra_messages],
    }
    lines = [f"  {what}: {name}" for what, names in named.items() for name in names[:NAMED]]
    return [f"audit: {audit.sentence()}", *lines]


@contextmanager
def _signals(quiet: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C ends the activity, the second the wait for what is left."""
    loop = asyncio.get_running_loop()

    def asked() -> None:
        (hurry if quiet.is_set() else quiet).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
