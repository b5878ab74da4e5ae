"""Whether a partition is still ours to write for: its newest claim decides, and not only the group."""

import asyncio

import structlog

from connector.clock import Clock
from connector.engine.backoff import Backoff
from connector.errors import RetryableError
from connector.leaving import unless
from connector.ports import Claims

# No group forgets a member so soon (sessions last 6 s and more), and no loop stands still so long by itself.
PAUSE_SECONDS = 3.0

log = structlog.get_logger("connector.poller")


class Guard:
    """
    Stands before every publishing of a process.

    A process that was frozen, and goes on, does not know how long it was away: its partitions may have
    another owner, who publishes. So after a pause nothing is written before the claims were looked up.
    What remains is what was on its way when the process stopped.
    """

    def __init__(self, claims: Claims, clock: Clock, backoff: Backoff) -> None:
        self._claims = claims
        self._clock = clock
        self._backoff = backoff
        self._turned, self._walled = clock.monotonic(), clock.epoch_ms()
        self._pauses = self._cleared = 0
        self._looking = asyncio.Lock()

    def turn(self) -> None:
        """Note the time: called often, so that whoever runs first after a pause notices it."""
        now, wall = self._clock.monotonic(), self._clock.epoch_ms()
        # A machine that sleeps stops the first of the two clocks.
        if max(now - self._turned, (wall - self._walled) / 1000) > PAUSE_SECONDS:
            self._pauses += 1
        self._turned, self._walled = now, wall

    async def holds(self, partition: int, leaving: asyncio.Event) -> bool:
        """Whether to write for a partition now; False too when ``leaving`` is set before that is known."""
        self.turn()
        if self._pauses != self._cleared and not await unless(leaving, self._catch_up()):
            return False
        return partition in self._claims.held()

    async def _catch_up(self) -> None:
        async with self._looking:
            tries = 0
            # A pause while we look is a pause again.
            while (pause := self._pauses) != self._cleared:
                try:
                    await self._claims.catch_up()
                except RetryableError as problem:
                    tries += 1
                    log.warning("claims not known", tries=tries, problem=str(problem))
                    await self._clock.sleep(self._backoff.wait(tries, problem))
                else:
                    self._cleared = pause
                self.turn()
