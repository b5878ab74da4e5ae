"""Server-side counters of every call: the independent witness of what a client really did."""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

KEPT = 200_000
SECOND = 1.0


class Call(NamedTuple):
    """One call as the server saw it; ``at`` is monotonic seconds of its arrival."""

    at: float
    page: str
    route: str
    status: int


@dataclass(slots=True)
class Tally:
    """Calls of one page and route; ``refused`` are those answered with "too many"."""

    calls: int = 0
    refused: int = 0


class Window:
    """Arrivals of the last second, and the most that any one second ever held."""

    __slots__ = ("arrivals", "most")

    def __init__(self) -> None:
        self.arrivals: deque[float] = deque()
        self.most = 0

    def arrive(self, at: float) -> int:
        """Note one arrival; return how many the second that ends with it holds, itself included."""
        arrivals = self.arrivals
        while arrivals and arrivals[0] <= at - SECOND:
            arrivals.popleft()
        arrivals.append(at)
        self.most = max(self.most, len(arrivals))
        return len(arrivals)


class CallLog:
    """Tallies by page and route, and the latest calls one by one."""

    def __init__(self, kept: int = KEPT) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.recent: deque[Call] = deque(maxlen=kept)
        self.statuses: dict[int, int] = {}

    def note(self, call: Call, *, refused: bool) -> None:
        tally = self.tallies.setdefault((call.page, call.route), Tally())
        tally.calls += 1
        tally.refused += refused
        self.recent.append(call)
        self.statuses[call.status] = self.statuses.get(call.status, 0) + 1

    @property
    def calls(self) -> int:
        return sum(t.calls for t in self.tallies.values())

    @property
    def refused(self) -> int:
        return sum(t.refused for t in self.tallies.values())

    def of(self, page: str | None = None, route: str | None = None) -> Tally:
        """The sum over every page and route that fit; None fits all."""
        total = Tally()
        for (its_page, its_route), tally in self.tallies.items():
            if page in (None, its_page) and route in (None, its_route):
                total.calls += tally.calls
                total.refused += tally.refused
        return total

    def by_page(self) -> dict[str, dict[str, dict[str, int]]]:
        out: dict[str, dict[str, dict[str, int]]] = {}
        for (page, route), tally in sorted(self.tallies.items()):
            out.setdefault(page, {})[route] = {"calls": tally.calls, "refused": tally.refused}
        return out
