"""The slow full walk: what it found, what it has still to look at, and who was not shown. Pure."""

from collections import deque
from zlib import crc32

from connector.pancake.job import Kind
from connector.pancake.shelf import Shelf
from connector.pancake.state import ReconcileState

BUCKETS = 128  # of the shelf, looked through at one turn: about a thousand conversations


class Audit:
    """
    One page's reconcile.

    While the list is walked it gathers ``deep``: the conversations whose turn it is to be read to their
    ends. When the list has ended, those that are known and were not shown are ``suspects``: asking for
    their messages tells whether they are gone.
    """

    def __init__(self, state: ReconcileState, every: int) -> None:
        """``every``: each conversation is read deep once in so many passes; 0 never."""
        self.due, self.ended, self.passes = state.due, state.ended, state.passes
        self.found, self.healed, self.vanished = state.found, state.healed, state.vanished
        self.since = 0
        self.deep: deque[str] = deque()
        self.suspects: deque[str] = deque()
        self.running: set[str] = set()
        self._every = every
        self._at: int | None = None

    @property
    def looking(self) -> bool:
        """Whether the list has ended, and what it left to do is not done."""
        return self._at is not None

    @property
    def finished(self) -> bool:
        """Whether all that the list left to do is done."""
        return self.looking and not (self.deep or self.suspects or self.running) and self._at == -1

    @property
    def idle(self) -> bool:
        """Whether there is a next conversation, or a part of the shelf to look through."""
        return not (self.deep or self.suspects or (self.looking and self._at != -1))

    def begin(self, now_ms: int, shelf: Shelf) -> None:
        """The first page of the list was asked for. What an earlier walk was shown counts no more."""
        self.since, self._at = now_ms, None
        self.deep.clear()
        self.suspects.clear()
        shelf.begin_walk()

    def is_turn(self, name: str) -> bool:
        """Whether this conversation is read deep in this pass."""
        return self._every > 0 and crc32(name.encode()) % self._every == self.passes % self._every

    def list_ended(self) -> None:
        """The list was walked to its end without a break: who was not shown is not there."""
        self._at = 0

    def give_up(self, due: int) -> None:
        """The list repeats itself: nothing can be said of what was not shown."""
        self.since, self._at, self.due = 0, None, due

    def look(self, shelf: Shelf) -> None:
        """Look through the next part of the shelf."""
        if self._at is None or self._at < 0:
            return
        names = shelf.unshown(self._at, BUCKETS)
        if names is None:
            self._at = -1
        else:
            self._at += BUCKETS
            self.suspects.extend(names)

    def next(self) -> tuple[str, Kind] | None:
        """The next conversation to look at: is it gone, or does anything deep in it differ?"""
        if self.suspects:
            return self.suspects.popleft(), Kind.PROBE
        return (self.deep.popleft(), Kind.DEEP) if self.deep else None

    def ending(self, now_ms: int, due: int) -> ReconcileState:
        """What ``end`` will say."""
        return ReconcileState(due, 0, now_ms, self.passes + 1, self.found, self.healed, self.vanished)

    def end(self, now_ms: int, due: int) -> None:
        self.since, self._at, self.ended, self.due = 0, None, now_ms, due
        self.passes += 1

    def state(self) -> ReconcileState:
        return ReconcileState(
            self.due, self.since, self.ended, self.passes, self.found, self.healed, self.vanished
        )
