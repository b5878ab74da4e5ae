"""
How a page whose token is refused gets a good one: pure, one ``Renewal`` for each time that happens.

Making a token ends the one that every other program uses for the page. So it is the last resort, and of
all replicas one may do it, once for each token that died: the list of pages, which shows the token that
is good now, is read before the lease is asked for, again under the lease, and again whenever nobody
knows what became of a call.
"""

import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import SecretStr

from connector.model import Verdict
from connector.pancake.answers import Remedy
from connector.pancake.custody_events import (
    AskLease,
    Confirmed,
    ConfirmLease,
    Effect,
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

LOOKS = 3  # how often a loser reads the list again before it gives up for now
LOOK_EVERY = 4.0  # seconds between two such looks
SETTLE = 4.0  # seconds that the list is given to show what somebody else may just have made

FOUGHT = (
    "somebody else keeps regenerating this page's token: let the other program read it from the list of "
    "pages, or end one of the two"
)
SPOILT = "a token that was just made is refused too: look at the page in Pancake, its admin and its right"


def mark(page_id: str, token: SecretStr | None) -> str:
    """
    A name for a token that tells it from others of its page, and from which it cannot be found.

    The token is the key: replicas that hold different user tokens, as while they are exchanged, must
    still mean the same by it. It is a signed JWT, so nobody can guess it to compare.
    """
    secret = token.get_secret_value() if token else ""
    if not secret:
        return ""
    return hmac.new(secret.encode(), f"page token of {page_id}".encode(), hashlib.sha256).hexdigest()[:32]


class Phase(enum.Enum):
    """What the renewal waits for."""

    LOOKING = enum.auto()  # the list, without the lease
    ASKING = enum.auto()
    PATIENT = enum.auto()  # time, before the list is read under the lease
    HOLDING = enum.auto()  # the list, under the lease
    CONFIRMING = enum.auto()
    MAKING = enum.auto()
    DOUBTING = enum.auto()  # the list, which must say what became of our call
    LOSING = enum.auto()  # time, while somebody else has the lease


NOT_LISTED = Later("the list of pages cannot be had")
DENIED: Mapping[Verdict, Parked | Later] = {
    Verdict.BUSY: Later("another process is making the page's token"),
    Verdict.REPLACED: Later("a new token was made, and the list of pages does not show it yet"),
    Verdict.SPOILT: Parked(SPOILT),
    Verdict.FOUGHT: Parked(FOUGHT),
    Verdict.AWAY: Later("without Redis nobody can tell whether another process is making the page's token"),
}


class Renewal:
    """
    One renewal of one page's token. ``start`` gives the first effects, ``step`` those that follow.

    ``refused`` is the token that is not good, None when there never was one.
    """

    def __init__(self, refused: SecretStr | None, remedy: Remedy, action: str) -> None:
        self._refused = refused
        self._remedy = remedy
        self._action = action
        self._looks = LOOKS
        self._denied: Parked | Later = NOT_LISTED
        self.phase = Phase.LOOKING

    def start(self) -> Sequence[Effect]:
        return [ReadList()]

    def step(self, event: Event) -> Sequence[Effect]:
        """What to do now. An event that the phase does not wait for is a bug and raises KeyError."""
        return self._steps[self.phase, type(event)](self, event)

    def _enter(self, phase: Phase, *effects: Effect) -> Sequence[Effect]:
        self.phase = phase
        return effects

    def _helps(self, shown: Shown) -> bool:
        return bool(shown.token.get_secret_value()) and shown.token != self._refused

    def _looked(self, shown: Shown) -> Sequence[Effect]:
        if self._helps(shown):
            return [Good(shown.token)]
        if shown.blind:
            return [Parked(shown.blind)]
        if self._remedy is Remedy.REREAD:
            return [Parked(self._action)]
        if self._looks == 0:
            return [self._denied]
        return self._enter(Phase.ASKING, AskLease())

    def _unlisted(self, _: NotShown) -> Sequence[Effect]:
        return [NOT_LISTED]

    def _leased(self, leased: Leased) -> Sequence[Effect]:
        verdict = leased.claim.verdict
        if verdict is Verdict.HELD:
            return self._enter(Phase.PATIENT, Wait(max(SETTLE, leased.claim.wait)))
        self._denied = DENIED[verdict]
        if verdict is Verdict.AWAY:
            return [self._denied]
        # The list may lag behind what was made a moment ago: it is read once more before a page is parked.
        self._looks = min(self._looks - 1, 0 if isinstance(self._denied, Parked) else LOOKS)
        return self._enter(Phase.LOSING, Wait(LOOK_EVERY))

    def _waited_for_others(self, _: Waited) -> Sequence[Effect]:
        return self._enter(Phase.LOOKING, ReadList())

    def _was_patient(self, _: Waited) -> Sequence[Effect]:
        return self._enter(Phase.HOLDING, ReadList())

    def _looked_again(self, shown: Shown) -> Sequence[Effect]:
        if self._helps(shown):
            return [GiveBack(), Good(shown.token)]
        if shown.blind:
            return [GiveBack(), Parked(shown.blind)]
        return self._enter(Phase.CONFIRMING, ConfirmLease())

    def _unlisted_again(self, _: NotShown) -> Sequence[Effect]:
        return [GiveBack(), NOT_LISTED]

    def _confirmed(self, confirmed: Confirmed) -> Sequence[Effect]:
        if confirmed.send_until is None:
            return [DENIED[Verdict.BUSY]]
        return self._enter(Phase.MAKING, Make(confirmed.send_until))

    def _made(self, made: Made) -> Sequence[Effect]:
        return [Record(made.token), Good(made.token)]

    def _not_made(self, problem: NotMade) -> Sequence[Effect]:
        match problem.failure:
            case Failure.REFUSED:
                return [GiveBack(), Parked(problem.action)]
            case Failure.BUSY:
                return [GiveBack(), Later("Pancake makes no token now")]
            case Failure.UNKNOWN:
                return self._enter(Phase.DOUBTING, ReadList())

    def _settled(self, shown: Shown) -> Sequence[Effect]:
        if self._helps(shown):
            return [Record(shown.token), Good(shown.token)]
        return self._unsettled(NotShown())

    def _unsettled(self, _: NotShown) -> Sequence[Effect]:
        # Our call may still be applied. The lease is not given back: it lapses when that is over, and
        # who gets it then reads the list first.
        return [Later("nobody knows yet whether a new token was made")]

    _steps: ClassVar[Mapping[tuple[Phase, type[Event]], Callable[["Renewal", Any], Sequence[Effect]]]] = {
        (Phase.LOOKING, Shown): _looked,
        (Phase.LOOKING, NotShown): _unlisted,
        (Phase.ASKING, Leased): _leased,
        (Phase.LOSING, Waited): _waited_for_others,
        (Phase.PATIENT, Waited): _was_patient,
        (Phase.HOLDING, Shown): _looked_again,
        (Phase.HOLDING, NotShown): _unlisted_again,
        (Phase.CONFIRMING, Confirmed): _confirmed,
        (Phase.MAKING, Made): _made,
        (Phase.MAKING, NotMade): _not_made,
        (Phase.DOUBTING, Shown): _settled,
        (Phase.DOUBTING, NotShown): _unsettled,
    }
