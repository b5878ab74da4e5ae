"""The account: which pages there are, and a page token for each."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import structlog
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import ConfigError, ParkedError, UnauthorizedError, UnknownOutcomeError
from connector.http.client import HttpClient, Request
from connector.http.retry import persistently
from connector.model import Page, Rate, Scope
from connector.pancake.answers import TokenRefusedError, judge
from connector.pancake.wire import GeneratedToken, PageList, decode, mend, text_id
from connector.settings import PancakeSettings

NEW_TOKEN = "log in to Pancake as an admin of the page and set CONNECTOR_PANCAKE__ACCESS_TOKEN"  # noqa: S105

log = structlog.get_logger("connector.pancake")


class PageFacts(msgspec.Struct):
    """The fields of a page that we act on, of whatever type they come."""

    id: Any = None
    username: Any = None
    name: Any = None
    platform: Any = None
    settings: Any = None


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page and the token that the list shows for it (empty: none)."""

    page: Page
    token: SecretStr


class Account:
    """One user access token: a PageDirectory, and the custody of its pages' tokens."""

    def __init__(self, client: HttpClient, settings: PancakeSettings, clock: Clock) -> None:
        if not settings.access_token.get_secret_value():
            raise ConfigError(
                "CONNECTOR_PANCAKE__ACCESS_TOKEN is missing",
                advice="set it, or CONNECTOR_PANCAKE__ACCESS_TOKEN_FILE",
            )
        self._client = client
        self._settings = settings
        self._clock = clock
        # The limit of account calls is unknown (contracts A8): as careful as with a page.
        self._scope = Scope("pancake:account", Rate.parse(settings.rate))
        self._tokens: dict[str, SecretStr] = {}
        self._renewing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def pages(self) -> Sequence[Page]:
        listed = await persistently(self._list, self._clock)
        wanted = set(self._settings.page_ids)
        missing = wanted - {entry.page.id for entry in listed}
        if missing:
            log.warning("pages not in the list", pages=sorted(missing), action=NEW_TOKEN)
        for entry in listed:
            # A token that we hold and that works is not thrown away for an older one from the list.
            self._tokens.setdefault(entry.page.id, entry.token)
        return [entry.page for entry in listed if not wanted or entry.page.id in wanted]

    async def token(self, page_id: str) -> SecretStr:
        """The page's token; a new one is made only when there has never been one."""
        token = self._tokens.get(page_id)
        if token is not None and token.get_secret_value():
            return token
        return await self.renew(page_id, refused=token)

    async def renew(self, page_id: str, *, refused: SecretStr | None) -> SecretStr:
        """
        A token other than ``refused``: one that another task got, or the list shows, or a new one.

        Raises:
            ParkedError: none can be had.
            RetryableError: not now.
        """
        async with self._renewing[page_id]:
            held = self._tokens.get(page_id)
            if held is not None and held != refused and held.get_secret_value():
                return held
            shown = {entry.page.id: entry.token for entry in await persistently(self._list, self._clock)}
            token = shown.get(page_id)
            if token is None or token == refused or not token.get_secret_value():
                log.warning("page token regenerated", page=page_id)
                token = await persistently(lambda: self._generate(page_id), self._clock)
            self._tokens[page_id] = token
            return token

    async def _list(self) -> Sequence[ListedPage]:
        request = self._request("pages", "GET", f"{self._settings.base_url}/v1/pages")
        try:
            return await self._client.call(request, lambda said: parse_pages(judge(said, "pancake pages")))
        except (TokenRefusedError, ParkedError) as problem:
            raise UnauthorizedError(
                f"Pancake refuses the user access token ({problem})", advice=NEW_TOKEN
            ) from None

    async def _generate(self, page_id: str) -> SecretStr:
        url = f"{self._settings.base_url}/v1/pages/{quote(page_id, safe='')}/generate_page_access_token"
        request = self._request("generate token", "POST", url, page_id=page_id)
        try:
            body = await self._client.call(request, lambda answer: judge(answer, "pancake generate token"))
        except TokenRefusedError as problem:
            raise ParkedError(str(problem), action=NEW_TOKEN) from None
        return SecretStr(decode(body, GeneratedToken, "pancake generate token").page_access_token)

    def _request(self, route: str, method: str, url: str, **params: str) -> Request:
        secrets = {"access_token": self._settings.access_token}
        return Request("pancake", route, method, url, self._scope, params=params, secrets=secrets)


def parse_pages(body: bytes) -> Sequence[ListedPage]:
    """
    The activated pages of an answer, in either of the two shapes that are known (contracts A4).

    Raises:
        UnknownOutcomeError: it has neither shape; that is not a list without pages.
    """
    listing = decode(mend(body), PageList, "pancake pages")
    raws = listing.pages
    if raws is None and listing.categorized is not None:
        raws = listing.categorized.activated
    if raws is None:
        raise UnknownOutcomeError("pancake pages: the answer has no list of pages")
    found = (_parse_page(bytes(raw)) for raw in raws)
    return [entry for entry in found if entry is not None]


def _parse_page(raw: bytes) -> ListedPage | None:
    facts = decode(raw, PageFacts, "pancake pages")
    page_id = text_id(facts.id)
    if not page_id:
        log.warning("a page without an id is left out")
        return None
    settings = facts.settings if isinstance(facts.settings, dict) else {}
    token = settings.get("page_access_token")
    page = Page(
        page_id,
        # FolkForm refuses an empty user name, and a page need not have one: its id stands in.
        _text(facts.username) or page_id,
        _text(facts.name),
        _text(facts.platform),
    )
    return ListedPage(page, SecretStr(token if isinstance(token, str) else ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
