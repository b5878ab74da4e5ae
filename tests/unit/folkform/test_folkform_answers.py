"""The table of contracts/folkform.md B2: what FolkForm says, and the reaction it calls for."""

import json

import pytest

from connector.errors import (
    ConnectorError,
    ContractError,
    RateLimitedError,
    RejectedError,
    RetryableError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.folkform.answers import REJECTED, ROLE, TOKEN, judge
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
    (401, refusal("AUTH_001"), UnauthorizedError),
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
    (404, refusal("DB_002"), ContractError),
    (405, refusal("SYS_001"), ContractError),
    (301, b"", ContractError),
    (501, HTML, ContractError),
    # Three shapes of a 500. It may be permanent, but an outage says the same: repeated for now.
    (500, refusal("DB"), UnknownOutcomeError),
    (500, refusal("SYS_001"), UnknownOutcomeError),
    (500, panic(500), UnknownOutcomeError),
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
    (200, HTML, UnknownOutcomeError),
    (200, b"", UnknownOutcomeError),
    (200, b"null", UnknownOutcomeError),
    (200, refusal("DB"), UnknownOutcomeError),
    (200, b'{"code":200,"status":"success","data":{', UnknownOutcomeError),
    (200, panic(500), UnknownOutcomeError),
    (200, b'{"data":' + b"[" * 100_000, UnknownOutcomeError),
    (204, b"", UnknownOutcomeError),
]


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
    judge(Answer(200, {}, body), "folkform conversation/upsert-one")


def test_every_status_of_the_tables_has_a_row() -> None:
    assert {*RETRYABLE, *REJECTED} <= {status for status, _, _ in ROWS}


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
        with pytest.raises(ConnectorError) as problem:
            judge(Answer(status, {}, body.replace(b"VAL_00", "Nguyễn".encode())), "folkform x")
        assert "không" not in str(problem.value)
