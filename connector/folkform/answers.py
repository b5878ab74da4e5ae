"""The table: what FolkForm says → the reaction it calls for (contracts/folkform.md B2 and B12)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.errors import (
    ConnectorError,
    ContractError,
    DoubtfulError,
    RejectedError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import retry_after, retryable

OK = 200
TOKEN = "check CONNECTOR_FOLKFORM__TOKEN: a second login of the same account kills the first one's token"  # noqa: S105
ROLE = "check CONNECTOR_FOLKFORM__ROLE_ID, and that the role may write conversations and messages"
ROUTE = (
    "check CONNECTOR_FOLKFORM__BASE_URL and CONNECTOR_FOLKFORM__DIALECT; this FolkForm may be of a "
    "generation that is not supported yet"
)
LONGEST_QUOTE = 500
REJECTED: Mapping[int, str] = {
    400: "refused",
    409: "conflict",
    413: "body_too_large",
    422: "refused",
    431: "headers_too_large",
}
_JWT = re.compile(r"[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")


class RefusedTokenError(UnauthorizedError):
    """The token is not good, or no longer: perhaps there is a newer one."""


class NoRouteError(ContractError):
    """There is no such route here: another generation, or another server altogether."""


class StrangeAnswerError(UnknownOutcomeError):
    """HTTP says that it is done, but it is not FolkForm who says so: a proxy's page, an answer cut short."""


class Envelope(msgspec.Struct):
    """Three shapes of it are known; these fields tell them apart."""

    code: Any = None
    message: Any = None
    status: Any = None
    success: Any = None
    skipped: Any = None
    data: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def word(self) -> str:
        """The code where it is one of FolkForm's words: a panic's is a number."""
        return self.code if isinstance(self.code, str) else ""


@dataclass(frozen=True, slots=True)
class Done:
    """It is done. ``skipped``: FolkForm holds the same moment of it, or a newer one, and kept that."""

    skipped: bool
    data: msgspec.Raw


Reaction = Callable[[str, int, str], ConnectorError]
"""From a sentence, the status and what was said, to an error."""


def _unauthorized(advice: str) -> Reaction:
    return lambda sentence, _status, _said: UnauthorizedError(sentence, advice=advice)


def _rejected(reason: str) -> Reaction:
    return lambda sentence, status, said: RejectedError(reason, sentence, status=status, answer=said)


def _no_token(sentence: str, _status: int, _said: str) -> ConnectorError:
    return RefusedTokenError(sentence, advice=TOKEN)


def _no_route(sentence: str, _status: int, _said: str) -> ConnectorError:
    return NoRouteError(sentence, advice=ROUTE)


def _contract(sentence: str, _status: int, _said: str) -> ConnectorError:
    return ContractError(sentence, advice=ROUTE)


TABLE: Mapping[tuple[int, str], Reaction] = {
    (401, ""): _no_token,
    (403, ""): _unauthorized(ROLE),
    # The role header missing, or the user blocked, whatever the status says.
    (400, "AUTH_001"): _no_token,
    (400, "AUTH_002"): _unauthorized(ROLE),
    (400, "AUTH_003"): _unauthorized(ROLE),
    (404, ""): _no_route,
    (405, ""): _no_route,
    **{(status, ""): _rejected(reason) for status, reason in REJECTED.items()},
}
"""By status and code, or by status alone; what no row names is retried or not understood."""


def judge(answer: Answer, where: str, secret: str = "") -> Done:
    """
    What was done, when the answer says that it is. ``secret`` is what no quotation may hold.

    Raises:
        RetryableError, RejectedError, FatalError: by the table.
    """
    envelope = _envelope(answer)
    if answer.status == OK and envelope is not None and envelope.status == "success":
        return Done(envelope.skipped is True, envelope.data)
    envelope = envelope or Envelope()
    raise _refusal(answer, envelope, where, quoted(envelope, secret))


def quoted(envelope: Envelope, secret: str = "") -> str:
    """Code and message, cut, without the secret or anything else that looks like a token."""
    text = f"{envelope.code}: {envelope.message}" if envelope.code is not None else ""
    return _JWT.sub("***", text.replace(secret, "***") if secret else text)[:LONGEST_QUOTE]


def _refusal(answer: Answer, envelope: Envelope, where: str, said: str) -> ConnectorError:
    status, word = answer.status, envelope.word
    # The word comes from outside, and an error's text may be logged: only what looks like a code is shown.
    shown = word if re.fullmatch(r"[A-Z]{2,5}(_\d{3})?", word) else ""
    sentence = f"{where}: HTTP {status} {shown}".rstrip()
    if status == 500:  # noqa: PLR2004
        # One element that the database cannot take does this for ever, and so does an outage while it lasts.
        return DoubtfulError(sentence, status=status, answer=said, after=retry_after(answer.headers))
    if (problem := retryable(status, answer.headers, where)) is not None:
        return problem
    reaction = TABLE.get((status, word)) or TABLE.get((status, ""))
    if reaction is not None:
        return reaction(sentence, status, said)
    if status < 300:  # noqa: PLR2004
        return StrangeAnswerError(f"{where}: HTTP {status}, but the answer does not say success")
    return _contract(sentence, status, said)


def _envelope(answer: Answer) -> Envelope | None:
    try:
        return msgspec.json.decode(answer.body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
