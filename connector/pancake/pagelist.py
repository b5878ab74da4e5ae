"""``GET /v1/pages``: the pages that a user may read, and the token that the list shows for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from pydantic import SecretStr

from connector.errors import UnknownOutcomeError
from connector.model import Page
from connector.pancake.wire import PageList, decode, mend, text_id

log = structlog.get_logger("connector.pancake")


class PageFacts(msgspec.Struct):
    """The fields of a page that we act on, of whatever type they come."""

    id: Any = None
    username: Any = None
    name: Any = None
    platform: Any = None
    settings: Any = None


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page and the token that the list shows for it (empty: none)."""

    page: Page
    token: SecretStr


def parse_pages(body: bytes) -> Sequence[ListedPage]:
    """
    The activated pages of an answer, in either of the two shapes that are known (contracts A4).

    Raises:
        UnknownOutcomeError: it has neither shape; that is not a list without pages.
    """
    listing = decode(mend(body), PageList, "pancake pages")
    raws = listing.pages
    if raws is None and listing.categorized is not None:
        raws = listing.categorized.activated
    if raws is None:
        raise UnknownOutcomeError("pancake pages: the answer has no list of pages")
    found = (_parse_page(bytes(raw)) for raw in raws)
    return [entry for entry in found if entry is not None]


def _parse_page(raw: bytes) -> ListedPage | None:
    facts = decode(raw, PageFacts, "pancake pages")
    page_id = text_id(facts.id)
    if not page_id:
        log.warning("a page without an id is left out")
        return None
    settings = facts.settings if isinstance(facts.settings, dict) else {}
    token = settings.get("page_access_token")
    page = Page(
        page_id,
        # FolkForm refuses an empty user name, and a page need not have one: its id stands in.
        _text(facts.username) or page_id,
        _text(facts.name),
        _text(facts.platform),
    )
    return ListedPage(page, SecretStr(token if isinstance(token, str) else ""))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
