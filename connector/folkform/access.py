"""Who we are to FolkForm: one role, and a token that may be exchanged while we run."""

import re
from collections.abc import Callable, Mapping

import structlog
from pydantic import SecretStr

from connector.errors import ConfigError
from connector.settings import FolkFormSettings, folkform_token

log = structlog.get_logger("connector.folkform")
_ROLE = re.compile(r"[0-9a-fA-F]{24}")


class Access:
    """The token to send, and the header that names the role."""

    def __init__(self, settings: FolkFormSettings, reread: Callable[[], SecretStr] | None = None) -> None:
        """
        ``reread``: the token as its file holds it now.

        Raises:
            ConfigError: the credentials cannot be right.
        """
        if not settings.token.get_secret_value():
            raise ConfigError(
                "CONNECTOR_FOLKFORM__TOKEN is missing",
                advice="set it, or give a file in CONNECTOR_FOLKFORM__TOKEN_FILE",
            )
        if not _ROLE.fullmatch(settings.role_id):
            raise ConfigError(
                "CONNECTOR_FOLKFORM__ROLE_ID must be 24 hexadecimal digits",
                advice="GET /v1/auth/roles of FolkForm lists the roleId of each role",
            )
        self.token = settings.token
        self.headers: Mapping[str, str] = {"X-Active-Role-ID": settings.role_id}
        self._reread = reread or (lambda: folkform_token(settings))

    def renewed(self, refused: SecretStr) -> bool:
        """
        Whether there is another token than the one just refused: many calls may meet the refusal at once.

        Raises:
            ConfigError: the token's file cannot be read.
        """
        if self.token == refused:
            self.token = self._reread()
            if self.token != refused:
                log.warning("token read again")
        return self.token != refused
