"""The hands of custody: does what a Renewal asks for, and tells it what came of it."""

import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import SecretStr

from connector.clock import Clock
from connector.errors import ParkedError, RateLimitedError, RetryableError, UnavailableError
from connector.pancake.answers import PARKING, TokenRefusedError
from connector.pancake.custody import Renewal, mark
from connector.pancake.custody_events import (
    AskLease,
    Confirmed,
    ConfirmLease,
    Event,
    Failure,
    GiveBack,
    Good,
    Later,
    Leased,
    Made,
    Make,
    NotMade,
    NotShown,
    Parked,
    ReadList,
    Record,
    Shown,
    Wait,
    Waited,
)
from connector.pancake.roll import AccountApi, Roll
from connector.pancake.users import NEW_TOKEN
from connector.ports import Leases

log = structlog.get_logger("connector.pancake")


@dataclass(frozen=True, slots=True)
class Case:
    """The page whose token is renewed. ``nonce`` tells this renewal's lease from every other."""

    page_id: str
    refused: SecretStr | None
    nonce: str = field(default_factory=lambda: uuid.uuid4().hex)


class Custodian:
    """Renews the tokens of pages, each by the rules of custody.py."""

    def __init__(
        self, roll: Roll, api: AccountApi, leases: Leases, clock: Clock, dice: random.Random | None = None
    ) -> None:
        self._roll = roll
        self._api = api
        self._leases = leases
        self._clock = clock
        self._dice = dice or random.Random()  # noqa: S311 - it spreads waits, it keeps no secret
        self._deeds: Mapping[type, Callable[[Case, Any], Awaitable[Event | None]]] = {
            ReadList: self._read_list,
            AskLease: self._ask_lease,
            ConfirmLease: self._confirm_lease,
            Make: self._make,
            Wait: self._wait,
            Record: self._record,
            GiveBack: self._give_back,
        }

    async def renew(self, page_id: str, refused: SecretStr | None, why: TokenRefusedError) -> SecretStr:
        """
        A token of the page other than ``refused``.

        Cancelled, it leaves its lease to lapse: a call that is on the wire may still make a token.

        Raises:
            ParkedError: a person must act.
            UnavailableError: not now.
        """
        case = Case(page_id, refused)
        renewal = Renewal(refused, why.remedy, why.action)
        effects = renewal.start()
        while True:
            event: Event | None = None
            for effect in effects:
                if isinstance(effect, Good | Parked | Later):
                    return self._end(effect, why)
                event = await self._deeds[type(effect)](case, effect)
            assert event is not None, "a step that does not end brings an event"
            effects = renewal.step(event)

    def _end(self, end: Good | Parked | Later, why: TokenRefusedError) -> SecretStr:
        match end:
            case Good(token):
                return token
            case Parked(action):
                raise ParkedError(str(why), action=action)
            case Later(reason):
                raise UnavailableError(f"{why}; {reason}")

    async def _read_list(self, case: Case, _: ReadList) -> Event:
        await self._roll.read()
        users = self._roll.users
        if users.seeing(case.page_id):
            return Shown(users.shown(case.page_id, case.refused))
        return NotShown() if users.silent else Shown(SecretStr(""), blind=users.blind(case.page_id))

    async def _ask_lease(self, case: Case, _: AskLease) -> Event:
        refused = mark(case.page_id, case.refused)
        return Leased(await self._leases.claim(case.page_id, case.nonce, refused))

    async def _confirm_lease(self, case: Case, _: ConfirmLease) -> Event:
        return Confirmed(await self._leases.confirm(case.page_id, case.nonce))

    async def _make(self, case: Case, make: Make) -> Event:
        action = NEW_TOKEN
        for user in self._roll.users.seeing(case.page_id):
            try:
                token = await self._api.make(user.secret, case.page_id, make.not_after)
            except TokenRefusedError as problem:
                told = str(problem)
                log.info("user may not make the token", page=case.page_id, user=user.number, problem=told)
            except ParkedError as problem:
                # Whoever may read a page need not be its admin: then a token of one who is does help.
                action = NEW_TOKEN if problem.action == PARKING[107] else problem.action
            except RateLimitedError:
                return NotMade(Failure.BUSY)
            except RetryableError:
                return NotMade(Failure.UNKNOWN)
            else:
                log.warning("page token regenerated", page=case.page_id)
                return Made(token)
        return NotMade(Failure.REFUSED, action)

    async def _wait(self, _: Case, wait: Wait) -> Event:
        await self._clock.sleep(wait.seconds * self._dice.uniform(1.0, 2.0))
        return Waited()

    async def _record(self, case: Case, record: Record) -> None:
        old, new = mark(case.page_id, case.refused), mark(case.page_id, record.token)
        await self._leases.record(case.page_id, case.nonce, old, new)

    async def _give_back(self, case: Case, _: GiveBack) -> None:
        await self._leases.give_back(case.page_id, case.nonce)
