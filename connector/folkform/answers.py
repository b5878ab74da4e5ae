"""The table: what FolkForm says → the reaction it calls for (contracts/folkform.md B2)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connector.errors import (
    ConnectorError,
    ContractError,
    RejectedError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from connector.http.client import Answer
from connector.http.reactions import retryable

TOKEN = "check CONNECTOR_FOLKFORM__TOKEN: a second login of the same account kills the first one's token"  # noqa: S105
ROLE = "check CONNECTOR_FOLKFORM__ROLE_ID, and that the role may write conversations and messages"
ROUTE = "check CONNECTOR_FOLKFORM__BASE_URL; this FolkForm may be of a generation that is not supported yet"
REJECTED: Mapping[int, str] = {
    400: "refused",
    409: "conflict",
    413: "body_too_large",
    422: "refused",
    431: "headers_too_large",
}


class Envelope(msgspec.Struct):
    """Three shapes of it are known; these fields tell them apart."""

    code: Any = None
    status: Any = None
    success: Any = None


def judge(answer: Answer, where: str) -> None:
    """
    Return when the answer says that it is done.

    Raises:
        RetryableError, RejectedError, FatalError: by the table.
    """
    envelope = _envelope(answer)
    if answer.status == 200 and envelope is not None and envelope.status == "success":  # noqa: PLR2004
        return
    raise _refusal(answer, envelope, where)


def _refusal(answer: Answer, envelope: Envelope | None, where: str) -> ConnectorError:
    status = answer.status
    code = str(envelope.code) if envelope and isinstance(envelope.code, str) else ""
    if (problem := retryable(status, answer.headers, where)) is not None:
        return problem
    if status == 401:  # noqa: PLR2004
        return UnauthorizedError(f"{where}: HTTP 401 {code}", advice=TOKEN)
    # A missing role header is an authentication fault that comes as a 400.
    if status == 403 or code.startswith("AUTH_"):  # noqa: PLR2004
        return UnauthorizedError(f"{where}: HTTP {status} {code}", advice=ROLE)
    if status in REJECTED:
        return RejectedError(REJECTED[status], f"{where}: HTTP {status} {code}", status=status)
    if status >= 300:  # noqa: PLR2004
        return ContractError(f"{where}: HTTP {status} {code}", advice=ROUTE)
    # 200 with something else inside: perhaps a proxy's page, perhaps cut short. Sending again is safe.
    return UnknownOutcomeError(f"{where}: HTTP {status}, but the answer does not say success")


def _envelope(answer: Answer) -> Envelope | None:
    try:
        return msgspec.json.decode(answer.body, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
