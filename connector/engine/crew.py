"""The pollers of a process, one for each page it reads, and their tasks."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic

from connector.clock import Deadline
from connector.engine.guard import Guard
from connector.engine.poller import PagePoller, PollerTools
from connector.engine.tasks import Tasks
from connector.model import CursorRecord, Page
from connector.ports import PageReader, Step


class Crew(Generic[Step]):
    """Starts and ends pollers; ``pollers`` are those that read now, by their page's id."""

    def __init__(
        self,
        tools: PollerTools,
        guard: Guard,
        open_page: Callable[[Page, Sequence[CursorRecord]], PageReader[Step]],
    ) -> None:
        self.pollers: dict[str, PagePoller[Step]] = {}
        self._tools = tools
        self._guard = guard
        self._open = open_page
        self._reading = Tasks()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def idle(self) -> bool:
        """Whether every poller has come to its end."""
        return self._reading.idle

    def start(self, page: Page, partition: int, records: Sequence[CursorRecord], *, once: bool) -> None:
        """Read a page from where its cursors say."""
        reader = self._open(page, records)
        poller = PagePoller(page.id, reader, self._tools, partial(self._guard.holds, partition))
        self.pollers[page.id] = poller
        self._tasks[page.id] = self._reading.start(poller.run(once=once), f"page {page.id}")

    async def stop(self, page_ids: Sequence[str], deadline: Deadline) -> None:
        """End some of them: what is on the wire comes home until the deadline."""
        await asyncio.gather(*(self.pollers[page_id].drain(deadline) for page_id in page_ids))
        # A page may leave the list while its partition is handed over: whoever comes first ends it.
        tasks = [self._tasks.pop(page_id) for page_id in page_ids if page_id in self._tasks]
        for task in tasks:
            task.cancel()
        for page_id in page_ids:
            self.pollers.pop(page_id, None)
        await asyncio.gather(*tasks, return_exceptions=True)

    def left_out(self) -> int:
        """Parked pages, and known gaps of the others."""
        return sum((poller.parked is not None) + poller.reader.holes for poller in self.pollers.values())

    def raise_failure(self) -> None:
        """Raise what a poller ended with, if one did."""
        self._reading.raise_failure()
