"""The table: an HTTP status → the reaction it calls for. Each API's own package adds its own words."""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime

from connector.errors import RateLimitedError, RetryableError, UnavailableError, UnknownOutcomeError

RETRYABLE: Mapping[int, type[RetryableError]] = {
    408: UnavailableError,
    425: UnavailableError,
    429: RateLimitedError,
    500: UnknownOutcomeError,
    502: UnknownOutcomeError,
    503: UnavailableError,
    504: UnknownOutcomeError,
}
LONGEST_AFTER = 300.0  # whoever means longer says so again; who does not would have stopped us for nothing


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """
    Seconds that ``Retry-After`` asks for (RFC 9110 10.2.3: seconds or a date); None without a usable one.

    What is absurd is cut to between 0 and five minutes: a header must not stop us for a year.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(float(text[:9]), LONGEST_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait, 0.0), LONGEST_AFTER)


def retryable(status: int, headers: Mapping[str, str], where: str) -> RetryableError | None:
    """The error of ours for a status that may pass later; None for every other."""
    kind = RETRYABLE.get(status)
    if kind is None and status < 520:  # noqa: PLR2004
        return None
    # 520 and above are a proxy's own words for an origin that did not answer.
    return (kind or UnavailableError)(f"{where}: HTTP {status}", after=retry_after(headers))
