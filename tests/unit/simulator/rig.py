"""A client that speaks to the simulators over real sockets, and nothing of the connector."""

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig

SMALL = WorldConfig(pages=2, conversations_per_page=3, messages_per_conversation=4)


class TurnedClock:
    """A clock that moves when it is told to, or when somebody sleeps on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Semaphore(0)

    def monotonic(self) -> float:
        return self.now

    def epoch_ms(self) -> int:
        return 1_780_000_000_000 + round(self.now * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if self.gate is not None:
            self.waiting.release()
            await self.gate.wait()

    async def until_waiting(self, sleepers: int) -> None:
        for _ in range(sleepers):
            await self.waiting.acquire()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        target = URL(url, encoded=True)
        async with self._session.request(
            method, target, data=io.BytesIO(body) if body else None, headers=headers
        ) as response:
            return Answer(response.status, response.headers, await response.read())


@dataclass
class PancakeRig:
    simulator: PancakeSimulator
    url: str
    client: Client
    clock: TurnedClock

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def page_id(self) -> str:
        return next(iter(self.world.pages))

    @property
    def conversation_id(self) -> str:
        return next(iter(self.world.pages[self.page_id].conversations))

    async def get(self, path: str) -> Answer:
        return await self.client.call("GET", self.url + path)

    async def control(self, method: str, name: str, body: object = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return await self.client.call(method, self.url.removesuffix("/api") + "/_sim/" + name, data)

    async def conversations(self, more: str = "", token: str | None = None) -> Answer:
        found = self.simulator.token(self.page_id) if token is None else token
        return await self.get(
            f"/public_api/v2/pages/{self.page_id}/conversations?page_access_token={found}{more}"
        )

    async def messages(self, conversation_id: str | None = None, more: str = "") -> Answer:
        ident = quote(conversation_id or self.conversation_id, safe="")
        token = self.simulator.token(self.page_id)
        path = f"/public_api/v1/pages/{self.page_id}/conversations/{ident}/messages"
        return await self.get(f"{path}?page_access_token={token}{more}")


@dataclass
class FolkFormRig:
    simulator: FolkFormSimulator
    url: str
    client: Client
    clock: TurnedClock

    @property
    def headers(self) -> dict[str, str]:
        options = self.simulator.options
        return {"Authorization": f"Bearer {options.token}", "X-Active-Role-ID": options.role_id}

    async def get(self, path: str) -> Answer:
        return await self.client.call("GET", f"{self.url}/v1{path}", headers=self.headers)

    async def post(self, path: str, body: bytes) -> Answer:
        return await self.client.call("POST", f"{self.url}/v1{path}", body, self.headers)

    async def control(self, method: str, name: str, body: object = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        return await self.client.call(method, self.url.removesuffix("/api") + "/_sim/" + name, data)

    async def upsert(self, data: bytes, conversation_id: str | None = None) -> Answer:
        """An upsert-one of these exact bytes as panCakeData."""
        ident = json.loads(data)["id"] if conversation_id is None else conversation_id
        wanted = quote(json.dumps({"conversationId": ident} if ident else {}))
        body = b'{"pageId":"1","pageUsername":"shop","panCakeData":' + data + b"}"
        return await self.post(f"/facebook/conversation/upsert-one?filter={wanted}", body)

    async def upsert_messages(self, *messages: bytes, **given: object) -> Answer:
        named = {"pageId": "1", "pageUsername": "shop", "conversationId": "c1", "customerId": "k"} | given
        metadata = named.pop("metadata", b"{}")
        assert isinstance(metadata, bytes)
        inside = b'{"messages":[' + b",".join(messages) + b"]" + (b"," + metadata[1:-1]).rstrip(b",") + b"}"
        body = json.dumps(named).encode()[:-1] + b',"panCakeData":' + inside + b"}"
        return await self.post("/facebook/message/upsert-messages", body)


def listed(answer: Answer, name: str) -> list[bytes]:
    """The elements of one list of an answer as the exact bytes sent."""
    raw = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])[name]
    return [bytes(element) for element in msgspec.json.decode(raw, type=list[msgspec.Raw])]
