"""The sink side in front of FolkForm's simulator: real engine and HTTP client, no socket, virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import httpx
from pydantic import SecretStr

from connector.budget import LocalBudget
from connector.clock import Clock
from connector.folkform.sink import FolkFormSink
from connector.http.client import Answer, HttpClient
from connector.model import Event, Kind
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.arrival import Handed
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions
from connector.simulator.replies import Reply
from connector.telemetry import Metrics
from tests.fakes.delivery import Delivery, Size
from tests.fakes.sink import FakeSink


class NearClient(HttpClient):
    """The real client; what it would write to a socket is handed to the simulator."""

    def __init__(self, simulator: FolkFormSimulator, clock: Clock) -> None:
        self.metrics = Metrics()
        super().__init__(HttpSettings(), LocalBudget(clock), clock, self.metrics)
        self._simulator = simulator

    async def _exchange(self, wire: httpx.Request, where: str) -> Answer:
        path = wire.url.raw_path.decode()
        request = Handed(wire.method, path, wire.headers, wire.content)
        try:
            reply = await self._simulator.respond(request)
        except asyncio.CancelledError:
            request.gone = True
            raise
        return _arrived(reply, where)


def _arrived(reply: Reply, where: str) -> Answer:
    match reply.delivery:
        case "abort":
            raise aiohttp.ServerDisconnectedError(where)
        case "cut":
            raise aiohttp.ClientPayloadError(where)
        case _:
            headers = httpx.Headers({"Content-Type": reply.content_type, **reply.headers})
            return Answer(reply.status, headers, reply.body)


class Counter(Delivery):
    """
    Topics, sinks that come and go as processes do, and FolkForm.

    ``published``: the last snapshot of each conversation, and of each message, that was published.
    """

    def __init__(
        self,
        options: FolkFormOptions | None = None,
        *,
        partitions: int = 2,
        size: Size | None = None,
        reread: Callable[[], SecretStr] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(partitions=partitions, size=size)
        self.folkform = FolkFormSimulator(options=options or FolkFormOptions(rate=None), clock=self.clock)
        self.client = NearClient(self.folkform, self.clock)
        given = self.folkform.options
        rate = "off" if given.rate is None else f"{given.rate[0]}/{given.rate[1]:g}s"
        named = {"base_url": "http://folkform.test/api", "token": SecretStr(given.token), "rate": rate}
        chosen = FolkFormSettings.model_validate({**named, "role_id": given.role_id, **settings})
        # Every process of the story has the same sink, as if it had begun with what the last one knew.
        self.sink = cast("FakeSink", FolkFormSink(self.client, chosen, reread))
        self.published: dict[tuple[str, str], Event] = {}

    def publish(self, *events: Event) -> None:
        super().publish(*events)
        told = [event for event in events if event.kind in {Kind.CONVERSATION, Kind.MESSAGE}]
        self.published |= {(event.conversation_id, event.message_id): event for event in told}

    async def deliver(self, *events: Event) -> None:
        """Publish, and let a process deliver all that there is."""
        self.publish(*events)
        await self.run_once()

    @property
    def reasons(self) -> list[str]:
        return [letter.problem.reason for letter in self.shelved]

    def stored(self, conversation_id: str) -> bytes:
        return self.folkform.store.by_conversation[conversation_id][0].data

    def calls(self, route: str | None = None) -> int:
        return self.folkform.calls.of(route=route).calls

    def differs(self) -> list[str]:
        """What FolkForm does not hold as it was published last."""
        found = []
        for (conversation, message), event in self.published.items():
            if message:
                item = self.folkform.store.items.get(message)
                same = item is not None and item.data == event.payload
            else:
                documents = self.folkform.store.by_conversation.get(conversation, [])
                same = [document.data for document in documents] == [event.payload]
            if not same:
                found.append(message or conversation)
        return found

    async def close(self) -> None:
        await super().close()
        await self.client.close()
        self.client.metrics.close()
