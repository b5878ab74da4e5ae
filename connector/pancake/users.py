"""The user access tokens: which of them are good, and which pages each of them sees. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from pydantic import SecretStr

from connector.errors import RetryableError
from connector.model import Page
from connector.pancake.pagelist import ListedPage

FIRST_PROBE, LAST_PROBE = 300.0, 3600.0  # seconds between two tries of a user token that is refused
NEW_TOKEN = "log in to Pancake as an admin of the page and set CONNECTOR_PANCAKE__ACCESS_TOKEN"  # noqa: S105
NOBODY_SEES_IT = (
    "the page is in the list of no user token: give one of the users the right to it in Pancake, or set the "
    "token of an admin of the page in CONNECTOR_PANCAKE__ACCESS_TOKENS"
)

log = structlog.get_logger("connector.pancake")


@dataclass(slots=True)
class User:
    """
    One user access token, called by its ``number`` in the settings, from 1.

    ``pages``: what its list showed last. ``current``: the last reading of it came through.
    """

    number: int
    secret: SecretStr
    pages: Mapping[str, ListedPage] = field(default_factory=dict)
    current: bool = False
    problem: RetryableError | None = None
    refusals: int = 0
    probe_at: float = 0.0

    @property
    def good(self) -> bool:
        return self.refusals == 0

    def listed(self, entries: Iterable[ListedPage]) -> None:
        if not self.good:
            log.info("user token works again", user=self.number)
        self.pages = {entry.page.id: entry for entry in entries}
        self.current, self.refusals = True, 0

    def unlisted(self, problem: RetryableError) -> None:
        """The list could not be had; that says nothing of the token."""
        self.current, self.problem = False, problem

    def refused(self, problem: Exception, now: float) -> None:
        """The token is not good. Its pages are remembered: their own tokens may outlive it."""
        if self.good:
            log.warning("user token refused", user=self.number, problem=str(problem), action=NEW_TOKEN)
        self.current = False
        self.probe_at = now + min(LAST_PROBE, FIRST_PROBE * 2 ** min(self.refusals, 10))
        self.refusals += 1


class Users:
    """All of them, in the order of the settings."""

    def __init__(self, tokens: Sequence[SecretStr]) -> None:
        self.all = [User(number, token) for number, token in enumerate(tokens, 1)]

    def replace(self, tokens: Sequence[SecretStr]) -> None:
        """Take over other tokens; what is known of one that stays is kept."""
        held = {user.secret: user for user in self.all}
        if list(held) == list(tokens):
            return
        self.all = [held.get(token) or User(0, token) for token in tokens]
        for number, user in enumerate(self.all, 1):
            user.number = number
        log.info("user tokens changed", new=sum(token not in held for token in tokens), users=len(self.all))

    def due(self, now: float) -> Sequence[User]:
        """Those whose list is to be read: a refused one is tried ever more seldom."""
        return [user for user in self.all if user.good or user.probe_at <= now]

    @property
    def any_good(self) -> bool:
        return any(user.good for user in self.all)

    def pages(self) -> Mapping[str, Page]:
        """All pages that any of them has shown last; of two that show the same, the first counts."""
        found: dict[str, Page] = {}
        for user in self.all:
            for page_id, entry in user.pages.items():
                found.setdefault(page_id, entry.page)
        return found

    def seeing(self, page_id: str) -> Sequence[User]:
        """Who showed the page just now."""
        return [user for user in self.all if user.current and page_id in user.pages]

    def shown(self, page_id: str, refused: SecretStr | None) -> SecretStr:
        """The page's token: of those that are shown for it, one other than ``refused`` if there is one."""
        tokens = [user.pages[page_id].token for user in self.seeing(page_id)]
        tokens = [token for token in tokens if token.get_secret_value()]
        other = (token for token in tokens if token != refused)
        return next(other, tokens[0] if tokens else SecretStr(""))

    @property
    def silent(self) -> Sequence[User]:
        """Whose list could not be had just now, though the token may be good."""
        return [user for user in self.all if user.good and not user.current]

    @property
    def any_current(self) -> bool:
        return any(user.current for user in self.all)

    def blind(self, page_id: str) -> str:
        """What to do when nobody sees the page."""
        lost = [user.number for user in self.all if not user.good and page_id in user.pages]
        lost = lost or [user.number for user in self.all if not user.good]
        if not lost:
            return NOBODY_SEES_IT
        numbers = ", ".join(str(number) for number in lost)
        return (
            f"Pancake refuses user token {numbers}, and no other sees the page: log in as that user and set "
            "CONNECTOR_PANCAKE__ACCESS_TOKEN or …TOKENS anew"
        )
