"""A clock that stands still until it is turned."""

import asyncio
import heapq
import itertools


class FakeClock:
    """
    Time moves by ``advance`` only, or, with ``auto``, to the next sleeper when nothing else can run.

    "Nothing else can run" means that the event loop has no ready callback. A task that waits for a
    thread or a socket does not count as running, so ``auto`` is for code that waits for this clock
    alone. Work between two awaits takes no time.
    """

    def __init__(self, *, auto: bool = False, now: float = 1000.0, epoch_ms: int = 1_700_000_000_000) -> None:
        self._now = self._start = now
        self._epoch_ms = epoch_ms
        self._auto = auto
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._watching = False

    def monotonic(self) -> float:
        return self._now

    def epoch_ms(self) -> int:
        return self._epoch_ms + round((self._now - self._start) * 1000)

    @property
    def sleepers(self) -> int:
        """How many wait for this clock."""
        return sum(not waiting.done() for _, _, waiting in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), waiting))
        self._watch()
        await waiting

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass: wake each sleeper at its moment, and let everything run that then can."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake_next()
            await settle()
        self._now = max(self._now, end)

    def jump(self, seconds: float) -> None:
        """Let ``seconds`` pass in which nobody runs."""
        self._now += seconds

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: only the clock that people agree on goes on."""
        self._epoch_ms += round(seconds * 1000)

    def _wake_next(self) -> None:
        moment, _, waiting = heapq.heappop(self._sleepers)
        if not waiting.done():
            self._now = max(self._now, moment)
            waiting.set_result(None)

    def _watch(self) -> None:
        if self._auto and not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_soon(self._when_idle)

    def _when_idle(self) -> None:
        self._watching = False
        if idle() and self._sleepers:
            self._wake_next()
        if self._sleepers:
            self._watch()


def idle() -> bool:
    """Whether the running loop has nothing to do but what asked; there is no public way to know."""
    ready = vars(asyncio.get_running_loop()).get("_ready", ())
    return not ready


async def settle() -> None:
    """Let every task run until all of them wait for something."""
    await asyncio.sleep(0)
    while not idle():  # noqa: ASYNC110 - there is no event for "nothing happens"
        await asyncio.sleep(0)
