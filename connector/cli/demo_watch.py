"""Looking at the running demo: both ends as the simulators hold them, the middle as the metrics count it."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from connector.app import Base
from connector.cli.demo_life import Activity
from connector.cli.demo_view import PageRow, PageState, Phase, Snapshot, TopicRow, Totals, Use
from connector.engine.fleet import Fleet
from connector.model import Kind, ScopeUse
from connector.pancake.steps import ScanStep
from connector.simulator.calls import Call
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.inbox import Conversation, Page
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.store import Store
from connector.simulator.world import World
from connector.telemetry import DEAD_LETTERS, DELIVERED, PUBLISHED

LATEST = 100
NOBODY = ScopeUse(None, 0, 0, 0, degraded=False)


class Arrivals:
    """
    Which conversations FolkForm holds exactly as Pancake has them.

    A conversation that was found equal is not compared again before its updated_at moves, so a look
    costs little however much there is; the audit at the end compares everything.
    """

    def __init__(self, world: World, store: Store) -> None:
        self.seeded = {page.id: frozenset(page.conversations) for page in world.pages.values()}
        self.seconds: deque[float] = deque(maxlen=LATEST)
        self._store = store
        self._began_us = world.now_us
        self._equal: dict[str, int] = {}

    def arrived(self, page: Page) -> int:
        """How many of the page's seeded conversations were found equal so far."""
        return sum(conversation_id in self._equal for conversation_id in self.seeded[page.id])

    def look(self, page: Page, now_us: int) -> float | None:
        """
        Compare what moved; the seconds that the page is behind, None when no change waits.

        That is the age of the newest change of the conversation that waits longest. What was there
        before the demo began is the back-fill's, and is not counted.
        """
        behind = None
        for conversation in page.conversations.values():
            if self._equal.get(conversation.id) == conversation.updated_us:
                continue
            age = (now_us - conversation.updated_us) / 1e6
            new = conversation.updated_us > self._began_us
            if holds(self._store, conversation):
                self._equal[conversation.id] = conversation.updated_us
                if new:
                    self.seconds.append(age)
            elif new:
                behind = max(age, behind or 0.0)
        return behind


def holds(store: Store, conversation: Conversation) -> bool:
    """Whether the store has the conversation and each of its messages, byte for byte."""
    document, thread = store.first(conversation.id), store.threads.get(conversation.id)
    if document is None or document.data != conversation.data or thread is None:
        return False
    items = thread.items
    return all(
        message.id in items and items[message.id].data == message.data for message in conversation.messages
    )


def calls_since(calls: Iterable[Call], moment: float) -> dict[str, int]:
    """How many of ``calls`` (latest first) came after ``moment``, by page."""
    counts: dict[str, int] = {}
    for call in calls:
        if call.at <= moment:
            break
        counts[call.page] = counts.get(call.page, 0) + 1
    return counts


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: the two ends, the connector between them, and life."""

    pancake: PancakeSimulator
    folkform: FolkFormSimulator
    parts: Base
    fleet: Fleet[ScanStep]
    activity: Activity


class Watch:
    """Takes snapshots."""

    def __init__(self, cast: Cast, warnings: Callable[[], tuple[str, ...]], seconds: float | None) -> None:
        """``seconds``: how long the demo shall last."""
        self._cast = cast
        self._warnings = warnings
        self._seconds = seconds
        self._arrivals = Arrivals(cast.pancake.world, cast.folkform.store)
        self._clock = cast.parts.clock
        self._began = self._clock.monotonic()
        self._states: dict[str, PageState] = {}

    def look(self, phase: Phase) -> Snapshot:
        """How everything stands now."""
        now = self._clock.monotonic()
        return Snapshot(
            phase,
            now - self._began,
            self._seconds,
            self._pages(now),
            self._topics(),
            self._folkform(now),
            self._totals(),
            self._servers(),
            self._warnings(),
        )

    def _pages(self, now: float) -> tuple[PageRow, ...]:
        calls = calls_since(reversed(self._cast.pancake.calls.recent), now - 1)
        return tuple(self._page(page, calls) for page in self._cast.pancake.world.pages.values())

    def _page(self, page: Page, calls: dict[str, int]) -> PageRow:
        behind = self._arrivals.look(page, self._clock.epoch_ms() * 1000)
        arrived, seeded = self._arrivals.arrived(page), len(self._arrivals.seeded[page.id])
        use = self._cast.parts.budget.snapshot().get(f"pancake:page:{page.id}", NOBODY)
        return PageRow(
            page.name,
            len(page.conversations),
            sum(len(conversation.messages) for conversation in page.conversations.values()),
            self._state(page, whole=arrived == seeded),
            arrived,
            seeded,
            behind,
            Use(calls.get(page.id, 0), self._cast.pancake.options.rate or 0, use.waiting),
        )

    def _state(self, page: Page, *, whole: bool) -> PageState:
        poller = self._cast.fleet.pollers.get(page.id)
        if poller is not None:
            polled: PageState = "live" if whole else "back-fill"
            self._states[page.id] = polled if poller.parked is None else "parked"
        # Once the poller has left, the last word on the page stands.
        return self._states.get(page.id, "joining")

    def _topics(self) -> tuple[TopicRow, ...]:
        names, metrics = self._cast.parts.topics, self._cast.parts.metrics
        published = {kind: metrics.total(PUBLISHED, kind) for kind in Kind}
        messages = published[Kind.MESSAGE] + published[Kind.THREAD]
        return (
            TopicRow(
                names.conversations,
                published[Kind.CONVERSATION],
                metrics.total(DELIVERED, names.conversations),
            ),
            TopicRow(names.messages, messages, metrics.total(DELIVERED, names.messages)),
        )

    def _folkform(self, now: float) -> Use:
        folkform = self._cast.folkform
        calls = calls_since(reversed(folkform.calls.recent), now - 1)
        name = f"folkform:{self._cast.parts.settings.folkform.account}"
        use = self._cast.parts.budget.snapshot().get(name, NOBODY)
        limit = folkform.options.rate
        return Use(sum(calls.values()), limit[0] if limit else 0, use.waiting)

    def _totals(self) -> Totals:
        pancake, folkform = self._cast.pancake, self._cast.folkform
        return Totals(
            pancake_calls=pancake.calls.calls,
            pancake_refused=pancake.calls.refused,
            most=max((pancake.max_in_any_second(page_id) for page_id in pancake.world.pages), default=0),
            folkform_calls=folkform.calls.calls,
            folkform_refused=folkform.calls.refused,
            dead_letters=self._cast.parts.metrics.total(DEAD_LETTERS),
            arrival=median(self._arrivals.seconds) if self._arrivals.seconds else None,
            changes=tuple(self._cast.activity.counts.items()),
        )

    def _servers(self) -> str:
        settings = self._cast.parts.settings
        pancake, folkform = (
            url.removesuffix("/api").rpartition(":")[2]
            for url in (settings.pancake.base_url, settings.folkform.base_url)
        )
        kafka = settings.kafka.bootstrap_servers.rpartition(":")[2]
        return f"Pancake :{pancake}, FolkForm :{folkform}, Kafka :{kafka}, all on 127.0.0.1"
