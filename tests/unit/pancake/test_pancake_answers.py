"""The table of contracts/pancake.md A3: what Pancake says, and the reaction it calls for."""

import json

import pytest

from connector.errors import (
    ConnectorError,
    ParkedError,
    RateLimitedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import RETRYABLE
from connector.pancake.answers import PARKING, TOKEN_CODES, TokenRefusedError, judge

HTML = b"<html><body><h1>Sorry</h1></body></html>"


def refusal(code: object = None, message: str = "no") -> bytes:
    told = "" if code is None else f'"error_code":{code},'
    return f'{{"success":false,{told}"message":"{message}"}}'.encode()


ROWS: list[tuple[int, bytes, type[ConnectorError]]] = [
    # A token that is not good, or no longer: as HTTP 200, and as real statuses with any body.
    (200, refusal(100), TokenRefusedError),
    (200, refusal(101), TokenRefusedError),
    (200, refusal(102, "Invalid access_token"), TokenRefusedError),
    (200, refusal(105, "access_token renewed, please use new access_token"), TokenRefusedError),
    (200, refusal(106), TokenRefusedError),
    (200, refusal('"105"'), TokenRefusedError),
    (400, refusal(102), TokenRefusedError),
    (401, refusal(103), TokenRefusedError),
    (401, HTML, TokenRefusedError),
    (401, b"", TokenRefusedError),
    (403, refusal(107), TokenRefusedError),
    (403, HTML, TokenRefusedError),
    # A person must act.
    (200, refusal(103), ParkedError),
    (200, refusal(107), ParkedError),
    (200, refusal(122), ParkedError),
    (200, refusal('"122"'), ParkedError),
    # Too many calls, in both forms.
    (429, b"", RateLimitedError),
    (429, HTML, RateLimitedError),
    (200, refusal(429, "Too many requests"), RateLimitedError),
    (200, refusal('"429"'), RateLimitedError),
    (400, refusal(429), RateLimitedError),
    # A refusal in words that nobody knows.
    (200, refusal(), UnavailableError),
    (200, refusal(message="Since must be provided with until"), UnavailableError),
    (200, refusal(999), UnavailableError),
    (200, refusal("true"), UnavailableError),
    (200, refusal('"soon"'), UnavailableError),
    (200, refusal("null"), UnavailableError),
    (200, refusal("1.5"), UnavailableError),
    (200, b'{"success":"maybe"}', UnavailableError),
    (400, refusal(message="ad_ids is required"), UnavailableError),
    (404, refusal(message="Not found"), UnavailableError),
    (302, b"{}", UnavailableError),
    (501, b"{}", UnknownOutcomeError),
    # The service or a proxy in trouble, whatever the body says.
    (408, b"", UnavailableError),
    (425, b"", UnavailableError),
    (500, HTML, UnknownOutcomeError),
    (500, refusal(102), UnknownOutcomeError),
    (502, HTML, UnknownOutcomeError),
    (503, HTML, UnavailableError),
    (504, HTML, UnknownOutcomeError),
    (520, HTML, UnavailableError),
    (530, b'{"success":true}', UnavailableError),
    # Not an answer at all, though it says 200.
    (200, HTML, UnknownOutcomeError),
    (200, b"", UnknownOutcomeError),
    (200, b"null", UnknownOutcomeError),
    (200, b"[]", UnknownOutcomeError),
    (200, b'{"success":true,"conversations":[{"id":"1"', UnknownOutcomeError),
    (200, b'{"success":true} trailing', UnknownOutcomeError),
    (200, b'{"message":"\xff\xfe"}', UnknownOutcomeError),
    (200, b'{"data":' + b"[" * 100_000, UnknownOutcomeError),
]


@pytest.mark.parametrize(("status", "body", "reaction"), ROWS)
def test_each_answer_calls_for_its_reaction(status: int, body: bytes, reaction: type[ConnectorError]) -> None:
    with pytest.raises(reaction) as problem:
        judge(Answer(status, {}, body), "pancake conversations")
    assert type(problem.value) is reaction


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":true,"conversations":[]}',
        b'{"pages":[]}',
        b'{"success":null}',
        # Legal JSON that our parser refuses: a text that was cut in the middle of an emoji.
        rb'{"success":true,"conversations":[{"id":"1","snippet":"ch\u1ed1t \ud83d"}]}',
    ],
)
def test_an_answer_that_does_not_say_no_is_passed_on_as_it_came(body: bytes) -> None:
    assert judge(Answer(200, {}, body), "pancake conversations") == body


def test_every_code_and_status_of_the_tables_has_a_row() -> None:
    rows = [(status, body) for status, body, _ in ROWS]
    codes = {json.loads(body)["error_code"] for _, body in rows if body.startswith(b'{"success":false,"err')}
    assert {*TOKEN_CODES, *PARKING} <= codes
    assert RETRYABLE.keys() <= {status for status, _ in rows}


@pytest.mark.parametrize("code", PARKING)
def test_a_parked_page_says_what_a_person_must_do(code: int) -> None:
    with pytest.raises(ParkedError) as problem:
        judge(Answer(200, {}, refusal(code)), "pancake messages")
    assert problem.value.action == PARKING[code]
    assert str(code) in str(problem.value)


def test_a_refusal_in_the_body_passes_on_how_long_to_wait() -> None:
    with pytest.raises(RetryableError) as problem:
        judge(Answer(200, {"retry-after": "7"}, refusal(429)), "pancake messages")
    assert problem.value.after == 7.0


@pytest.mark.parametrize(("status", "body"), [(200, refusal(999, "Nguyễn")), (200, b'"Nguy\xe1\xbb\x85n"')])
def test_no_error_quotes_the_answer(status: int, body: bytes) -> None:
    with pytest.raises(ConnectorError) as problem:
        judge(Answer(status, {}, body), "pancake messages")
    assert "Nguy" not in str(problem.value)
