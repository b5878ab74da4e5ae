"""The account: which pages there are, and a page token for each."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import ConfigError, ConnectorError, ParkedError, UnauthorizedError
from connector.http.client import HttpClient
from connector.model import Page
from connector.pancake.answers import NEW_PAGE_TOKEN, Remedy, TokenRefusedError
from connector.pancake.custodian import Custodian
from connector.pancake.custody import FOUGHT
from connector.pancake.roll import AccountApi, Roll
from connector.pancake.users import NEW_TOKEN, Users
from connector.ports import Leases
from connector.settings import PancakeSettings

T = TypeVar("T")
RENEWALS = 2  # of one call's token: for what somebody else made, then for what we made

log = structlog.get_logger("connector.pancake")


@dataclass(frozen=True, slots=True)
class Failure:
    """A renewal that came to nothing, for those who waited for it meanwhile."""

    refused: SecretStr | None
    problem: ConnectorError


class Account:
    """All user access tokens: a PageDirectory, and the custody of the pages' own tokens."""

    def __init__(
        self,
        client: HttpClient,
        settings: PancakeSettings,
        leases: Leases,
        clock: Clock,
        *,
        tokens: Callable[[], Sequence[SecretStr]] | None = None,
    ) -> None:
        if not settings.user_tokens:
            raise ConfigError(
                "CONNECTOR_PANCAKE__ACCESS_TOKEN is missing",
                advice="set it, or CONNECTOR_PANCAKE__ACCESS_TOKEN_FILE",
            )
        api = AccountApi(client, settings)
        self._wanted = frozenset(settings.page_ids)
        self._leases = leases
        self._roll = Roll(api, tokens or (lambda: settings.user_tokens), clock)
        self._custodian = Custodian(self._roll, api, leases, clock)
        self._tokens: dict[str, SecretStr] = {}
        self._failures: dict[str, Failure] = {}
        self._renewing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def pages(self) -> Sequence[Page]:
        await self._leases.warm_up()
        await self._roll.read()
        users = self._roll.users
        if not users.any_good:
            raise UnauthorizedError("Pancake refuses every user access token", advice=NEW_TOKEN)
        self._tell_of_the_silent(users)
        listed = users.pages()
        for page_id in listed:
            self._take(page_id, users.shown(page_id, refused=None))
        missing = self._wanted - listed.keys()
        if missing:
            log.warning("pages not in the list", pages=sorted(missing), action=NEW_TOKEN)
        return [page for page in listed.values() if not self._wanted or page.id in self._wanted]

    async def token(self, page_id: str) -> SecretStr:
        """The page's token; a new one is made only when there has never been one."""
        token = self._tokens.get(page_id)
        return token or await self.renew(page_id, refused=None)

    async def renew(
        self, page_id: str, *, refused: SecretStr | None, why: TokenRefusedError | None = None
    ) -> SecretStr:
        """
        A token other than ``refused``: one that another task got, or the list shows, or a new one.

        Raises:
            ParkedError: a person must act.
            RetryableError: not now.
        """
        why = why or TokenRefusedError("no token for the page", Remedy.REGENERATE, NEW_PAGE_TOKEN)
        known = self._failures.get(page_id)
        async with self._renewing[page_id]:
            held = self._tokens.get(page_id)
            if held is not None and held != refused:
                return held
            failure = self._failures.get(page_id)
            if failure and failure is not known and failure.refused == refused:
                raise failure.problem
            try:
                token = await self._custodian.renew(page_id, refused, why)
            except ConnectorError as problem:
                self._failures[page_id] = Failure(refused, problem)
                raise
            self._tokens[page_id] = token
            return token

    async def with_token(self, page_id: str, call: Callable[[SecretStr], Awaitable[T]]) -> T:
        """
        What ``call`` brings with a token of the page that is good.

        Raises:
            ParkedError: a person must act.
            RetryableError: not now.
            ConnectorError: whatever ``call`` raises but TokenRefusedError.
        """
        token = await self.token(page_id)
        for _ in range(RENEWALS):
            try:
                return await call(token)
            except TokenRefusedError as problem:
                token = await self.renew(page_id, refused=token, why=problem)
        try:
            return await call(token)
        except TokenRefusedError as problem:
            raise ParkedError(f"{problem}, {RENEWALS + 1} tokens in a row", action=FOUGHT) from None

    @staticmethod
    def _tell_of_the_silent(users: Users) -> None:
        for user in users.silent:
            if user.problem and not users.any_current:
                raise user.problem
            # What it showed before still counts.
            log.warning("list of pages of one user missing", user=user.number, problem=str(user.problem))

    def _take(self, page_id: str, shown: SecretStr) -> None:
        # A token that we hold and that works is not thrown away for an older one from the list.
        if shown.get_secret_value():
            self._tokens.setdefault(page_id, shown)
