"""Writing one conversation's messages: as few bodies as there is room for, in their order."""

from connector.errors import DoubtfulError, RejectedError, UnknownOutcomeError
from connector.folkform.answers import StrangeAnswerError
from connector.folkform.bodies import TOO_LARGE, Parcel
from connector.folkform.caller import Caller, Errand
from connector.folkform.repeats import Repeats
from connector.folkform.room import Room


class Messages:
    """All conversations' messages at FolkForm."""

    def __init__(self, caller: Caller, room: Room) -> None:
        self._caller = caller
        self._room = room
        self._repeats = Repeats()

    async def write(self, parcel: Parcel, errand: Errand) -> None:
        """Return once all of it is stored. Raises as the Sink port's ``write``."""
        start = 0
        while True:
            end = parcel.end(start, self._limit)
            if end - start <= 1:
                self._bound(parcel, start, end)
            try:
                await self._part(parcel, start, end, errand)
            except RejectedError as problem:
                # A smaller body is worth a call when there is one; else the lane must be halved.
                if problem.reason != TOO_LARGE or parcel.end(start, self._limit) >= end:
                    raise
            else:
                start = end
            if start >= len(parcel.messages):
                return

    @property
    def _limit(self) -> int:
        return min(self._room.limit, self._caller.dialects.body_limit)

    async def _part(self, parcel: Parcel, start: int, end: int, errand: Errand) -> None:
        body = parcel.body(start, end)
        once = end > start and not self._caller.dialects.current.repeats
        try:
            await self._caller.post(parcel.route, body, errand)
        except DoubtfulError as problem:
            if once and self._repeats.in_question(errand.conversation_id, problem.answer):
                await self._caller.post(parcel.route, parcel.body(0, 0), errand)
                self._repeats.refused(errand.conversation_id)
            raise
        except StrangeAnswerError:
            raise
        except UnknownOutcomeError:
            self._room.lost(len(body))
            raise
        except RejectedError as problem:
            if problem.reason == TOO_LARGE:
                self._room.refused(len(body))
            raise
        self._room.passed(len(body))
        if once:
            self._repeats.passed(errand.conversation_id)

    def _bound(self, parcel: Parcel, start: int, end: int) -> None:
        # Sent all the same it would be refused by its length alone, and the connection closed before the
        # answer is read: to us that looks like a network that fails for ever.
        limit = self._caller.dialects.body_limit
        if len(parcel.body(0, 0)) > limit:
            raise RejectedError(
                TOO_LARGE, "the thread is larger than a body may be", culprit=parcel.rest_place
            )
        if len(parcel.body(start, end)) > limit:
            place = parcel.places[start]
            raise RejectedError(TOO_LARGE, "the message is larger than a body may be", culprit=place)
