"""The PageReader port: the scanner's steps as calls, and what they bring as events."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec
import structlog

from connector.clock import Clock
from connector.errors import ParkedError, RejectedError, UnavailableError
from connector.http.client import Answer, HttpClient, Request
from connector.model import (
    Completeness,
    CursorRecord,
    DeadLetter,
    Event,
    Kind,
    Origin,
    Page,
    Problem,
    Rate,
    Scope,
    SourceBatch,
)
from connector.pancake.account import NEW_TOKEN, Account
from connector.pancake.answers import TokenRefusedError, judge
from connector.pancake.completeness import completeness
from connector.pancake.scan import ListStep, MessagesStep, Mode, Pace, PageScan, ScanStep, SettleStep
from connector.pancake.state import ConversationState, PageState, decode_page, encode
from connector.pancake.walk import Listed, Seen
from connector.pancake.wire import (
    ConversationHead,
    Cut,
    MessageHead,
    Thread,
    content_hash,
    cut_conversations,
    cut_thread,
    fingerprint,
    milliseconds,
    number,
    text_id,
)
from connector.ports import Priority
from connector.settings import PancakeSettings

T = TypeVar("T")
# FolkForm takes no body over 10 MB, so an object that fills one can never arrive.
MAX_OBJECT_BYTES = 10 * 2**20 - 4096
SHELVED_BYTES = 2**20

log = structlog.get_logger("connector.pancake")


class PancakePage:
    """Reads one page of Pancake."""

    def __init__(
        self, page: Page, account: Account, client: HttpClient, settings: PancakeSettings, clock: Clock
    ) -> None:
        self.page = page
        self._account = account
        self._client = client
        self._base = f"{settings.base_url}/public_api"
        self._scope = Scope(f"pancake:page:{page.id}", Rate.parse(settings.rate))
        self._clock = clock
        self._scan = PageScan(PageState(), {}, Pace(1.0, 0.0))
        self._states: dict[ScanStep, dict[str, ConversationState]] = {}

    def resume(self, records: Sequence[CursorRecord], pace: Pace) -> "PancakePage":
        """Begin where the cursors say; one that cannot be read is as good as none."""
        state = PageState()
        conversations: dict[str, bytes] = {}
        for record in records:
            try:
                if record.conversation_id:
                    conversations[record.conversation_id] = record.state
                else:
                    state = decode_page(record.state)
            except msgspec.DecodeError:
                log.error("cursor unreadable, reading the page from the start", page=self.page.id)
        self._scan = PageScan(state, conversations, pace)
        return self

    @property
    def caught_up(self) -> bool:
        return self._scan.caught_up

    @property
    def holes(self) -> int:
        return self._scan.holes

    @property
    def completeness(self) -> Completeness:
        return completeness(self.page.id, self._scan.state)

    def hint(self, now: float) -> None:
        self._scan.hint(now)

    def next_step(self, now: float) -> ScanStep | None:
        return self._scan.next_step(now)

    def wake_at(self) -> float | None:
        return self._scan.wake_at()

    async def read(self, step: ScanStep, leaving: asyncio.Event | None = None) -> SourceBatch:
        if isinstance(step, ListStep):
            return await self._list(step, leaving)
        if isinstance(step, MessagesStep):
            try:
                return await self._messages(step, leaving)
            except RejectedError as problem:
                # conversation_gone, customer_id_required: as any failure, and so in the end a hole.
                raise UnavailableError(str(problem)) from None
        state = self._scan.settled(step)
        return SourceBatch(cursors=(CursorRecord(self.page.id, "", encode(state)),), asked=False)

    def saved(self, step: ScanStep) -> None:
        holes = self._scan.holes
        self._scan.saved(step, self._states.pop(step, {}), self._clock.monotonic())
        if self._scan.holes > holes and isinstance(step, SettleStep):
            log.warning("list repeats itself", page=self.page.id, order=step.mode.value)

    def failed(self, step: ScanStep, now: float) -> None:
        self._states.pop(step, None)
        holes = self._scan.holes
        self._scan.failed(step, now)
        if self._scan.holes > holes and isinstance(step, MessagesStep):
            log.warning("conversation set aside", page=self.page.id, conversation=step.target.id)

    async def _list(self, step: ListStep, leaving: asyncio.Event | None) -> SourceBatch:
        where = "pancake conversations"
        params = {"order_by": step.mode.value}
        if step.after:
            params["last_conversation_id"] = step.after
        url = f"{self._base}/v2/pages/{quote(self.page.id, safe='')}/conversations"
        priority = Priority.LIVE if step.mode is Mode.LIVE else Priority.BACKFILL
        body = await self._call(
            "conversations", url, params, priority, lambda answer: judge(answer, where), leaving=leaving
        )
        observed_at = self._clock.epoch_ms()
        good, rejected = self._sort_out(cut_conversations(body, where), ConversationHead)
        listed = [_listed(head, raw) for head, raw in good]
        findings = self._scan.listed(step, listed, self._clock.monotonic())
        events = tuple(
            self._snapshot(good[at][0], listed[at], good[at][1], observed_at, step.mode.origin)
            for at in findings.changed
        )
        return self._batch(step, events, rejected, dict(findings.remembered))

    async def _messages(self, step: MessagesStep, leaving: asyncio.Event | None) -> SourceBatch:
        where = "pancake messages"
        target = step.target
        params = {"current_count": str(step.skip)}
        if target.customer_id:
            params["customer_id"] = target.customer_id
        url = (
            f"{self._base}/v1/pages/{quote(self.page.id, safe='')}"
            f"/conversations/{quote(target.id, safe='')}/messages"
        )
        priority = Priority.BACKFILL if step.origin is Origin.BACKFILL else Priority.LIVE
        thread = cut_thread(
            await self._call(
                "messages", url, params, priority, lambda answer: judge(answer, where), leaving=leaving
            ),
            where,
        )
        observed_at = self._clock.epoch_ms()
        good, rejected = self._sort_out(thread.messages, MessageHead)
        chosen = self._scan.took(step, [Seen(head.id, fingerprint(head.id, raw)) for head, raw in good])
        events = [self._message(*good[at], target, observed_at, step.origin) for at in chosen]
        events += self._thread(step, thread, observed_at)
        return self._batch(step, tuple(events), rejected, {target.id: self._scan.walk(step).state()})

    def _batch(
        self,
        step: ScanStep,
        events: tuple[Event, ...],
        rejected: Sequence[DeadLetter],
        states: dict[str, ConversationState],
    ) -> SourceBatch:
        self._states[step] = states
        cursors = (CursorRecord(self.page.id, name, encode(state)) for name, state in states.items())
        return SourceBatch(events, tuple(rejected), tuple(cursors))

    async def _call(
        self,
        route: str,
        url: str,
        params: dict[str, str],
        priority: Priority,
        verdict: Callable[[Answer], bytes],
        *,
        leaving: asyncio.Event | None,
    ) -> bytes:
        token = await self._account.token(self.page.id)
        for attempt in range(2):
            request = Request(
                "pancake",
                route,
                "GET",
                url,
                self._scope,
                priority,
                params=params,
                secrets={"page_access_token": token},
            )
            try:
                return await self._client.call(request, verdict, leaving)
            except TokenRefusedError as problem:
                if attempt:
                    raise ParkedError(str(problem), action=NEW_TOKEN) from None
                token = await self._account.renew(self.page.id, refused=token)
        raise AssertionError("unreachable: the second attempt returns or raises")

    def _sort_out(self, cuts: Sequence[Cut], kind: type[T]) -> tuple[list[tuple[T, bytes]], list[DeadLetter]]:
        """Objects that can be routed, and dead letters of those that cannot."""
        good: list[tuple[T, bytes]] = []
        rejected: list[DeadLetter] = []
        for cut in cuts:
            raw, problem = cut.raw, None
            try:
                head = msgspec.json.decode(cut.readable, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as why:
                problem = Problem("unreadable_object", f"its fields cannot be read: {type(why).__name__}")
            else:
                if not text_id(getattr(head, "id", None)):
                    problem = Problem("missing_id", "the object has no id that can be a key")
                elif len(raw) > MAX_OBJECT_BYTES:
                    problem = Problem("too_large", f"the object has {len(raw)} bytes; its beginning is kept")
            if problem is None:
                good.append((head, raw))
            else:
                rejected.append(self._letter(raw, problem))
        return good, rejected

    def _letter(self, raw: bytes, problem: Problem) -> DeadLetter:
        value = raw[:SHELVED_BYTES] if problem.reason == "too_large" else raw
        return DeadLetter(self.page.id.encode(), value, problem, self._clock.epoch_ms())

    def _snapshot(
        self, head: ConversationHead, listed: Listed, raw: bytes, observed_at: int, origin: Origin
    ) -> Event:
        return Event(
            Kind.CONVERSATION,
            self.page.id,
            self.page.username,
            listed.id,
            listed.customer_id,
            "",
            milliseconds(head.inserted_at),
            listed.updated_at,
            observed_at,
            listed.snapshot,
            origin,
            raw,
        )

    def _message(
        self, head: MessageHead, raw: bytes, target: Listed, observed_at: int, origin: Origin
    ) -> Event:
        return Event(
            Kind.MESSAGE,
            self.page.id,
            self.page.username,
            target.id,
            target.customer_id,
            head.id,
            milliseconds(head.inserted_at),
            0,
            observed_at,
            content_hash(raw),
            origin,
            raw,
        )

    def _thread(self, step: MessagesStep, thread: Thread, observed_at: int) -> list[Event]:
        walk = self._scan.walk(step)
        said = content_hash(thread.rest)
        if step.skip or said == walk.thread:
            return []
        walk.thread = said
        target = step.target
        return [
            Event(
                Kind.THREAD,
                self.page.id,
                self.page.username,
                target.id,
                target.customer_id,
                "",
                0,
                0,
                observed_at,
                said,
                step.origin,
                thread.rest,
            )
        ]


def _listed(head: ConversationHead, raw: bytes) -> Listed:
    return Listed(
        head.id,
        text_id(head.customer_id),
        milliseconds(head.updated_at),
        number(head.message_count),
        content_hash(raw),
    )
