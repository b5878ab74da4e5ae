"""What a saved position of a page says about its completeness. Pure, for whoever shows it."""

import msgspec

from connector.model import Backfill, Completeness, Hole
from connector.pancake.state import PageState, decode_page


def completeness(page_id: str, state: PageState) -> Completeness:
    """The claims of a page's state, in the words of the program."""
    holes = tuple(Hole(name, "unreadable", 0) for name in state.holes)
    return Completeness(
        page_id,
        state.watermark,
        holes=holes[:20],
        holes_open=len(holes),
        backfill=Backfill(0, state.backfilled),
    )


def decode_completeness(page_id: str, raw: bytes) -> Completeness | None:
    """The same from a cursor record's bytes; None when they are not a page's state."""
    try:
        return completeness(page_id, decode_page(raw))
    except msgspec.DecodeError:
        return None
