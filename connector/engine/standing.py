"""How the pages of a process stand: for its metrics, and written beside the pages for whoever asks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from connector.clock import Clock
from connector.engine.poller import PagePoller
from connector.errors import RetryableError
from connector.model import Completeness, PageStatus
from connector.ports import Notices
from connector.telemetry import PAGES_HOLES, PAGES_OWNED, PAGES_PARKED, PAGES_UNPROVED, Metrics, Reading

WRITE_SECONDS = 10.0  # between two records of a page
AT_ONCE = 10
QUIET_SECONDS = 60.0  # between two that differ in nothing but times

log = structlog.get_logger("connector.poller")


class Standing:
    """Reports each page when it stands otherwise than it was reported last."""

    def __init__(
        self, pollers: Mapping[str, PagePoller[Any]], notices: Notices, clock: Clock, metrics: Metrics
    ) -> None:
        self._pollers = pollers
        self._notices = notices
        self._clock = clock
        self._reported: dict[str, PageStatus] = {}
        gauges: Mapping[Any, Reading] = {
            PAGES_OWNED: lambda: {(): len(self._pollers)},
            PAGES_PARKED: lambda: {(): sum(p.parked is not None for p in self._pollers.values())},
            PAGES_HOLES: lambda: {(): sum(p.reader.holes for p in self._pollers.values())},
            PAGES_UNPROVED: self._unproved,
        }
        for metric, reading in gauges.items():
            metrics.watch(metric, reading)

    async def keep(self) -> None:
        """Report for ever."""
        while True:
            await self._clock.sleep(WRITE_SECONDS)
            await self.report()

    async def report(self) -> None:
        """Write what is news; what the broker does not take is news again the next time."""
        self._reported = {page: said for page, said in self._reported.items() if page in self._pollers}
        pollers = list(self._pollers.values())
        try:
            for first in range(0, len(pollers), AT_ONCE):
                await self._report(pollers[first : first + AT_ONCE])
        except RetryableError as problem:
            log.warning("status not written", problem=str(problem))

    async def _report(self, pollers: Sequence[PagePoller[Any]]) -> None:
        now = self._clock.epoch_ms()
        news = [status for status in map(self._status, pollers) if self._is_news(status, now)]
        await self._notices.report(news)
        self._reported |= {status.completeness.page_id: status for status in news}
        # Hundreds of pages in one go would hold up calls that are due.
        await self._clock.sleep(0)

    def _status(self, poller: PagePoller[Any]) -> PageStatus:
        parking = poller.parking
        return PageStatus(
            poller.reader.completeness, self._clock.epoch_ms(), "", parking.action or "", parking.since
        )

    def _is_news(self, status: PageStatus, now: int) -> bool:
        said = self._reported.get(status.completeness.page_id)
        if said is None or _substance(status) != _substance(said):
            return True
        return status.completeness != said.completeness and now - said.written_at >= QUIET_SECONDS * 1000

    def _unproved(self) -> Mapping[tuple[str, ...], float]:
        now = self._clock.epoch_ms()
        proved = [poller.reader.completeness.proved_until for poller in self._pollers.values()]
        # Of a page that was never proved nobody can say how far behind it is.
        behind = [now - until for until in proved if until]
        return {(): max(behind) / 1000} if behind else {}


def _substance(status: PageStatus) -> tuple[Completeness, str, int]:
    """What is worth a record at once: all but how late it is, and how fast."""
    complete = status.completeness
    timeless = replace(
        complete, proved_until=0, scanning_since=0, backfill=replace(complete.backfill, pace=0.0)
    )
    return timeless, status.parked, status.parked_since
