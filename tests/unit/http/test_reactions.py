"""What a status and a Retry-After header call for, whoever sent them."""

from datetime import UTC, datetime

import pytest

from connector.http.reactions import LONGEST_AFTER, RETRYABLE, retry_after, retryable

NOW = datetime(2026, 3, 3, 4, 3, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("120", 120.0),
        ("86400", LONGEST_AFTER),
        ("9" * 400, LONGEST_AFTER),
        ("Tue, 03 Mar 2026 04:03:52 GMT", 30.0),
        ("Tuesday, 03-Mar-26 04:03:52 GMT", 30.0),
        ("Tue, 03 Mar 2026 11:03:52 +0700", 30.0),
        ("Tue, 03 Mar 2026 04:03:52", 30.0),
        ("Tue, 03 Mar 2026 04:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_AFTER),
        ("Sat, 01 Jan 0001 00:00:00 GMT", 0.0),
    ],
)
def test_a_header_that_can_be_read_is_followed_within_reason(header: str, seconds: float) -> None:
    assert retry_after({"retry-after": header}, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    ["", " ", "soon", "-5", "1.5", "²", "1e3", "0x10", "Tue, 99 Mar 2026 04:03:52 GMT", "2026-03-03", "\x00"],
)
def test_a_header_that_means_nothing_is_none(header: str) -> None:
    assert retry_after({"retry-after": header}, NOW) is None


def test_no_header_is_none() -> None:
    assert retry_after({}) is None


def test_a_date_is_measured_by_the_clock_of_this_machine() -> None:
    assert retry_after({"retry-after": "Tue, 03 Mar 2020 04:03:52 GMT"}) == 0.0


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 409, 413, 431, 501, 505])
def test_what_would_say_the_same_again_is_not_repeated(status: int) -> None:
    assert retryable(status, {}, "x") is None


@pytest.mark.parametrize("status", [*RETRYABLE, 520, 522, 599])
def test_what_may_pass_later_says_where_and_when(status: int) -> None:
    problem = retryable(status, {"retry-after": "3"}, "pancake pages")
    assert problem is not None
    assert problem.after == 3.0
    assert str(problem) == f"pancake pages: HTTP {status}"
