"""One list of conversations, page after page, by a cursor that may move, vanish or be ignored. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.pancake.steps import Listed, Mode

STUCK_SECONDS = 60.0
STUCK_TRIES = 3
CURSOR_TRIES = 3


@dataclass(slots=True)
class Listing:
    """
    One page of results, open until what it asks for is saved.

    ``pending``: conversations that must be published before it counts, and ``reads`` as they were shown;
    ``queued``: those that are owed instead. ``last``: nothing follows that matters to this scan.
    ``stuck``: the list repeats itself.
    """

    after: str
    last: bool
    stuck: bool = False
    pending: set[str] = field(default_factory=set)
    reads: list[Listed] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    saved: bool = False
    settling: bool = False


@dataclass(slots=True)
class Scroll:
    """
    How far one scan has come in its list.

    ``after``: the cursor of the page that comes next, ``anchor`` of the one before it. ``doubted``: a
    cursor behind which nothing was, and which may be gone. ``length``: of the last page that held
    something; None before the first. ``full_list``: the shortest that a full one may be. ``top``: the newest
    moment that the scan has seen.
    """

    mode: Mode
    full_list: int
    after: str = ""
    due_at: float = 0.0
    started_at: float = 0.0
    under_way: bool = False
    asking: bool = False
    listing: Listing | None = None
    top: int = 0
    found: int = 0
    stuck: int = 0
    _met: set[str] = field(default_factory=set)
    _anchor: str = ""
    _doubted: str = ""
    _end: Listed | None = None
    _length: int | None = None
    _refused: int = 0
    _saves_at_refusal: int = -1

    @property
    def busy(self) -> bool:
        """Whether a list is asked for, or shown and not published yet."""
        return self.asking or (self.listing is not None and not self.listing.saved)

    def ask(self, now: float) -> str:
        """The cursor to ask behind; a scan begins when there is none under way."""
        if not self.under_way:
            self.under_way, self.started_at, self.top, self.found = True, now, 0, 0
        self.asking = True
        return self.after

    def open(self, after: str, page: Sequence[Listed], *, reached: bool) -> Listing:
        """
        Note the page behind ``after``: where the next one begins, or that there is none.

        ``reached``: nothing behind it matters to this scan.
        """
        self.asking, self._refused = False, 0
        self.listing = self._opened(after, page, reached=reached)
        # By updated_at all that was met counts, for a moved cursor begins again at the top.
        before = self._met if self.mode is Mode.LIVE else set()
        self._met = {seen.id for seen in page} | before
        return self.listing

    def _opened(self, after: str, page: Sequence[Listed], *, reached: bool) -> Listing:
        if page:
            # A server that begins each page with its cursor shows, at the end, the cursor alone.
            alone = len(page) == 1 and page[0].id == after
            stuck = not self._doubted and not alone and all(seen.id in self._met for seen in page)
            last = stuck or alone or self._still_ends(page[-1]) or reached
            self._anchor, self._doubted, self._length, self._end = after, "", len(page), page[-1]
            return Listing(page[-1].id, last, stuck)
        if after and (self._length is None or self._length >= self.full_list):
            # The end, or a cursor whose conversation is gone: everything behind it would be lost. The
            # page before is read again, and shows whether its last conversation still is the last.
            back, self._anchor, self._doubted = self._anchor, "", after
            return Listing("" if back == after else back, last=False)
        return Listing(after, last=True)

    def _still_ends(self, last: Listed) -> bool:
        # Had it moved meanwhile, nothing may have been shown behind it for that.
        moved = self._end is not None and self._end.id == last.id and self._end.updated_at != last.updated_at
        return last.id == self._doubted and not moved

    def refused(self, after: str, saves: int) -> None:
        """The page behind ``after`` came to nothing; ``saves`` counts what did come through meanwhile."""
        self.asking = False
        # The slow scans have far to go back: only while other steps come through is it the cursor's fault.
        if after and (self.mode is Mode.LIVE or saves > self._saves_at_refusal):
            self._refused += 1
            self._saves_at_refusal = saves
        if self._refused >= CURSOR_TRIES:
            self.after = "" if self._anchor == after else self._anchor
            self._anchor, self._doubted, self._refused, self._met = "", "", 0, set()

    def conclude(self) -> None:
        """Nothing is listed any more; what came of the scan is to be saved."""
        self.listing = Listing("", last=True, saved=True)

    def close(self) -> Listing:
        """The open page is published and saved: go on behind it, or be done."""
        listing, self.listing = self.listing, None
        if listing is None:
            raise AssertionError(f"no open listing by {self.mode}")
        self.after = listing.after
        if listing.last:
            self.stuck = self.stuck + 1 if listing.stuck else 0
            self.under_way = False
            if self.mode is not Mode.BACKFILL:
                self.after, self._anchor, self._met = "", "", set()
                self._length = None
        return listing
