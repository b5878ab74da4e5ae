"""A target that remembers everything, and that can be told to misbehave."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from connector.clock import Clock
from connector.errors import (
    DoubtfulError,
    RejectedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.model import Event, Kind
from tests.fakes.broker import CrashError

Key = tuple[Kind, str, str]
CRASH_AFTER_WRITE = b'"CRASH_AFTER_WRITE"'
CRASH_BEFORE_WRITE = b'"CRASH_BEFORE_WRITE"'


def key_of(event: Event) -> Key:
    """What the target keeps one row of."""
    return event.kind, event.conversation_id, event.message_id


class FakeSink:
    """
    The Sink port; last arrival wins, as in FolkForm.

    ``calls`` are the lanes that were applied, in order; ``together`` the calls for several snapshots at
    once, at most ``width``. While there is an ``outage`` every call raises it. An event whose payload is
    a crash kills the process (``crash``) the first time that it comes by. ``latency``: seconds that the
    next call takes.
    """

    def __init__(self, clock: Clock) -> None:
        self.rows: dict[Key, Event] = {}
        self.calls: list[tuple[Event, ...]] = []
        self.begun = 0
        self.overlaps = 0
        self.steps_back: list[Key] = []
        self.crash: Callable[[], None] = lambda: None
        self.latency: Callable[[], float] = lambda: 0.0
        self._clock = clock
        self.width = 1
        self.outage: Exception | None = None
        self.together: list[tuple[tuple[Event, ...], ...]] = []
        self._poison: set[str] = set()
        self._problems: dict[str, list[Exception]] = defaultdict(list)
        self._rejected: dict[str, int | None] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._on_the_wire: Counter[tuple[str, bool]] = Counter()
        self._crashed: set[Event] = set()

    def fail(self, conversation_id: str, times: int = 1, error: Exception | None = None) -> None:
        """Raise at the next ``times`` calls for a conversation; an unknown outcome is applied."""
        self._problems[conversation_id] += [error or UnavailableError("not now")] * times

    def reject(self, *ids: str, status: int | None = 422) -> None:
        """Refuse every call that holds a message, or is for a conversation, of these ids; None: unseen."""
        self._rejected |= dict.fromkeys(ids, status)

    def poison(self, *ids: str) -> None:
        """Answer every call that holds a message, or is for a conversation, of these ids with a fault."""
        self._poison |= set(ids)

    def hold(self, conversation_id: str) -> asyncio.Event:
        """Keep calls for a conversation on the wire until the event returned is set."""
        return self._gates.setdefault(conversation_id, asyncio.Event())

    def release(self, conversation_id: str) -> None:
        """Calls for a conversation are kept no more."""
        self._gates.pop(conversation_id).set()

    def recover(self, conversation_id: str) -> None:
        """Forget what was to be raised for a conversation."""
        self._problems.pop(conversation_id, None)

    @property
    def on_the_wire(self) -> int:
        return sum(self._on_the_wire.values())

    @property
    def versions(self) -> dict[str, int]:
        """What is there now, by message (or conversation) id: the newest part of its version."""
        return {
            event.message_id or event.conversation_id: event.updated_at or event.observed_at
            for event in self.rows.values()
        }

    dialect = "fake"

    async def write_many(
        self, lanes: Sequence[Sequence[Event]], leaving: asyncio.Event
    ) -> Sequence[RetryableError | RejectedError | None]:
        self.together.append(tuple(tuple(lane) for lane in lanes))
        verdicts: list[RetryableError | RejectedError | None] = []
        for lane in lanes:
            try:
                await self.write(lane, leaving)
            except (RetryableError, RejectedError) as problem:
                verdicts.append(problem)
            else:
                verdicts.append(None)
        return verdicts

    async def write(self, lane: Sequence[Event], leaving: asyncio.Event) -> None:
        if leaving.is_set():
            raise UnavailableError("leaving before the call was on the wire")
        self.begun += 1
        place = (lane[0].conversation_id, lane[0].kind is Kind.CONVERSATION)
        self.overlaps += self._on_the_wire[place] > 0
        self._on_the_wire[place] += 1
        try:
            await self._answer(lane)
        finally:
            self._on_the_wire[place] -= 1

    async def _answer(self, lane: Sequence[Event]) -> None:
        conversation = lane[0].conversation_id
        await self._clock.sleep(self.latency())
        if conversation in self._gates:
            await self._gates[conversation].wait()
        self._die(lane, CRASH_BEFORE_WRITE)
        if self.outage is not None:
            raise self.outage
        for event in lane:
            for name in (event.message_id, event.conversation_id):
                if name in self._rejected:
                    raise RejectedError("poison", "it never passes", status=self._rejected[name])
                if name in self._poison:
                    raise DoubtfulError("HTTP 500", status=500)
        problem = self._problems[conversation].pop(0) if self._problems[conversation] else None
        if problem is None or isinstance(problem, UnknownOutcomeError):
            self._apply(lane)
        if problem is not None:
            raise problem
        self._die(lane, CRASH_AFTER_WRITE)

    def _apply(self, lane: Sequence[Event]) -> None:
        self.calls.append(tuple(lane))
        for event in lane:
            held = self.rows.get(key_of(event))
            if held is not None and event.version < held.version:
                self.steps_back.append(key_of(event))
            self.rows[key_of(event)] = event

    def _die(self, lane: Sequence[Event], how: bytes) -> None:
        for event in lane:
            if event.payload == how and event not in self._crashed:
                self._crashed.add(event)
                self.crash()
                raise CrashError
