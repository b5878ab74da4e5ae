"""One request: a grant, the call, a verdict. Nothing calls either API in any other way."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr

from connector import __version__
from connector.clock import Clock
from connector.errors import ConnectorError, RateLimitedError, UnavailableError, UnknownOutcomeError
from connector.http.limits import limits_heard
from connector.leaving import unless
from connector.model import Scope
from connector.ports import Priority, RateBudget
from connector.settings import HttpSettings
from connector.telemetry import CALL_SECONDS, CALLS, Metrics

T = TypeVar("T")
# All of them named: what is not, aiohttp adds, and it would offer encodings that httpx cannot undo.
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": f"connector/{__version__}"}
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_parsed = lru_cache(256)(httpx.URL)  # FolkForm has two; without query, so never with a token


@dataclass(frozen=True, slots=True)
class Request:
    """
    A call to make.

    ``route`` names it in logs and metrics. ``url`` has no query; ``secrets`` join the query, and
    ``bearer`` the headers, only when the bytes are written to the wire. ``not_after``: the moment
    (monotonic seconds) from which on it must not be put there any more, however late its grant came.
    ``deadline``: seconds that the whole call may take, where that is less than the client's own.
    """

    api: str
    route: str
    method: str
    url: str
    scope: Scope
    priority: Priority = Priority.LIVE
    params: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: SecretStr | None = None
    body: bytes | None = field(default=None, repr=False)
    not_after: float | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class HttpClient:
    """Keeps connections open; sends nothing without a grant of the budget."""

    def __init__(self, settings: HttpSettings, budget: RateBudget, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._budget = budget
        self._clock = clock
        self._metrics = metrics
        # httpx's own pool costs about five times the CPU of aiohttp's at 16 connections, and a fifth of
        # what is left is httpx's client (docs/BENCHMARKS.md): redirects, cookies, proxies and logged
        # URLs, none of which may happen here, for each would carry a token along. So requests go
        # straight to the transport. trust_env is off: a stray proxy variable would show every token to
        # that proxy.
        self._transport = AiohttpTransport(trust_env=False, client=self._session)
        timeout = httpx.Timeout(
            settings.read_timeout, connect=settings.connect_timeout, pool=settings.total_timeout
        )
        self._extensions = {"timeout": timeout.as_dict()}

    async def call(
        self, request: Request, judge: Callable[[Answer], T], leaving: asyncio.Event | None = None
    ) -> T:
        """
        Send once and return what ``judge`` makes of the answer.

        ``leaving``: when it is set before the call is on the wire, the call is not made.

        Raises:
            RateLimitedError: the API refused; the shared budget has been told.
            UnavailableError: nobody answered, or we are leaving.
            UnknownOutcomeError: it was sent, and no whole answer came back in time.
            ConnectorError: whatever ``judge`` raises.
        """
        await self._grant(request, leaving)
        outcome = "ok"
        began = self._clock.monotonic()
        try:
            answer = await self._send(request)
            if limits := limits_heard(answer.headers, self._clock.epoch_ms()):
                await self._budget.heard(request.scope, limits)
            return judge(answer)
        except RateLimitedError as problem:
            outcome = type(problem).__name__
            age = self._clock.monotonic() - began
            await self._budget.refused(request.scope, problem.after, age)
            raise
        except ConnectorError as problem:
            outcome = type(problem).__name__
            raise
        finally:
            self._metrics.count(CALLS, request.api, request.route, outcome)
            self._metrics.observe(CALL_SECONDS, self._clock.monotonic() - began, request.api, request.route)

    async def close(self) -> None:
        await self._transport.aclose()

    def _session(self) -> aiohttp.ClientSession:
        ssl = self._transport.ssl_context
        connector = aiohttp.TCPConnector(limit=256, keepalive_timeout=60.0, ssl=ssl)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        # It sends a GET once more by itself when a kept connection breaks: a call without a grant.
        session._retry_connection = False  # noqa: SLF001
        return session

    async def _grant(self, request: Request, leaving: asyncio.Event | None) -> None:
        grant = self._budget.acquire(request.scope, request.priority)
        if leaving is None:
            await grant
        elif not await unless(leaving, grant):
            raise UnavailableError(f"{request.api} {request.route}: not sent, the partition is handed over")
        if request.not_after is not None and self._clock.monotonic() >= request.not_after:
            raise UnavailableError(f"{request.api} {request.route}: not sent, its grant came too late")
        if leaving is not None and leaving.is_set():
            # While it waited, the process may have stood still, and its partition may have a new owner.
            raise UnavailableError(f"{request.api} {request.route}: not sent, the partition may not be ours")

    async def _send(self, request: Request) -> Answer:
        where = f"{request.api} {request.route}"
        params = {
            **request.params,
            **{name: value.get_secret_value() for name, value in request.secrets.items()},
        }
        headers = {**_HEADERS, **request.headers}
        if request.bearer is not None:
            headers["Authorization"] = f"Bearer {request.bearer.get_secret_value()}"
        try:
            wire = httpx.Request(
                request.method,
                _parsed(request.url),
                params=params or None,
                headers=headers,
                content=request.body,
                extensions=self._extensions,
            )
            async with asyncio.timeout(request.deadline or self._settings.total_timeout):
                return await self._exchange(wire, where)
        # The texts of these may hold the URL, and the URL the token: only their kind is kept.
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, TimeoutError, OSError) as problem:
            # The transport's own names mix up what was never sent with what was; aiohttp's do not.
            cause = problem.__cause__ or problem
            kind = UnavailableError if isinstance(cause, _NEVER_SENT) else UnknownOutcomeError
            raise kind(f"{where}: {type(cause).__name__}") from None

    async def _exchange(self, wire: httpx.Request, where: str) -> Answer:
        response = await self._transport.handle_async_request(wire)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._settings.max_answer_bytes:
                    raise UnknownOutcomeError(
                        f"{where}: the answer is larger than {self._settings.max_answer_bytes} bytes"
                    )
            return Answer(response.status_code, response.headers, bytes(body))
        finally:
            await response.aclose()
