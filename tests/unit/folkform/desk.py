"""FolkForm's simulator and the sink that writes to it, with plain events."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import SecretStr

from connector.errors import RejectedError, RetryableError
from connector.folkform.sink import FolkFormSink
from connector.http.client import HttpClient
from connector.model import Event, Kind, Origin
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.http.grants import Grants

OPTIONS = FolkFormOptions()
CONVERSATION, MESSAGES = "conversation/upsert-one", "message/upsert-messages"
GUARDED, INGEST, BATCH = "conversation/sync-upsert-one", "cio/ingest", "conversation/batch-upsert"
# aiohttp would rather stream what is over 1 MiB; copying 10 MiB into a socket takes milliseconds.
LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
AT = "2026-03-03T04:03:22.000000"


def event(kind: Kind, payload: object, message_id: str = "", **given: Any) -> Event:
    data = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    made = Event(kind, "1", "shop", "c1", "k1", message_id, 0, 0, 5, b"", Origin.LIVE, data)
    event = replace(made, **given)
    return replace(event, content_hash=hashlib.sha256(event.payload).digest()[:8])


def snapshot(ident: str = "c1", fields: Mapping[str, object] | None = None, **given: Any) -> Event:
    said = {"id": ident, "customer_id": "k1", "snippet": "Chốt đơn", **(fields or {})}
    return event(Kind.CONVERSATION, said, **{"conversation_id": ident, **given})


def message(number: int, text: str = "xin chào", **given: Any) -> Event:
    ident = f"m{number}"
    return event(Kind.MESSAGE, {"id": ident, "message": text, "inserted_at": AT}, ident, **given)


def thread(payload: object, **given: Any) -> Event:
    return event(Kind.THREAD, payload, **given)


@dataclass
class Desk:
    """FolkForm, and the sink that writes to it."""

    simulator: FolkFormSimulator
    sink: FolkFormSink
    grants: Grants
    clock: FakeClock
    url: str
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, *lane: Event) -> None:
        await self.sink.write(lane, self.leaving)

    async def write_many(self, *snapshots: Event) -> Sequence[RetryableError | RejectedError | None]:
        return await self.sink.write_many([(one,) for one in snapshots], self.leaving)

    def calls(self, route: str | None = None) -> int:
        return self.simulator.calls.of(route=route).calls

    def routes(self) -> list[str]:
        return [call.route for call in self.simulator.calls.recent]

    def item(self, message_id: str) -> bytes:
        return self.simulator.store.items[message_id].data

    def document(self, conversation_id: str = "c1") -> bytes:
        return self.simulator.store.by_conversation[conversation_id][0].data


@asynccontextmanager
async def desk(
    options: FolkFormOptions | None = None,
    http: HttpSettings | None = None,
    reread: SecretStr | None = None,
    **settings: Any,
) -> AsyncIterator[Desk]:
    """``reread``: the token that its file holds by now."""
    clock, metrics, grants = FakeClock(auto=True), Metrics(), Grants()
    given = options or FolkFormOptions()
    given.rate = None
    simulator = FolkFormSimulator(options=given, clock=clock)
    url = await simulator.start()
    client = HttpClient(http or HttpSettings(), grants, clock, metrics)
    named = {
        "base_url": url,
        "token": SecretStr(OPTIONS.token),
        "role_id": OPTIONS.role_id,
        "rate": "off",
        "account": "main",
        "dialect": "generation1",
    }
    chosen = FolkFormSettings.model_validate({**named, **settings})
    sink = FolkFormSink(client, chosen, None if reread is None else lambda: reread)
    try:
        yield Desk(simulator, sink, grants, clock, url)
    finally:
        await client.close()
        await simulator.stop()
        metrics.close()
