"""The Sink port: one conversation's events, or many snapshots, as calls to FolkForm."""

import asyncio
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from connector.errors import RejectedError, RetryableError
from connector.folkform.access import Access
from connector.folkform.answers import NoRouteError
from connector.folkform.bodies import Parcel, batch_body
from connector.folkform.caller import Caller, Errand
from connector.folkform.flaws import flaw_of
from connector.folkform.messages import Messages
from connector.folkform.room import Room
from connector.folkform.snapshots import Snapshots
from connector.http.client import HttpClient
from connector.model import Event, Kind, Origin
from connector.ports import Priority
from connector.settings import FolkFormSettings

_PRIORITIES = {
    Origin.LIVE: Priority.LIVE,
    Origin.RECONCILE: Priority.VERIFY,
    Origin.BACKFILL: Priority.BACKFILL,
    Origin.REPLAY: Priority.REPLAY,
}
Verdict = RetryableError | RejectedError | None
Lanes = Sequence[Sequence[Event]]


class FolkFormSink:
    """Writes to one FolkForm account."""

    def __init__(
        self, client: HttpClient, settings: FolkFormSettings, reread: Callable[[], SecretStr] | None = None
    ) -> None:
        """
        ``reread``: where a refused token's successor is; by default the token's file, if it has one.

        Raises:
            ConfigError: the credentials cannot be right.
        """
        self._caller = Caller(client, settings, Access(settings, reread))
        self._room = Room(settings.body_bytes)
        self._snapshots = Snapshots(self._caller)
        self._messages = Messages(self._caller, self._room)
        self._batch = settings.batch

    @property
    def dialect(self) -> str:
        return self._caller.dialects.current.name

    @property
    def width(self) -> int:
        dialects = self._caller.dialects
        return self._batch if dialects.certain and dialects.current.batch else 1

    async def write(self, lane: Sequence[Event], leaving: asyncio.Event) -> None:
        newest = {event.kind: place for place, event in enumerate(lane)}
        if newest.keys() == {Kind.VANISHED}:
            # What the source no longer shows stays in FolkForm: nothing is deleted there.
            return
        errand = _errand(lane, leaving)
        if (place := newest.get(Kind.CONVERSATION)) is not None:
            _check(lane, place)
            await self._snapshots.write(lane[place], place, errand)
            return
        for place in range(len(lane)):
            _check(lane, place)
        await self._caller.found(
            lambda dialect: dialect.messages,
            lambda route: self._messages.write(Parcel.of(lane, route), errand),
            leaving,
        )

    async def write_many(self, lanes: Lanes, leaving: asyncio.Event) -> Sequence[Verdict]:
        sound = [flaw_of(lane[-1]) is None for lane in lanes]
        verdicts = iter(
            await self._together([lane for lane, ok in zip(lanes, sound, strict=True) if ok], leaving)
        )
        return [
            next(verdicts) if ok else await self._alone(lane, leaving)
            for lane, ok in zip(lanes, sound, strict=True)
        ]

    async def _together(self, lanes: Lanes, leaving: asyncio.Event) -> Sequence[Verdict]:
        route = self._caller.dialects.current.batch
        if len(lanes) < 2 or self.width == 1 or route is None:  # noqa: PLR2004
            return [await self._alone(lane, leaving) for lane in lanes]
        snapshots = [lane[-1] for lane in lanes]
        body = batch_body(snapshots)
        of_one_page = len({(event.page_id, event.page_username) for event in snapshots}) == 1
        if not of_one_page or len(body) > min(self._room.limit, self._caller.dialects.body_limit):
            return await self._in_halves(lanes, leaving)
        try:
            async with self._caller.alone(route, leaving):
                if self.width > 1:
                    await self._caller.post(route, body, _errand(snapshots, leaving))
        except NoRouteError:
            self._batch = 1
        except RejectedError:
            return await self._in_halves(lanes, leaving)
        except RetryableError as problem:
            return [problem for _ in lanes]
        # Somebody else, or this call, found out that there is no such route.
        return [None for _ in lanes] if self.width > 1 else await self._together(lanes, leaving)

    async def _in_halves(self, lanes: Lanes, leaving: asyncio.Event) -> Sequence[Verdict]:
        middle = len(lanes) // 2
        first = await self._together(lanes[:middle], leaving)
        return [*first, *await self._together(lanes[middle:], leaving)]

    async def _alone(self, lane: Sequence[Event], leaving: asyncio.Event) -> Verdict:
        try:
            await self.write(lane, leaving)
        except (RetryableError, RejectedError) as problem:
            return problem
        return None


def _errand(events: Sequence[Event], leaving: asyncio.Event) -> Errand:
    # What a person waits for goes first, even when it shares a call with what nobody waits for.
    return Errand(events[-1].conversation_id, min(_PRIORITIES[event.origin] for event in events), leaving)


def _check(lane: Sequence[Event], place: int) -> None:
    """Raise RejectedError when the event must not be sent; its neighbours may pass."""
    if (flaw := flaw_of(lane[place])) is not None:
        raise RejectedError(flaw.reason, flaw.message, culprit=place)
