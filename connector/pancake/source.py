"""The PageReader port: the scanner's steps as calls to Pancake."""

import asyncio
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
import structlog
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import RejectedError
from connector.http.client import HttpClient, Request
from connector.model import Completeness, CursorRecord, Origin, Page, Rate, Scope, SourceBatch
from connector.pancake.account import Account
from connector.pancake.answers import judge
from connector.pancake.completeness import completeness
from connector.pancake.reading import Reading
from connector.pancake.scan import PageScan
from connector.pancake.shelf import Shelf
from connector.pancake.state import PageState, decode_page, merge_pages
from connector.pancake.steps import ListStep, MessagesStep, OweStep, Pace, ScanStep, SettleStep, Shapes
from connector.ports import Priority
from connector.settings import PancakeSettings

PRIORITIES = {
    Origin.LIVE: Priority.LIVE,
    Origin.RECONCILE: Priority.VERIFY,
    Origin.BACKFILL: Priority.BACKFILL,
}

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
        self._path = quote(page.id, safe="")
        self._scope = Scope(f"pancake:page:{page.id}", Rate.parse(settings.rate))
        self._clock = clock
        self._reading = self._read_on(PageState(), Shelf(page.id), Pace(1.0, 0.0), Shapes())

    def resume(
        self,
        records: Sequence[CursorRecord],
        pace: Pace,
        shapes: Shapes = Shapes(),  # noqa: B008 - frozen
    ) -> "PancakePage":
        """Begin where the cursors say; one that cannot be read is as good as none."""
        state = PageState()
        unreadable = 0
        for record in records:
            if record.conversation_id:
                continue
            try:
                state = merge_pages(state, decode_page(record.state))
            except msgspec.DecodeError:
                unreadable += 1
        if unreadable:
            log.error("cursor unreadable, reading the page from the start", page=self.page.id)
        read = [record for record in records if record.conversation_id]
        shelf = Shelf(self.page.id, [each.conversation_id for each in read], [each.state for each in read])
        self._reading = self._read_on(state, shelf, pace, shapes)
        return self

    def _read_on(self, state: PageState, shelf: Shelf, pace: Pace, shapes: Shapes) -> Reading:
        epoch_ms = self._clock.epoch_ms() - round(self._clock.monotonic() * 1000)
        return Reading(self.page, PageScan(state, shelf, pace, epoch_ms=epoch_ms, shapes=shapes))

    @property
    def _scan(self) -> PageScan:
        return self._reading.scan

    @property
    def caught_up(self) -> bool:
        return self._scan.caught_up

    @property
    def holes(self) -> int:
        return self._scan.holes

    @property
    def completeness(self) -> Completeness:
        return completeness(self.page.id, self._scan.position(self._clock.monotonic()))

    def hint(self, now: float) -> None:
        self._scan.hint(now)

    def next_step(self, now: float) -> ScanStep | None:
        return self._scan.next_step(now)

    def wake_at(self) -> float | None:
        return self._scan.wake_at()

    async def read(self, step: ScanStep, leaving: asyncio.Event | None = None) -> SourceBatch:
        match step:
            case ListStep():
                return await self._list(step, leaving)
            case MessagesStep():
                return await self._messages(step, leaving)
            case SettleStep() | OweStep():
                return self._reading.unasked(step, self._clock.monotonic())

    def saved(self, step: ScanStep) -> None:
        broken = self._scan.broken
        self._reading.saved(step, self._clock.monotonic())
        for order in self._scan.broken - broken:
            log.warning("list repeats itself", page=self.page.id, order=order)
        if isinstance(step, OweStep):
            log.warning("conversation set aside", page=self.page.id, conversation=step.conversation_id)

    def failed(self, step: ScanStep, now: float) -> None:
        self._reading.failed(step, now)

    async def _list(self, step: ListStep, leaving: asyncio.Event | None) -> SourceBatch:
        # Never since or until: they are known to leave conversations out, and which moment they look at
        # is not known (contracts A5).
        params = {"order_by": step.mode.order}
        if step.after:
            params["last_conversation_id"] = step.after
        url = f"{self._base}/v2/pages/{self._path}/conversations"
        body = await self._call("conversations", url, params, PRIORITIES[step.mode.origin], leaving)
        return self._reading.listed(step, body, self._clock.epoch_ms(), self._clock.monotonic())

    async def _messages(self, step: MessagesStep, leaving: asyncio.Event | None) -> SourceBatch:
        target = step.target
        params = {"current_count": str(step.skip)}
        if target.customer_id:
            params["customer_id"] = target.customer_id
        url = f"{self._base}/v1/pages/{self._path}/conversations/{quote(target.id, safe='')}/messages"
        try:
            body = await self._call("messages", url, params, PRIORITIES[step.origin], leaving)
        except RejectedError as problem:
            return self._refused(step, problem.reason)
        return self._reading.messages(step, body, self._clock.epoch_ms(), self._clock.monotonic())

    def _refused(self, step: MessagesStep, reason: str) -> SourceBatch:
        log.info("conversation refused", page=self.page.id, conversation=step.target.id, reason=reason)
        return self._reading.refused(step, reason, self._clock.epoch_ms(), self._clock.monotonic())

    async def _call(
        self, route: str, url: str, params: dict[str, str], priority: Priority, leaving: asyncio.Event | None
    ) -> bytes:
        async def ask(token: SecretStr) -> bytes:
            secrets = {"page_access_token": token}
            request = Request(
                "pancake", route, "GET", url, self._scope, priority, params=params, secrets=secrets
            )
            return await self._client.call(request, lambda answer: judge(answer, f"pancake {route}"), leaving)

        return await self._account.with_token(self.page.id, ask)
