"""A budget that grants at once and remembers what it was asked."""

import asyncio
from collections.abc import Mapping

from connector.model import LimitsHeard, Scope, ScopeUse
from connector.ports import Priority


class Grants:
    """A RateBudget for tests; ``closed`` set to an unset event makes every caller wait for it."""

    def __init__(self) -> None:
        self.given: list[tuple[str, Priority]] = []
        self.told: list[tuple[str, float | None]] = []
        self.limits: list[tuple[str, LimitsHeard]] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def acquire(self, scope: Scope, priority: Priority = Priority.LIVE) -> None:
        await self.opened.wait()
        self.given.append((scope.name, priority))

    async def refused(self, scope: Scope, after: float | None, age: float = 0.0) -> None:
        assert age >= 0.0
        self.told.append((scope.name, after))

    async def heard(self, scope: Scope, limits: LimitsHeard) -> None:
        self.limits.append((scope.name, limits))

    def snapshot(self) -> Mapping[str, ScopeUse]:
        return {}

    async def close(self) -> None:
        return
