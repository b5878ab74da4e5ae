"""The table: what Pancake says → the reaction it calls for. Most failures come as HTTP 200."""

import enum
from collections.abc import Mapping

from connector.errors import (
    ConnectorError,
    ParkedError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import retry_after, retryable
from connector.pancake.wire import Envelope, decode, mend

MESSAGES = "pancake messages"
TOO_MANY = 429
USER_EXPIRED = "the user access token has expired: log in to Pancake and set CONNECTOR_PANCAKE__ACCESS_TOKEN"
REPORT = "report this with the log line: Pancake refuses a call in a way that the connector does not know"


class Remedy(enum.Enum):
    """How far custody may go for a page whose token is refused."""

    REREAD = "reread"
    """Read the list again; when that does not help, a person must look."""
    REGENERATE = "regenerate"
    """Read the list again; when that does not help, make a new token."""


class TokenRefusedError(ConnectorError):
    """The token of this call is not, or no longer, good. ``action``: for when the remedy did not help."""

    def __init__(self, message: str, remedy: Remedy, action: str) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.action = action


NEW_PAGE_TOKEN = "log in to Pancake as an admin of the page and set CONNECTOR_PANCAKE__ACCESS_TOKEN"  # noqa: S105
FORBIDDEN = "look at the page in Pancake: its right, its subscription, its token; or a proxy refuses us"

# contracts/pancake.md A3. What 100 and 101 mean nobody knows, and a page's call has no user token that
# 103 could speak of: nobody else's token is ended for them.
TOKEN_CODES: Mapping[int, tuple[Remedy, str]] = {
    100: (Remedy.REREAD, REPORT),
    101: (Remedy.REREAD, REPORT),
    102: (Remedy.REGENERATE, NEW_PAGE_TOKEN),
    103: (Remedy.REREAD, USER_EXPIRED),
    105: (Remedy.REGENERATE, NEW_PAGE_TOKEN),
    106: (Remedy.REGENERATE, NEW_PAGE_TOKEN),
}
TOKEN_STATUSES: Mapping[int, tuple[Remedy, str]] = {
    401: (Remedy.REGENERATE, NEW_PAGE_TOKEN),
    # 107 and 122 come as 403 too, and then perhaps in HTML: a new token would help neither.
    403: (Remedy.REREAD, FORBIDDEN),
}
PARKING: Mapping[int, str] = {
    107: "the access token's user may not read this page: give the user the right, or leave the page out",
    122: "the page's Pancake subscription has expired: renew it, or leave the page out",
}
KNOWN = {*TOKEN_CODES, *PARKING, TOO_MANY}

# Words of answers without an error_code, or with one that has no row above: in lower case, and only
# those that are too plain to mean anything else.
SAID_WITHOUT_CODE: Mapping[str, int] = {
    "access_token renewed": 105,
    "invalid access_token": 102,
    "access token expired": 103,
    "access token is expired": 103,
    "permission denied": 107,
    "subscription expired": 122,
    "subscription is expired": 122,
    "too many requests": TOO_MANY,
}
SAID_OF_A_CONVERSATION: Mapping[str, str] = {
    "customer_id is required": "customer_id_required",
    "conversation not found": "conversation_gone",
}
SAID_FOR_EVER = ("since must be provided with until",)


def judge(answer: Answer, where: str) -> bytes:
    """
    The body of an answer that says it succeeded.

    Raises:
        RetryableError: the same call may pass later; so is every refusal that has no row.
        TokenRefusedError: the call's token is not good.
        ParkedError: a person must do something about the page.
        RejectedError: the conversation asked for is gone (``conversation_gone``), or its messages are
            not to be had without a customer (``customer_id_required``).
    """
    if (problem := retryable(answer.status, answer.headers, where)) is not None:
        raise problem
    envelope = _envelope(answer, where)
    if answer.status < 300 and _succeeded(envelope):  # noqa: PLR2004
        return answer.body
    raise _refusal(answer, envelope, where)


def _succeeded(envelope: Envelope) -> bool:
    said = envelope.success
    return said is True or (said is None and _code(envelope.error_code) not in KNOWN)


def _envelope(answer: Answer, where: str) -> Envelope:
    try:
        # Half a surrogate pair in any text, such as a snippet cut in an emoji, is legal JSON.
        return decode(mend(answer.body), Envelope, where)
    except UnknownOutcomeError:
        if answer.status in TOKEN_STATUSES:
            return Envelope()
        raise


def _refusal(answer: Answer, envelope: Envelope, where: str) -> ConnectorError:
    said = envelope.message.casefold() if isinstance(envelope.message, str) else ""
    code = _code(envelope.error_code)
    told = f"{where}: HTTP {answer.status}, error_code {code}"
    if code not in KNOWN:
        if (named := _named(said, where, told, answer.status)) is not None:
            return named
        code = next((row for words, row in SAID_WITHOUT_CODE.items() if words in said), None)
    if code == TOO_MANY:
        return RateLimitedError(told, after=retry_after(answer.headers))
    if code is not None and code in PARKING:
        return ParkedError(told, action=PARKING[code])
    if (row := TOKEN_CODES.get(code or 0) or TOKEN_STATUSES.get(answer.status)) is not None:
        return TokenRefusedError(told, *row)
    # Unknown words may be a passing fault or a permanent one; waiting and asking again, ever more
    # seldom and with a line in the log, loses nothing either way.
    return (UnavailableError if answer.status < 500 else UnknownOutcomeError)(told)  # noqa: PLR2004


def _named(said: str, where: str, told: str, status: int) -> ConnectorError | None:
    if any(words in said for words in SAID_FOR_EVER):
        return ParkedError(told, action=REPORT)
    if where != MESSAGES:
        return None
    reason = next((reason for words, reason in SAID_OF_A_CONVERSATION.items() if words in said), None)
    return RejectedError(reason, told, status=status) if reason else None


def _code(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
