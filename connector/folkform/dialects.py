"""
The generations of FolkForm's API as one table, and finding out which of them is spoken (contracts B0, B12).

A route that is not there answers 404 before anything is applied, so the first real calls find out.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import structlog

from connector.folkform.answers import ROUTE, NoRouteError

log = structlog.get_logger("connector.folkform")
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Route:
    """
    Where one kind of write goes. ``filtered``: by ``?filter=``. ``domain``: wrapped as an ingest of it.

    ``guarded``: FolkForm keeps what it has unless what comes is newer by its own ``updated_at``.
    """

    path: str
    filtered: bool = False
    domain: str = ""
    guarded: bool = False

    @property
    def name(self) -> str:
        """For logs and metrics."""
        return self.path.removeprefix("facebook/")


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    One generation.

    ``plain``: where a snapshot goes that the guard skipped although its content is another. ``batch``:
    the proposed route for several snapshots, tried where there is no guard to lose by it. ``repeats``:
    whether a conversation's messages can be written more than once. ``body_limit`` in bytes.
    """

    name: str
    conversations: Route
    messages: Route
    body_limit: int
    plain: Route | None = None
    batch: Route | None = None
    repeats: bool = True

    @property
    def routes(self) -> frozenset[Route]:
        """Those without which it is not this generation."""
        return frozenset({self.conversations, self.messages})


_UPSERT_ONE = Route("facebook/conversation/upsert-one", filtered=True)
_SYNC_UPSERT_ONE = Route("facebook/conversation/sync-upsert-one", filtered=True, guarded=True)
_UPSERT_MESSAGES = Route("facebook/message/upsert-messages")
_BATCH_UPSERT = Route("facebook/conversation/batch-upsert")
_INGEST_CONVERSATION = Route("cio/ingest", domain="interaction_conversation", guarded=True)
_INGEST_MESSAGES = Route("cio/ingest", domain="interaction_message")

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        # In the order in which they are tried: the guard before the route that has none.
        Dialect(
            "generation2", _SYNC_UPSERT_ONE, _UPSERT_MESSAGES, body_limit=500 * MEBIBYTE, plain=_UPSERT_ONE
        ),
        Dialect("generation1", _UPSERT_ONE, _UPSERT_MESSAGES, body_limit=10 * MEBIBYTE, batch=_BATCH_UPSERT),
        Dialect(
            "generation3", _INGEST_CONVERSATION, _INGEST_MESSAGES, body_limit=500 * MEBIBYTE, repeats=False
        ),
    )
}


class Dialects:
    """What the answers so far leave possible."""

    def __init__(self, setting: str) -> None:
        """``setting``: a dialect by name, or ``auto``."""
        every = tuple(DIALECTS.values())
        self._every = every if setting == "auto" else (DIALECTS[setting],)
        self._left = self._every
        self._proved: set[Route] = set() if setting == "auto" else set(self._every[0].routes)

    @property
    def current(self) -> Dialect:
        """The one to speak."""
        return self._left[0]

    @property
    def certain(self) -> bool:
        return len(self._left) == 1

    @property
    def body_limit(self) -> int:
        """Bytes that pass in whichever it is."""
        return min(dialect.body_limit for dialect in self._left)

    def proved(self, route: Route) -> bool:
        """Whether a call on the route has arrived: until then one call at a time finds out."""
        return route in self._proved

    def arrived(self, route: Route) -> None:
        """The route is there: whatever was answered, its handler answered it."""
        if route in self._proved:
            return
        self._proved.add(route)
        self._narrow(tuple(dialect for dialect in self._left if route in dialect.routes) or self._left)

    def missing(self, routes: AbstractSet[Route]) -> None:
        """
        These routes are not there. One that was there before means that the server is another one now.

        Raises:
            NoRouteError: no dialect is left that does without them.
        """
        self._proved -= routes
        without = [tuple(d for d in among if not d.routes & routes) for among in (self._left, self._every)]
        left = without[0] or without[1]
        if not left:
            names = " nor ".join(sorted(route.name for route in routes))
            raise NoRouteError(f"folkform: there is no {names} here", advice=ROUTE)
        self._narrow(left)

    def _narrow(self, left: tuple[Dialect, ...]) -> None:
        was_certain = self.certain
        before, self._left = self._left, left
        if self.certain and (not was_certain or before != left):
            log.info("dialect", dialect=self.current.name, before=before[0].name if was_certain else None)
