"""Who goes next: by rank, then by who has waited longest; nobody is passed over for ever."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from connector.engine.book import Lane
from connector.engine.packing import RANKS

# Who was passed over so often goes next.
PASSED_OVER = 20
# Who looks for company for a call looks at no more.
MOST_LOOKED_AT = 200


class Queue:
    """
    Lanes that have something to send, by topic and rank.

    Oldest first frees the offset soonest, and gives every conversation the same time to gather what
    goes into one call.
    """

    def __init__(self) -> None:
        self._shelving: deque[Lane] = deque()
        self._ready: dict[str, dict[int, deque[tuple[int, Lane]]]] = {}
        self._passed_over = dict.fromkeys(sorted(RANKS.values()), 0)

    @property
    def topics(self) -> Iterable[str]:
        """Where somebody waits."""
        return [topic for topic, ranks in self._ready.items() if any(ranks.values())]

    def put(self, lane: Lane, order: int, *, first: bool = False) -> None:
        """``first``: it has begun already, and goes before those that have not."""
        if lane.trial is not None and lane.trial.shelving is not None:
            self._shelving.append(lane)
            return
        rank = lane.rank
        if lane.queued is not None and lane.queued <= rank:
            return
        lane.queued = rank
        topic = lane.book.partition.topic
        if topic not in self._ready:
            self._ready[topic] = {rank: deque() for rank in self._passed_over}
        queue = self._ready[topic][rank]
        queue.appendleft((-order, lane)) if first else queue.append((order, lane))

    def shelving(self) -> Lane | None:
        """The next that has something for the shelf."""
        while self._shelving:
            lane = self._shelving.popleft()
            if not lane.book.idle:
                return lane
        return None

    def best(self, may: Callable[[str, int], bool]) -> Lane | None:
        """The next that ``may`` call, by topic and rank."""
        chosen: deque[tuple[int, Lane]] | None = None
        chosen_rank = 0
        for rank in self._passed_over:
            heads = [
                queues[rank]
                for topic, queues in self._ready.items()
                if self._head(queues[rank], rank) and may(topic, rank)
            ]
            if not heads:
                continue
            if chosen is None:
                chosen, chosen_rank = min(heads, key=lambda queue: queue[0][0]), rank
                continue
            self._passed_over[rank] += 1
            if self._passed_over[rank] > PASSED_OVER:
                chosen, chosen_rank = heads[0], rank
        if chosen is None:
            return None
        self._passed_over[chosen_rank] = 0
        lane = chosen.popleft()[1]
        lane.queued = None
        return lane

    def others(self, lane: Lane, rank: int) -> Iterator[Lane]:
        """Take those of the same partition and rank, oldest first; what is taken must be put back or sent."""
        queue = self._ready[lane.book.partition.topic][rank]
        for _ in range(min(len(queue), MOST_LOOKED_AT)):
            if not self._head(queue, rank):
                return
            if queue[0][1].book is not lane.book:
                queue.rotate(-1)
                continue
            other = queue.popleft()[1]
            other.queued = None
            yield other

    def _head(self, queue: "deque[tuple[int, Lane]]", rank: int) -> bool:
        while queue and (queue[0][1].queued != rank or queue[0][1].book.idle):
            queue.popleft()
        return bool(queue)
