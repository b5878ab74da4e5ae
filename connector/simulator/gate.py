"""Who may come in, and how often: FolkForm's sessions, roles and rate limit (B1, B3)."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from connector.clock import Clock
from connector.simulator.envelopes import Failure
from connector.simulator.generations import generation
from connector.simulator.options import FolkFormOptions
from connector.simulator.replies import Reply

_ROLE = re.compile(r"[0-9a-fA-F]{24}")
TOO_MANY = "Quá nhiều yêu cầu, vui lòng thử lại sau"
WITHOUT_TOKEN = ("auth/login/firebase",)
WITHOUT_ROLE = ("auth/login/firebase", "auth/roles")


class Gate:
    """Sessions and the one role of the simulated account."""

    def __init__(self, options: FolkFormOptions) -> None:
        self._options = options
        self._logins = 0
        self._extra: set[str] = set()
        self._ended: set[str] = set()

    def login(self) -> str:
        """A new session; in generation 1 it ends every other (reality 52)."""
        self._logins += 1
        token = f"sim-session-{self._logins}"
        if self._options.single_session and generation(self._options).one_session:
            self._ended |= self._extra | {self._options.token}
            self._extra.clear()
        self._extra.add(token)
        return token

    def check(self, route: str, headers: Mapping[str, str]) -> None:
        """
        Let a call pass.

        Raises:
            Failure: as the backend refuses it.
        """
        if route not in WITHOUT_TOKEN:
            self._session(headers.get("Authorization", ""))
        if route not in WITHOUT_ROLE:
            self._role(headers.get("X-Active-Role-ID", ""))

    def role(self) -> dict[str, object]:
        return {
            "roleId": self._options.role_id,
            "roleName": "Administrator",
            "ownerOrganizationId": self._options.organization_id,
            "organizationName": "Simulated",
            "organizationCode": "SIM",
            "organizationType": "system",
            "organizationLevel": 0,
        }

    def _session(self, header: str) -> None:
        if not header:
            raise Failure(401, "AUTH_001", "Thiếu token xác thực")
        token = header.removeprefix("Bearer ")
        known = token == self._options.token or token in self._extra
        if not known or token in self._ended:
            raise Failure(401, "AUTH_001", "Token không hợp lệ")

    def _role(self, given: str) -> None:
        if not given:
            # Reality 52: an authorization problem with status 400.
            raise Failure(400, "AUTH_003", "Thiếu X-Active-Role-ID")
        if not _ROLE.fullmatch(given):
            raise Failure(400, "VAL_002", "X-Active-Role-ID không hợp lệ")
        if given != self._options.role_id:
            details = {
                "invalidRoleId": given,
                "validRoleIds": [self._options.role_id],
                "errorCode": "ROLE_CONTEXT_INVALID",
            }
            raise Failure(403, "AUTH_003", "Không có quyền", details)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the limiter says of one call."""

    refused: bool
    limit: int = 0
    remaining: int = 0
    reset: int = 0

    def refusal(self) -> Reply:
        body = {"code": "BIZ_002", "message": TOO_MANY, "status": "error"}
        return Reply(429, msgspec.json.encode(body), headers={"Retry-After": str(self.reset)})

    def noted(self, reply: Reply) -> Reply:
        if not self.limit:
            return reply
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }
        return replace(reply, headers={**reply.headers, **told})


class Limiter:
    """A fixed window for each client address, opened by its first call; every call counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}

    def arrive(self, client: str, rate: tuple[int, float] | None) -> Verdict:
        if rate is None:
            return Verdict(refused=False)
        limit, seconds = rate
        now = self._clock.monotonic()
        ends, used = self._windows.get(client, (now + seconds, 0))
        if now >= ends:
            ends, used = now + seconds, 0
        self._windows[client] = (ends, used + 1)
        reset = max(1, math.ceil(ends - now))
        return Verdict(used + 1 > limit, limit, max(0, limit - used - 1), reset)
