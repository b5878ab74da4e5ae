"""
Pancake's webhooks (reality 41): a POST for each change, unsigned, in no sure order, more or less than once.

Who fails too often is cut off until a person switches it on again; what happened meanwhile is never sent.
"""

import asyncio
import json
import random
from collections import deque

import aiohttp

from connector.clock import Clock
from connector.simulator.content import Fields, encode, fields, render, uuid
from connector.simulator.inbox import Conversation, Message
from connector.simulator.options import PancakeOptions, draw
from connector.simulator.world import Change, World

REPEATED_WITHIN = 30.0
OVERTAKEN_WITHIN = 5.0
SUSPENSION_WINDOW = 1800.0
SUSPENSION_FAILURES = 300
SUSPENSION_SHARE = 0.8
AS_LISTED = (
    "id",
    "assignee_ids",
    "from",
    "is_combined",
    "is_removed",
    "is_replied",
    "seen",
    "snippet",
    "type",
)


def messaging(change: Change, about: Message, page_customer_id: str) -> bytes:
    """A message is new or changed; the event has neither a request_id nor a time."""
    message = fields(about.data)
    if message.get("from", b"null") != b"null":
        message["from"] = render(fields(message["from"]) | {"page_customer_id": encode(page_customer_id)})
    data = {"conversation": render(_about(change.conversation)), "message": render(message), "post": b"null"}
    return _event("messaging", change.page.id, {"data": render(data)})


def conversation(change: Change, request_id: str, epoch_ms: int) -> bytes:
    """A conversation changed; ``version`` tells the order, which the deliveries do not."""
    held = change.conversation
    about = _about(held) | {"customer_id": encode(held.customer_id), "version": encode(held.version)}
    about["read_watermarks"] = b'[{"psid":"55","message_id":"m_1","watermark":%d}]' % (epoch_ms // 1000)
    return _event(
        "conversation",
        change.page.id,
        {
            "request_id": encode(request_id),
            "timestamp": encode(epoch_ms // 1000),
            "data": render({"conversation": render(about)}),
        },
    )


def connect_status(page_id: str, request_id: str, epoch_ms: int, *, connected: bool) -> bytes:
    told = {"connect_status": "connected" if connected else "disconnected", "page_id": page_id}
    named = {"request_id": encode(request_id), "timestamp": encode(epoch_ms // 1000), "data": encode(told)}
    return _event("connect_status", page_id, named)


def _event(kind: str, page_id: str, more: Fields) -> bytes:
    return render({"event_type": encode(kind), "page_id": encode(page_id)} | more)


def _about(held: Conversation) -> Fields:
    listed = fields(held.data)
    tags = json.loads(listed.get("tags", b"null")) or ()
    numbers = [tag["id"] for tag in tags if isinstance(tag, dict) and "id" in tag]
    return {name: listed.get(name, b"null") for name in AS_LISTED} | {
        "tags": encode(numbers),
        "read_watermarks": b"null",
    }


class Deliveries:
    """What became of the deliveries of the last half hour, and whether there will be more."""

    def __init__(self) -> None:
        self.suspended = False
        self.delivered = 0
        self.failed = 0
        self.never_sent = 0
        self._recent: deque[tuple[float, bool]] = deque()

    def told(self, at: float, *, accepted: bool) -> None:
        self.delivered += accepted
        self.failed += not accepted
        self._recent.append((at, accepted))
        while self._recent[0][0] < at - SUSPENSION_WINDOW:
            self._recent.popleft()
        failures = sum(not good for _, good in self._recent)
        if failures >= SUSPENSION_FAILURES and failures > SUSPENSION_SHARE * len(self._recent):
            self.suspended = True

    def resume(self) -> None:
        """A person has switched it on again."""
        self.suspended = False
        self._recent.clear()


def delays(rng: random.Random, options: PancakeOptions) -> list[float]:
    """When one event is delivered, in seconds from now: once, twice, late, or not at all."""
    if rng.random() < options.webhook_gaps:
        return []
    late = rng.uniform(0.0, OVERTAKEN_WITHIN) if rng.random() < options.webhook_reorders else 0.0
    first = late + draw(options.webhook_delay, rng)
    again = rng.random() < options.webhook_repeats
    return [first, first + rng.uniform(0.0, REPEATED_WITHIN)] if again else [first]


class WebhookSender:
    """Watches a world from ``start`` to ``stop`` and posts what changes, while there is a URL to post to."""

    def __init__(self, world: World, options: PancakeOptions, clock: Clock) -> None:
        self.deliveries = Deliveries()
        self._world = world
        self._options = options
        self._clock = clock
        self._rng = random.Random(f"{options.seed}/webhooks")
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._world.watchers.append(self._watch)

    async def stop(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        self._world.watchers.remove(self._watch)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await session.close()

    def connection(self, page_id: str, *, connected: bool) -> None:
        """Tell that a page was connected or disconnected."""
        self._send(connect_status(page_id, uuid(self._rng), self._clock.epoch_ms(), connected=connected))

    def _watch(self, change: Change) -> None:
        if not self._options.webhook_url:
            return
        if change.message is not None:
            self._send(messaging(change, change.message, uuid(self._rng)))
        self._send(conversation(change, uuid(self._rng), self._clock.epoch_ms()))

    def _send(self, body: bytes) -> None:
        if not self._options.webhook_url or self._session is None:
            return
        if self.deliveries.suspended:
            self.deliveries.never_sent += 1
            return
        for seconds in delays(self._rng, self._options):
            task = asyncio.create_task(self._deliver(self._session, body, seconds))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
        if self.deliveries.suspended:
            self.deliveries.never_sent += 1
            return
        accepted = await self._post(session, body)
        self.deliveries.told(self._clock.monotonic(), accepted=accepted)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        timeout = aiohttp.ClientTimeout(total=self._options.webhook_timeout)
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(
                self._options.webhook_url, data=body, headers=headers, timeout=timeout
            ) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def status(sender: WebhookSender) -> dict[str, object]:
    told = sender.deliveries
    return {
        "delivered": told.delivered,
        "failed": told.failed,
        "never_sent": told.never_sent,
        "suspended": told.suspended,
    }
