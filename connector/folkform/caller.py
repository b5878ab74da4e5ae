"""One call to FolkForm on the route that its dialect has; what is not there is found out on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from connector.errors import ContractError, DoubtfulError, RejectedError, UnavailableError
from connector.folkform.access import Access
from connector.folkform.answers import ROUTE, Done, NoRouteError, RefusedTokenError, StrangeAnswerError, judge
from connector.folkform.dialects import Dialect, Dialects, Route
from connector.http.client import HttpClient, Request
from connector.leaving import unless
from connector.model import Rate, Scope
from connector.ports import Priority
from connector.settings import FolkFormSettings

T = TypeVar("T")
_JSON = {"Content-Type": "application/json; charset=utf-8"}
# Contracts B1: request line and headers must fit. What the client adds to ours (host, agent …) is less than
# the allowance.
HEAD_LIMIT = 4096
HEAD_ALLOWANCE = 320
# So often in a row may one call get an answer that is not FolkForm's while nothing else comes through.
STRANGE_LIMIT = 10
# Only a handler says these: the framework and the limiter in front of it do not.
_HANDLERS_WORDS = ("refused", "conflict")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a call is made for: how urgent, for which conversation, and who may call it off."""

    conversation_id: str
    priority: Priority
    leaving: asyncio.Event


class Caller:
    """Speaks to one FolkForm account."""

    def __init__(self, client: HttpClient, settings: FolkFormSettings, access: Access) -> None:
        self.dialects = Dialects(settings.dialect)
        self._client = client
        self._base = settings.base_url
        self._deadline = settings.call_timeout
        self._access = access
        self._scope = Scope(f"folkform:{settings.account}", Rate.parse(settings.rate))
        self._finding = asyncio.Lock()
        self._strange: Counter[tuple[str, str]] = Counter()

    async def found(
        self, kind: Callable[[Dialect], Route], send: Callable[[Route], Awaitable[T]], leaving: asyncio.Event
    ) -> T:
        """
        What ``send`` returns, on the route that the dialect spoken here has for this kind of write.

        Raises:
            NoRouteError: no dialect's route is there.
            ConnectorError: whatever ``send`` raises.
        """
        missing: set[Route] = set()
        while True:
            route = kind(self.dialects.current)
            async with self.alone(route, leaving):
                if route is not kind(self.dialects.current):
                    continue
                try:
                    return await send(route)
                except NoRouteError:
                    missing.add(route)
                    self.dialects.missing(missing)

    async def post(
        self, route: Route, body: bytes, errand: Errand, wanted: dict[str, str] | None = None
    ) -> Done:
        """
        Write once; ``wanted`` is the filter of a route that takes one.

        Raises:
            RejectedError, RetryableError, FatalError: by the table of answers.
        """
        request = self._request("POST", route, errand)
        if route.filtered and wanted:
            request = replace(request, params={"filter": _filter(wanted)})
        try:
            done = await self._call(replace(request, body=body), errand)
        except (RejectedError, DoubtfulError) as problem:
            if not isinstance(problem, RejectedError) or problem.reason in _HANDLERS_WORDS:
                self.dialects.arrived(route)
            raise
        self.dialects.arrived(route)
        return done

    async def get(self, route: Route, errand: Errand, wanted: dict[str, str]) -> Done:
        """Read what matches. Raises as ``post``."""
        request = self._request("GET", route, errand)
        return await self._call(replace(request, params={"filter": _filter(wanted)}), errand)

    def head_fits(self, route: Route, wanted: dict[str, str]) -> bool:
        """Whether the server would read the whole request line and headers."""
        if not route.filtered:
            return True
        line = f"{urlsplit(self._base).path}/v1/{route.path}?filter={quote(_filter(wanted), safe='')}"
        ours = sum(len(name) + len(value) + 4 for name, value in {**_JSON, **self._access.headers}.items())
        token = len(self._access.token.get_secret_value())
        return len(line) + ours + token + HEAD_ALLOWANCE <= HEAD_LIMIT

    @asynccontextmanager
    async def alone(self, route: Route, leaving: asyncio.Event) -> AsyncIterator[None]:
        """
        Be the only one who calls on a route of which it is not known whether it is there.

        Many conversations begin at once: one of them finds out, not all.

        Raises:
            UnavailableError: we are leaving.
        """
        if self.dialects.proved(route):
            yield
            return
        if not await unless(leaving, self._finding.acquire()):
            raise UnavailableError(f"folkform {route.name}: not sent, the partition is handed over")
        try:
            yield
        finally:
            self._finding.release()

    async def _call(self, request: Request, errand: Errand) -> Done:
        key = (request.route, errand.conversation_id)
        try:
            done = await self._signed(request, errand.leaving)
        except StrangeAnswerError:
            self._strange[key] += 1
            if self._strange[key] >= STRANGE_LIMIT:
                raise ContractError(
                    f"folkform {request.route}: HTTP 200 {STRANGE_LIMIT} times, and never FolkForm's answer",
                    advice=ROUTE,
                ) from None
            raise
        self._strange.clear()
        return done

    async def _signed(self, request: Request, leaving: asyncio.Event) -> Done:
        token = self._access.token
        try:
            return await self._send(replace(request, bearer=token), leaving)
        except RefusedTokenError:
            if not self._access.renewed(token):
                raise
        return await self._send(replace(request, bearer=self._access.token), leaving)

    async def _send(self, request: Request, leaving: asyncio.Event) -> Done:
        where = f"folkform {request.route}"
        secret = request.bearer.get_secret_value() if request.bearer else ""
        return await self._client.call(request, lambda answer: judge(answer, where, secret), leaving)

    def _request(self, method: str, route: Route, errand: Errand) -> Request:
        return Request(
            "folkform",
            route.name,
            method,
            f"{self._base}/v1/{route.path}",
            self._scope,
            errand.priority,
            headers={**_JSON, **self._access.headers},
            deadline=self._deadline,
        )


def _filter(wanted: dict[str, str]) -> str:
    return msgspec.json.encode(wanted).decode()
