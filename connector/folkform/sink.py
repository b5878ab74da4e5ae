"""The Sink port: one conversation's events as calls to FolkForm, generation 1."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from connector.errors import ConfigError, RejectedError, RetryableError
from connector.folkform.answers import judge
from connector.folkform.bodies import conversation_body, message_bodies
from connector.http.client import HttpClient, Request
from connector.model import Event, Kind, Origin, Rate, Scope
from connector.ports import Priority
from connector.settings import FolkFormSettings

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_ROLE = re.compile(r"[0-9a-fA-F]{24}")
_PRIORITIES = {
    Origin.LIVE: Priority.LIVE,
    Origin.RECONCILE: Priority.VERIFY,
    Origin.BACKFILL: Priority.BACKFILL,
    Origin.REPLAY: Priority.REPLAY,
}


class FolkFormSink:
    """Writes to one FolkForm account."""

    def __init__(self, client: HttpClient, settings: FolkFormSettings) -> None:
        """Raises ConfigError when the credentials cannot be right."""
        if not settings.token.get_secret_value():
            raise ConfigError(
                "CONNECTOR_FOLKFORM__TOKEN is missing",
                advice="set it, or give a file in CONNECTOR_FOLKFORM__TOKEN_FILE",
            )
        if not _ROLE.fullmatch(settings.role_id):
            raise ConfigError(
                "CONNECTOR_FOLKFORM__ROLE_ID must be 24 hexadecimal digits",
                advice="GET /v1/auth/roles of FolkForm lists the roleId of each role",
            )
        self._client = client
        self._base = settings.base_url
        self._token = settings.token
        self._headers = {**_JSON, "X-Active-Role-ID": settings.role_id}
        self._scope = Scope(f"folkform:{settings.account}", Rate.parse(settings.rate))

    dialect = "generation1"

    @property
    def width(self) -> int:
        return 1

    async def write_many(
        self, lanes: Sequence[Sequence[Event]], leaving: asyncio.Event
    ) -> Sequence[RetryableError | RejectedError | None]:
        return [await self._verdict(lane, leaving) for lane in lanes]

    async def _verdict(
        self, lane: Sequence[Event], leaving: asyncio.Event
    ) -> RetryableError | RejectedError | None:
        try:
            await self.write(lane, leaving)
        except (RetryableError, RejectedError) as problem:
            return problem
        return None

    async def write(self, lane: Sequence[Event], leaving: asyncio.Event) -> None:
        # What a person waits for goes first, even when it shares a call with what nobody waits for.
        priority = min(_PRIORITIES[event.origin] for event in lane)
        newest = lane[-1]
        if newest.kind is Kind.CONVERSATION:
            # An empty or wrong filter would overwrite another conversation's document (B5.6).
            wanted = msgspec.json.encode({"conversationId": newest.conversation_id}).decode()
            request = self._request("conversation/upsert-one", priority, conversation_body(newest))
            await self._send(replace(request, params={"filter": wanted}), leaving)
            return
        for body in message_bodies(lane):
            await self._send(self._request("message/upsert-messages", priority, body), leaving)

    def _request(self, route: str, priority: Priority, body: bytes) -> Request:
        return Request(
            "folkform",
            route,
            "POST",
            f"{self._base}/v1/facebook/{route}",
            self._scope,
            priority,
            headers=self._headers,
            bearer=self._token,
            body=body,
        )

    async def _send(self, request: Request, leaving: asyncio.Event) -> None:
        await self._client.call(request, lambda answer: judge(answer, f"folkform {request.route}"), leaving)
