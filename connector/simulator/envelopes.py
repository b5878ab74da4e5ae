"""The three shapes in which FolkForm answers (B2, reality 59)."""

from collections.abc import Mapping

import msgspec

from connector.simulator.replies import Reply

SUCCESS = '{"code":200,"message":"Thao tác thành công","data":'.encode()
FIBER_CODES = {404: "DB_002", 401: "AUTH_001", 403: "AUTH_003", 400: "VAL_001", 409: "DB_002"}


class Failure(Exception):  # noqa: N818
    """An answer of the backend's own error type."""

    def __init__(self, status: int, code: str, message: str, details: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details


def success(data: bytes) -> Reply:
    return Reply(200, SUCCESS + data + b',"status":"success"}')


def skipped() -> Reply:
    """What a check for stale snapshots says (reality 42)."""
    body = {"code": 200, "message": "Bỏ qua (dữ liệu không thay đổi)", "data": None, "skipped": True}
    return Reply(200, msgspec.json.encode(body | {"status": "success"}))


def failure(error: Failure) -> Reply:
    body = {"code": error.code, "message": str(error), "details": error.details, "status": "error"}
    if error.code in ("DB", "SYS_001"):
        # Raw errors of the driver, and what the framework makes of an error it does not know, have none.
        del body["details"]
    return Reply(error.status, msgspec.json.encode(body))


def fiber(
    status: int, message: str, *, close: bool = False, headers: Mapping[str, str] | None = None
) -> Reply:
    """What the HTTP framework itself answers: anything it has no code for is SYS_001."""
    body = {"code": FIBER_CODES.get(status, "SYS_001"), "message": message, "status": "error"}
    return Reply(status, msgspec.json.encode(body), headers=headers or {}, close=close)
