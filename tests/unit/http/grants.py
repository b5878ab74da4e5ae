"""A budget that grants at once and remembers what it was asked."""

import asyncio
from collections.abc import Mapping

from connector.model import Scope, ScopeUse
from connector.ports import Priority


class Grants:
    """A RateBudget for tests; ``closed`` set to an unset event makes every caller wait for it."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Priority]] = []
        self.told: list[tuple[str, float | None]] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def acquire(self, scope: Scope, priority: Priority = Priority.LIVE) -> None:
        await self.opened.wait()
        self.given.append((scope.name, priority))

    async def refused(self, scope: Scope, after: float | None) -> None:
        self.told.append((scope.name, after))

    def snapshot(self) -> Mapping[str, ScopeUse]:
        return {}

    async def close(self) -> None:
        return
