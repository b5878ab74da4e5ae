"""The lists of pages of all users, read as one; and the two calls that need a user token."""

import asyncio
from collections.abc import Callable, Sequence
from urllib.parse import quote

import structlog
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import ConfigError, ParkedError, RetryableError, UnknownOutcomeError
from connector.http.client import HttpClient, Request
from connector.http.retry import persistently
from connector.model import Rate, Scope
from connector.pancake.answers import TokenRefusedError, judge
from connector.pancake.pagelist import ListedPage, parse_pages
from connector.pancake.users import User, Users
from connector.pancake.wire import GeneratedToken, decode
from connector.settings import PancakeSettings

LIST, GENERATE = "pancake pages", "pancake generate token"

log = structlog.get_logger("connector.pancake")


class AccountApi:
    """Calls that a user makes, not a page."""

    def __init__(self, client: HttpClient, settings: PancakeSettings) -> None:
        self._client = client
        self._base = settings.base_url
        # The limit of account calls is unknown (contracts A8): as careful as with a page.
        self._scope = Scope("pancake:account", Rate.parse(settings.rate))

    async def pages(self, user: SecretStr) -> Sequence[ListedPage]:
        request = Request(
            "pancake", "pages", "GET", f"{self._base}/v1/pages", self._scope, secrets={"access_token": user}
        )
        return await self._client.call(request, lambda answer: parse_pages(judge(answer, LIST)))

    async def make(self, user: SecretStr, page_id: str, not_after: float) -> SecretStr:
        """
        Have a new page token made. **It ends the one before it, whoever uses that.**

        Raises:
            TokenRefusedError, ParkedError: this user may not; nothing was made.
            RateLimitedError: nothing was made.
            RetryableError: any other; perhaps it was made.
        """
        request = Request(
            "pancake",
            "generate token",
            "POST",
            f"{self._base}/v1/pages/{quote(page_id, safe='')}/generate_page_access_token",
            self._scope,
            params={"page_id": page_id},
            secrets={"access_token": user},
            not_after=not_after,
        )
        body = await self._client.call(request, lambda answer: judge(answer, GENERATE))
        token = decode(body, GeneratedToken, GENERATE).page_access_token
        if not token:
            raise UnknownOutcomeError(f"{GENERATE}: the answer holds no token")
        return SecretStr(token)


class Roll:
    """
    Who sees which pages now.

    ``tokens`` is asked at each reading, so that a token that was exchanged in its file is taken over.
    """

    def __init__(self, api: AccountApi, tokens: Callable[[], Sequence[SecretStr]], clock: Clock) -> None:
        self.users = Users(tokens())
        self._api = api
        self._tokens = tokens
        self._clock = clock
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """
        Return once every user whose turn it is was asked for its list, by a reading begun after this call.

        However many wait for it, they share one: a program that ends the tokens of all pages at once
        must not make as many readings. What came of it stands in ``users``.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read_after(self._running), name="lists of pages")
            self._next.add_done_callback(_unheard)
        # Whoever waits may be cancelled; the others still want it.
        await asyncio.shield(self._next)

    async def _read_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        self._take_over_tokens()
        due = self.users.due(self._clock.monotonic())
        await asyncio.gather(*(self._ask(user) for user in due))

    def _take_over_tokens(self) -> None:
        try:
            self.users.replace(self._tokens())
        except ConfigError as problem:
            log.warning("user tokens not read again", problem=str(problem), action=problem.advice)

    async def _ask(self, user: User) -> None:
        try:
            user.listed(await persistently(lambda: self._api.pages(user.secret), self._clock))
        except (TokenRefusedError, ParkedError) as problem:
            user.refused(problem, self._clock.monotonic())
        except RetryableError as problem:
            user.unlisted(problem)


def _unheard(reading: asyncio.Task[None]) -> None:
    """Who waited may all have left, as when the process ends: then nobody asks how it went."""
    if not reading.cancelled():
        reading.exception()
