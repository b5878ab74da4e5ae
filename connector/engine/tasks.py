"""Many tasks beside a loop, none of which the loop has to look at."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Remembers the first failure of any of its tasks; a cancelled one has not failed."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    @property
    def idle(self) -> bool:
        """Whether all of them have ended."""
        return not self._running

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def raise_failure(self) -> None:
        """Raise what the first of them raised, if any did; once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def cancel(self) -> None:
        """End all of them."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._failure = self._failure or task.exception()
