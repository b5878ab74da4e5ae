"""The table: what Pancake says → the reaction it calls for. Most failures come as HTTP 200."""

from collections.abc import Mapping

from connector.errors import (
    ConnectorError,
    ParkedError,
    RateLimitedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import retry_after, retryable
from connector.pancake.wire import Envelope, decode, mend


class TokenRefusedError(ConnectorError):
    """The token of this call is not, or no longer, good: read it again, then regenerate."""


# contracts/pancake.md A3
TOKEN_CODES = frozenset({100, 101, 102, 105, 106})
PARKING: Mapping[int, str] = {
    103: "the user access token has expired: log in to Pancake and set CONNECTOR_PANCAKE__ACCESS_TOKEN",
    107: "the access token's user may not read this page: give the user the right, or leave the page out",
    122: "the page's Pancake subscription has expired: renew it, or leave the page out",
}


def judge(answer: Answer, where: str) -> bytes:
    """
    The body of an answer that says it succeeded.

    Raises:
        TokenRefusedError, ParkedError, RetryableError: by the table.
    """
    if (problem := retryable(answer.status, answer.headers, where)) is not None:
        raise problem
    if answer.status in (401, 403):
        raise TokenRefusedError(f"{where}: HTTP {answer.status}")
    # Half a surrogate pair in any text, such as a snippet cut in an emoji, is legal JSON.
    envelope = decode(mend(answer.body), Envelope, where)
    if answer.status < 300 and envelope.success in (None, True):  # noqa: PLR2004
        return answer.body
    raise _refusal(answer, envelope, where)


def _refusal(answer: Answer, envelope: Envelope, where: str) -> ConnectorError:
    code = _code(envelope.error_code)
    if code == 429:  # noqa: PLR2004
        return RateLimitedError(f"{where}: error_code 429", after=retry_after(answer.headers))
    if code in TOKEN_CODES:
        return TokenRefusedError(f"{where}: error_code {code}")
    if code is not None and code in PARKING:
        return ParkedError(f"{where}: error_code {code}", action=PARKING[code])
    # Unknown words may be a passing fault or a permanent one; waiting and asking again, ever more
    # seldom and with a line in the log, loses nothing either way.
    kind = UnavailableError if answer.status < 500 else UnknownOutcomeError  # noqa: PLR2004
    return kind(f"{where}: HTTP {answer.status}, success false, error_code {code}")


def _code(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value[:9])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
