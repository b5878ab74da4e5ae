"""A committed offset's metadata: what its owner said of the records beyond it."""

import re

from connector.model import Position

_SAID = re.compile(r"1 reach=(?P<reach>\d{1,19})(?P<unanswered> unanswered)?")


def to_metadata(position: Position) -> str:
    """What is committed beside the offset; empty where nothing is known."""
    if position.reach is None:
        return ""
    return f"1 reach={position.reach}{' unanswered' if position.unanswered else ''}"


def from_metadata(text: str | None, offset: int) -> Position:
    """The position that was committed with ``text``; a text of other people says nothing."""
    said = _SAID.fullmatch(text or "")
    if said is None:
        return Position(offset)
    return Position(offset, int(said["reach"]), bool(said["unanswered"]))
