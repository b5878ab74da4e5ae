"""What a topic holds, brought to FolkForm: the real codec, sink and HTTP client, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

from pydantic import SecretStr

from connector.clock import SystemClock
from connector.codec import decode_event, encode_event
from connector.errors import RejectedError
from connector.folkform.sink import FolkFormSink
from connector.http.client import HttpClient
from connector.model import Event, Kind
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions
from connector.telemetry import Metrics
from tests.unit.http.grants import Grants
from tests.unit.pancake.direct import Topic


@asynccontextmanager
async def delivered(topic: Topic) -> AsyncIterator[tuple[FolkFormSimulator, dict[str, str]]]:
    """FolkForm once all of the topic is written, and which conversations it refused for what reason."""
    folkform = FolkFormSimulator(options=FolkFormOptions(rate=None))
    url = await folkform.start()
    client = HttpClient(HttpSettings(), Grants(), SystemClock(), Metrics())
    settings = FolkFormSettings(
        base_url=url, token=SecretStr(folkform.options.token), role_id=folkform.options.role_id, rate="off"
    )
    try:
        yield folkform, await _written(topic, FolkFormSink(client, settings))
    finally:
        await client.close()
        await folkform.stop()


async def _written(topic: Topic, sink: FolkFormSink) -> dict[str, str]:
    refused: dict[str, str] = {}
    for lane in _lanes(topic):
        try:
            await sink.write(lane, asyncio.Event())
        except RejectedError as problem:
            refused[lane[0].conversation_id] = problem.reason
    return refused


def _lanes(topic: Topic) -> list[list[Event]]:
    """Snapshots one by one; messages and threads conversation by conversation, the newest of each key."""
    newest = {(event.kind, event.conversation_id, event.message_id): event for event in topic.events}
    passed = [
        decode_event(encode_event(event)) for event in newest.values() if event.kind is not Kind.VANISHED
    ]
    snapshots = [[event] for event in passed if event.kind is Kind.CONVERSATION]
    others = sorted((e for e in passed if e.kind is not Kind.CONVERSATION), key=lambda e: e.conversation_id)
    return snapshots + [list(lane) for _, lane in groupby(others, key=lambda e: e.conversation_id)]
