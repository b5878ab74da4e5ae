"""How much each partition may hold: most where holding more saves calls."""

from collections.abc import Collection, Mapping

from connector.engine.book import Book
from connector.model import Partition

# Where every record is a call of its own, as with snapshots, a long wait in memory saves nothing.
PLAIN_SHARE = 0.25


def allowances(books: Mapping[Partition, Book], window_bytes: int) -> Mapping[Partition, float]:
    """Bytes for each partition, ``window_bytes`` together."""
    packing = [book.packs for book in books.values()]
    plain = PLAIN_SHARE * window_bytes / max(1, len(books))
    rest = (window_bytes - plain * _plain(packing)) / max(1, sum(packing))
    return {partition: rest if book.packs else plain for partition, book in books.items()}


def _plain(packing: Collection[bool]) -> int:
    return len(packing) - sum(packing)
