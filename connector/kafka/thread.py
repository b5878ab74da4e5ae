"""One thread that owns one client."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class ClientThread:
    """
    Runs calls one after the other on its own thread.

    A daemon, unlike an executor's threads: a client that hangs in ``close`` while its brokers are
    sick must not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returned on the thread. Cancelling the wait does not stop the call."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """Let the thread end after the calls already given."""
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            # Whatever it is, it belongs to the one who waits.
            except BaseException as problem:  # noqa: BLE001
                future.set_exception(problem)
