"""The table of contracts/pancake.md A3: what Pancake says, and the reaction it calls for."""

import json

import pytest

from connector.errors import (
    ConnectorError,
    ParkedError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import RETRYABLE
from connector.pancake.answers import (
    PARKING,
    SAID_OF_A_CONVERSATION,
    SAID_WITHOUT_CODE,
    TOKEN_CODES,
    TOKEN_STATUSES,
    Remedy,
    TokenRefusedError,
    judge,
)

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
    (200, b'{"error_code":105}', TokenRefusedError),
    (200, refusal(103), TokenRefusedError),
    (401, refusal(103), TokenRefusedError),
    (401, HTML, TokenRefusedError),
    (401, b"", TokenRefusedError),
    (401, b'{"success":true}', TokenRefusedError),
    (403, HTML, TokenRefusedError),
    (403, refusal(999), TokenRefusedError),
    # The same in words alone.
    (200, refusal(message="Invalid access_token"), TokenRefusedError),
    (200, refusal(message="ACCESS_TOKEN renewed, please use new access_token"), TokenRefusedError),
    (200, refusal(message="User access token is expired"), TokenRefusedError),
    (200, refusal(message="Permission denied"), ParkedError),
    (200, refusal(0, "Page subscription is expired"), ParkedError),
    (200, refusal(message="Too many requests"), RateLimitedError),
    # A person must act.
    (200, refusal(107), ParkedError),
    (403, refusal(107), ParkedError),
    (403, refusal(122), ParkedError),
    (200, refusal(122), ParkedError),
    (200, refusal('"122"'), ParkedError),
    # Too many calls, in both forms.
    (429, b"", RateLimitedError),
    (429, HTML, RateLimitedError),
    (200, refusal(429, "Too many requests"), RateLimitedError),
    (200, refusal('"429"'), RateLimitedError),
    (400, refusal(429), RateLimitedError),
    # We asked wrongly, and always shall.
    (200, refusal(message="Since must be provided with until"), ParkedError),
    (400, refusal(message="since must be provided with until"), ParkedError),
    # A refusal in words that nobody knows, or that are known of another call.
    (200, refusal(), UnavailableError),
    (200, refusal(message="Conversation not found"), UnavailableError),
    (200, refusal(message="customer_id is required"), UnavailableError),
    (200, b'{"success":false,"message":["Invalid access_token"]}', UnavailableError),
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


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("customer_id is required", "customer_id_required"),
        ("Param customer_id is required!", "customer_id_required"),
        ("Conversation not found", "conversation_gone"),
        ("conversation not found.", "conversation_gone"),
    ],
)
@pytest.mark.parametrize("code", [None, 999, 404])
@pytest.mark.parametrize("status", [200, 400, 404])
def test_what_ails_one_conversation_is_told_by_its_name(
    said: str, reason: str, code: object, status: int
) -> None:
    with pytest.raises(RejectedError) as problem:
        judge(Answer(status, {}, refusal(code, said)), "pancake messages")
    assert problem.value.reason == reason


def test_a_code_that_is_known_counts_more_than_words() -> None:
    with pytest.raises(TokenRefusedError):
        judge(Answer(200, {}, refusal(105, "Conversation not found")), "pancake messages")


@pytest.mark.parametrize(("status", "code"), [(200, 100), (200, 101), (200, 103), (403, None)])
def test_nobody_elses_token_is_ended_for_a_refusal_that_may_mean_anything(status: int, code: object) -> None:
    with pytest.raises(TokenRefusedError) as problem:
        judge(Answer(status, {}, refusal(code)), "pancake messages")
    assert problem.value.remedy is Remedy.REREAD


@pytest.mark.parametrize("row", [*TOKEN_CODES.values(), *TOKEN_STATUSES.values()])
def test_every_refused_token_says_what_to_do_when_nothing_helps(row: tuple[Remedy, str]) -> None:
    assert len(row[1].split()) > 5


@pytest.mark.parametrize("words", [*SAID_WITHOUT_CODE, *SAID_OF_A_CONVERSATION])
def test_words_are_kept_in_the_case_in_which_they_are_sought(words: str) -> None:
    assert words == words.casefold()


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
