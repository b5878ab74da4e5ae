"""
Webhooks, taken for hints: ``POST /hooks/pancake/<secret>`` says that a page has changed, and no more.

Anybody may forge, repeat or reorder what arrives here, and nothing in it is data: the most that it can do
is to bring the next look at a page forward, within a bound (``Likelihood.hinted``). Polling stays the truth.
"""

import asyncio
import hmac
import re
from collections.abc import Sequence

from aiohttp import web

from connector.clock import Clock
from connector.pancake.bucket import Bucket
from connector.ports import Hints
from connector.telemetry import HOOKS, Metrics

PATH = "/hooks/pancake/{secret}"
MAX_BODY = 256 * 2**10
READ_SECONDS = 2.0  # Pancake wants an answer within five, and counts a late one as an error
BODIES_AT_ONCE = 32
HINTS, HINT_SECONDS = 2, 1.0  # passed on per page at once, and how often one more

# Looked for in the bytes, because a body that is cut, broken or of another type names its page too.
_PAGE_ID = re.compile(rb'"page_id"\s*:\s*"?([\w.:-]{1,128})')


def pages_named(body: bytes) -> frozenset[str]:
    """The pages that a body speaks of, as far as they can be made out."""
    return frozenset(found.decode("ascii", "ignore") for found in _PAGE_ID.findall(body))


class Hooks:
    """Answers 200 whatever comes with the right secret: Pancake stops sending where it meets errors."""

    def __init__(
        self, secret: str, hints: Hints, clock: Clock, metrics: Metrics, *, patience: float = READ_SECONDS
    ) -> None:
        """``patience``: seconds until a body that is still coming is answered."""
        self._patience = patience
        self._secret = secret.encode()
        self._hints = hints
        self._clock = clock
        self._metrics = metrics
        self._buckets: dict[str, Bucket] = {}
        self._reading = 0

    def routes(self) -> Sequence[web.RouteDef]:
        """For the server of the process; without a secret there are none."""
        return [web.route("*", PATH, self._take)] if self._secret else []

    async def _take(self, request: web.Request) -> web.Response:
        # In constant time: the answer must not tell how many of its characters are right.
        if not hmac.compare_digest(request.match_info["secret"].encode(), self._secret):
            self._metrics.count(HOOKS, "refused")
            raise web.HTTPNotFound
        self.hear(await self._body(request))
        return web.Response()

    def hear(self, body: bytes) -> None:
        """Pass on what a body may say, as far as its page was not hinted at just before."""
        known = [page_id for page_id in pages_named(body) if self._hints.knows(page_id)]
        if not known:
            self._metrics.count(HOOKS, "no page")
        for page_id in known:
            # Only of pages that there are, so their number is bounded.
            bucket = self._buckets.setdefault(page_id, Bucket(HINTS, HINT_SECONDS))
            if bucket.take(self._clock.monotonic()):
                self._hints.hint(page_id)
                self._metrics.count(HOOKS, "hint")
            else:
                self._metrics.count(HOOKS, "spared")

    async def _body(self, request: web.Request) -> bytes:
        """What comes of the body in good time; a secret that got out must not cost more memory than this."""
        body = bytearray()
        if self._reading >= BODIES_AT_ONCE:
            return b""
        self._reading += 1
        try:
            async with asyncio.timeout(self._patience):
                while len(body) < MAX_BODY and (part := await request.content.read(MAX_BODY - len(body))):
                    body += part
        except (TimeoutError, OSError, web.RequestPayloadError):
            # Too slow, broken off, or not cut as its headers say: what there is may name its page.
            pass
        finally:
            self._reading -= 1
        return bytes(body)
