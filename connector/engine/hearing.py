"""Hints that a page has changed: to its poller if it is here, else by way of the topic of pages."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from connector.codec import hinted_page
from connector.engine.poller import PagePoller
from connector.engine.tasks import Tasks
from connector.errors import RetryableError
from connector.model import Record
from connector.ports import Notices

log = structlog.get_logger("connector.poller")


class Hearing:
    """
    The Hints port of a process that reads some of the pages.

    A hint that is lost costs nothing but time: the page is looked at anyway.
    """

    def __init__(
        self,
        pollers: Mapping[str, PagePoller[Any]],
        known: Callable[[], Collection[str]],
        notices: Notices,
        tasks: Tasks,
    ) -> None:
        """``known``: the pages of the source; ``tasks``: where what is passed on runs."""
        self._pollers = pollers
        self._known = known
        self._notices = notices
        self._tasks = tasks

    def knows(self, page_id: str) -> bool:
        return page_id in self._known()

    def hint(self, page_id: str) -> None:
        if not self._tell(page_id):
            self._tasks.start(self._pass_on(page_id), f"hint for page {page_id}")

    def hear(self, records: Sequence[Record]) -> None:
        """Take hints out of the records of the topic of pages; the others are not for us."""
        for page_id in {hinted_page(record.key) for record in records} - {None}:
            self._tell(page_id)

    def _tell(self, page_id: str | None) -> bool:
        poller = self._pollers.get(page_id or "")
        if poller is not None:
            poller.hint()
        return poller is not None

    async def _pass_on(self, page_id: str) -> None:
        try:
            await self._notices.hint(page_id)
        except RetryableError as problem:
            log.warning("hint lost", page=page_id, problem=str(problem))
