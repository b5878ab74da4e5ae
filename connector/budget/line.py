"""Who gets the next moment of one scope, inside one process."""

import asyncio
from collections import deque

from connector.ports import Priority


class Line:
    """
    Classes in order of priority, first come first served inside a class.

    A class that waits and is passed over ``patience`` times in a row gets the next moment: with the
    default of 20 each low class keeps about one moment in twenty-one, however busy the others are.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._waiting: dict[Priority, deque[asyncio.Future[float]]] = {each: deque() for each in Priority}
        self._passed: dict[Priority, int] = dict.fromkeys(Priority, 0)

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())

    def join(self, priority: Priority, *, first: bool = False) -> asyncio.Future[float]:
        """Take a place; its result is the time (monotonic seconds) after which the moment is gone."""
        place: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[priority]
        (waiting.appendleft if first else waiting.append)(place)
        return place

    def best(self) -> Priority | None:
        """The best class that waits, None when nobody does."""
        return next((each for each in Priority if self._next(each)), None)

    def waiting(self) -> tuple[int, ...]:
        """How many wait in each class."""
        return tuple(len(waiting) for waiting in self._waiting.values())

    def leave(self, priority: Priority, place: asyncio.Future[float]) -> None:
        """Give up a place; one that was served already is simply gone."""
        if place in self._waiting[priority]:
            self._waiting[priority].remove(place)

    def serve(self, closes: float) -> None:
        """Hand a moment to whoever is next; with nobody waiting it is lost."""
        classes = [each for each in Priority if self._next(each)]
        if not classes:
            return
        tired = [each for each in classes if self._passed[each] >= self._patience]
        chosen = max(tired, key=self._passed.__getitem__) if tired else classes[0]
        for each in classes:
            self._passed[each] += 1
        self._passed[chosen] = 0
        self._waiting[chosen].popleft().set_result(closes)

    def _next(self, priority: Priority) -> bool:
        # A caller cancelled in this very turn of the loop has not left its place yet.
        waiting = self._waiting[priority]
        while waiting and waiting[0].done():
            waiting.popleft()
        return bool(waiting)

    def fail(self, error: Exception) -> None:
        """Tell everybody that no moment will come."""
        for waiting in self._waiting.values():
            for place in waiting:
                if not place.done():
                    place.set_exception(error)
            waiting.clear()
