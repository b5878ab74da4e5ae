"""Writing snapshots of conversations: the newest state that FolkForm must not step back from."""

from connector.errors import RejectedError
from connector.folkform.answers import NoRouteError
from connector.folkform.bodies import TOO_LARGE, conversation_body, filter_of
from connector.folkform.caller import Caller, Errand
from connector.folkform.dialects import Route
from connector.folkform.kept import keeps_rightly
from connector.model import Event

_FIND = Route("facebook/conversation/find", filtered=True)


class Snapshots:
    """One conversation's document at FolkForm."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def write(self, event: Event, place: int, errand: Errand) -> None:
        """``place``: of the event in its lane. Raises as the Sink port's ``write``."""

        async def send(route: Route) -> None:
            if not self._caller.head_fits(route, filter_of(event)):
                problem = "the id is too long for a request line"
                raise RejectedError("headers_too_large", problem, culprit=place)
            if len(conversation_body(event, route)) > self._caller.dialects.body_limit:
                raise RejectedError(TOO_LARGE, "the snapshot is larger than a body may be", culprit=place)
            await self._upsert(event, route, errand)

        await self._caller.found(lambda dialect: dialect.conversations, send, errand.leaving)

    async def _upsert(self, event: Event, route: Route, errand: Errand) -> None:
        done = await self._caller.post(route, conversation_body(event, route), errand, filter_of(event))
        plain = self._caller.dialects.current.plain
        if not (done.skipped and plain):
            return
        # The price of a skip: one call to see whether it was right, and one more when it was not.
        try:
            held = await self._caller.get(_FIND, errand, filter_of(event))
            if not keeps_rightly(bytes(held.data), event.payload):
                await self._caller.post(plain, conversation_body(event, plain), errand, filter_of(event))
        except NoRouteError:
            # Of these two routes we know less than of the one that skipped: its judgement stands.
            return
