"""The table of contracts/folkform.md B2: what FolkForm says, and the reaction it calls for."""

import json

import pytest

from connector.errors import (
    ConnectorError,
    ContractError,
    DoubtfulError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.folkform.answers import (
    REJECTED,
    ROLE,
    TABLE,
    TOKEN,
    NoRouteError,
    RefusedTokenError,
    StrangeAnswerError,
    judge,
)
from connector.http.client import Answer
from connector.http.reactions import RETRYABLE

HTML = b"<html><body><h1>Sorry</h1></body></html>"


def refusal(code: object, details: object = None) -> bytes:
    return json.dumps({"code": code, "message": "không", "details": details, "status": "error"}).encode()


def panic(code: int) -> bytes:
    return json.dumps(
        {"success": False, "code": code, "message": "x", "error": "nil map", "time": "now"}
    ).encode()


ROWS: list[tuple[int, bytes, type[ConnectorError]]] = [
    (401, refusal("AUTH_001"), RefusedTokenError),
    (401, HTML, RefusedTokenError),
    (400, refusal("AUTH_001"), RefusedTokenError),
    (400, refusal("AUTH_002"), UnauthorizedError),
    (403, refusal("AUTH_002"), UnauthorizedError),
    # A missing role header is an authentication fault that comes as a 400.
    (400, refusal("AUTH_003"), UnauthorizedError),
    (403, refusal("AUTH_003", {"errorCode": "ROLE_CONTEXT_INVALID"}), UnauthorizedError),
    (403, HTML, UnauthorizedError),
    (400, refusal("VAL_001"), RejectedError),
    (400, refusal("VAL_002"), RejectedError),
    (400, HTML, RejectedError),
    (409, refusal("DB_002"), RejectedError),
    (413, refusal("SYS_001"), RejectedError),
    (422, refusal("VAL_002"), RejectedError),
    (431, refusal("SYS_001"), RejectedError),
    (404, refusal("DB_002"), NoRouteError),
    (404, HTML, NoRouteError),
    (405, refusal("SYS_001"), NoRouteError),
    (301, b"", ContractError),
    (501, HTML, ContractError),
    (307, HTML, ContractError),
    (418, HTML, ContractError),
    # Every shape of a 500: it may be an outage, or for ever.
    (500, refusal("DB"), DoubtfulError),
    (500, refusal("SYS_001"), DoubtfulError),
    (500, panic(500), DoubtfulError),
    (500, HTML, DoubtfulError),
    (500, b"", DoubtfulError),
    (502, HTML, UnknownOutcomeError),
    (503, refusal("DB_001"), UnavailableError),
    (503, HTML, UnavailableError),
    (504, HTML, UnknownOutcomeError),
    (521, HTML, UnavailableError),
    (408, b"", UnavailableError),
    (425, b"", UnavailableError),
    (429, refusal("BIZ_002"), RateLimitedError),
    (429, HTML, RateLimitedError),
    # 200, but nothing in it says that it is done.
    (200, HTML, StrangeAnswerError),
    (200, b"", StrangeAnswerError),
    (200, b"null", StrangeAnswerError),
    (200, refusal("DB"), StrangeAnswerError),
    (200, b'{"code":200,"status":"success","data":{', StrangeAnswerError),
    (200, panic(500), StrangeAnswerError),
    (200, b'{"data":' + b"[" * 100_000, StrangeAnswerError),
    (204, b"", StrangeAnswerError),
]


def found_code(body: bytes) -> str:
    try:
        return str(json.loads(body)["code"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


@pytest.mark.parametrize(("status", "body", "reaction"), ROWS)
def test_each_answer_calls_for_its_reaction(status: int, body: bytes, reaction: type[ConnectorError]) -> None:
    with pytest.raises(reaction) as problem:
        judge(Answer(status, {}, body), "folkform message/upsert-messages")
    assert type(problem.value) is reaction


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":200,"message":"ok","data":{"id":"1"},"status":"success"}',
        # The generation with a check for stale snapshots: skipping one is doing what was asked.
        b'{"code":200,"message":"ok","data":null,"skipped":true,"status":"success"}',
    ],
)
def test_success_is_what_says_so(body: bytes) -> None:
    done = judge(Answer(200, {}, body), "folkform conversation/upsert-one")
    assert done.skipped == (b"skipped" in body)


def test_every_status_of_the_tables_has_a_row() -> None:
    met = {(status, found_code(body)) for status, body, _ in ROWS}
    assert {*RETRYABLE, *REJECTED} <= {status for status, _ in met}
    assert set(TABLE) <= met | {(status, "") for status, _ in met}


@pytest.mark.parametrize(("status", "body", "reaction"), [row for row in ROWS if row[2] is RejectedError])
def test_a_rejection_says_the_status_and_a_word_to_group_by(
    status: int, body: bytes, reaction: type[ConnectorError]
) -> None:
    with pytest.raises(reaction) as problem:
        judge(Answer(status, {}, body), "folkform conversation/upsert-one")
    assert isinstance(problem.value, RejectedError)
    assert (problem.value.status, problem.value.reason) == (status, REJECTED[status])


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [(401, "AUTH_001", TOKEN), (403, "AUTH_002", ROLE), (400, "AUTH_003", ROLE), (403, "AUTH_003", ROLE)],
)
def test_refused_credentials_come_with_advice(status: int, code: str, advice: str) -> None:
    with pytest.raises(UnauthorizedError) as problem:
        judge(Answer(status, {}, refusal(code)), "folkform conversation/upsert-one")
    assert problem.value.advice == advice
    assert code in str(problem.value)


def test_the_limit_passes_on_how_long_to_wait() -> None:
    with pytest.raises(RetryableError) as problem:
        judge(Answer(429, {"retry-after": "42"}, refusal("BIZ_002")), "folkform conversation/upsert-one")
    assert problem.value.after == 42.0


def test_no_error_quotes_the_answer() -> None:
    for status, body, _ in ROWS:
        for given in (body, body.replace(b"VAL_00", "Nguyễn".encode())):
            with pytest.raises(ConnectorError) as problem:
                judge(Answer(status, {}, given), "folkform x")
            assert "không" not in str(problem.value)
            assert "Nguyễn" not in str(problem.value)


@pytest.mark.parametrize("status", [400, 409, 413, 422, 500])
def test_what_was_said_is_kept_for_the_dead_letter_cut_and_without_tokens(status: int) -> None:
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiI2NWEwIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1g"
    said = f"failed for s3cret and {jwt}: " + "x" * 1000
    body = json.dumps(
        {"code": "DB", "message": said, "details": {"text": "khách"}, "status": "error"}
    ).encode()
    with pytest.raises((RejectedError, DoubtfulError)) as problem:
        judge(Answer(status, {}, body), "folkform x", "s3cret")
    assert isinstance(problem.value, RejectedError | DoubtfulError)
    assert problem.value.answer.startswith("DB: failed for *** and ***: xxx")
    assert len(problem.value.answer) == 500
    assert "khách" not in problem.value.answer


@pytest.mark.parametrize("body", [HTML, b"", b"[]"])
def test_of_a_proxys_page_nothing_is_kept(body: bytes) -> None:
    with pytest.raises(DoubtfulError) as problem:
        judge(Answer(500, {"retry-after": "7"}, body), "folkform x")
    assert (problem.value.status, problem.value.answer, problem.value.after) == (500, "", 7.0)
