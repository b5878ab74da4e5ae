"""Waiting for something, unless it is time to go."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def unless(leaving: asyncio.Event, wait: Coroutine[Any, Any, Any]) -> bool:
    """
    Return True once ``wait`` has come to its end, False (and ``wait`` is cancelled) once ``leaving`` is set.

    When both happen at once the answer is True: what was obtained must not be forgotten.
    """
    if leaving.is_set():
        wait.close()
        return False
    task = asyncio.ensure_future(wait)
    gone = asyncio.ensure_future(leaving.wait())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        task.result()
        return True
    finally:
        task.cancel()
        gone.cancel()
