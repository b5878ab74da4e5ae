"""What a renewal of a page's token asks for, and what it is told: the words of custody.py."""

import enum
from dataclasses import dataclass

from pydantic import SecretStr

from connector.model import Claim

# What is done for a renewal. The last one of a step says how it goes on, or how it ended.


@dataclass(frozen=True, slots=True)
class ReadList:
    """Read the list of pages: a reading that begins now, not one under way. Brings Shown or NotShown."""


@dataclass(frozen=True, slots=True)
class AskLease:
    """Ask for the lease of the page. Brings Leased."""


@dataclass(frozen=True, slots=True)
class ConfirmLease:
    """Have the lease begin anew, if it is still ours. Brings Confirmed."""


@dataclass(frozen=True, slots=True)
class Make:
    """Have Pancake make a token; not on the wire after ``not_after``. Brings Made or NotMade."""

    not_after: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Let ``seconds`` pass, or up to twice that, so that many do not look at once. Brings Waited."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """Tell all that this token was made, and give the lease back. Brings nothing."""

    token: SecretStr


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give the lease back: nothing was made, and nothing is on its way. Brings nothing."""


@dataclass(frozen=True, slots=True)
class Good:
    """The end: a token other than the refused one."""

    token: SecretStr


@dataclass(frozen=True, slots=True)
class Parked:
    """The end: a person must do ``action``."""

    action: str


@dataclass(frozen=True, slots=True)
class Later:
    """The end, for now: ask again."""

    reason: str


Effect = ReadList | AskLease | ConfirmLease | Make | Wait | Record | GiveBack | Good | Parked | Later
End = (Good, Parked, Later)


# What came of it.


@dataclass(frozen=True, slots=True)
class Shown:
    """What the list shows for the page: a token (empty: none), or why nobody sees the page."""

    token: SecretStr
    blind: str = ""


@dataclass(frozen=True, slots=True)
class NotShown:
    """The list could not be had."""


@dataclass(frozen=True, slots=True)
class Leased:
    """What was said to the question for the lease."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The lease is ours, and a call may go out until ``send_until``; None: it is not ours any more."""

    send_until: float | None


@dataclass(frozen=True, slots=True)
class Made:
    """Pancake made a token."""

    token: SecretStr


class Failure(enum.Enum):
    """How a call for a token failed."""

    REFUSED = enum.auto()  # Pancake said no: nothing was made
    BUSY = enum.auto()  # Pancake said not now: nothing was made
    UNKNOWN = enum.auto()  # perhaps it was made


@dataclass(frozen=True, slots=True)
class NotMade:
    """There is no token to show for the call. ``action``: what a person can do, when it was refused."""

    failure: Failure
    action: str = ""


@dataclass(frozen=True, slots=True)
class Waited:
    """The seconds have passed."""


Event = Shown | NotShown | Leased | Confirmed | Made | NotMade | Waited
