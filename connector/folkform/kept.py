"""
What a check for stale snapshots may keep out wrongly: a change that does not move ``updated_at``.

FolkForm skips what is not newer by Pancake's own time (contracts B5). New tags, for one, leave that time
as it was: such a snapshot is as true as what is stored, and newer.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec


class _Document(msgspec.Struct, rename="camel"):
    pan_cake_data: dict[str, Any] | None = None


def keeps_rightly(data: bytes, payload: bytes) -> bool:
    """
    Whether what FolkForm holds (``data`` of a find) stands for a snapshot that it skipped.

    It does when it is newer, or the same. What cannot be compared is left to FolkForm's own judgement.
    """
    try:
        documents = msgspec.json.decode(data, type=list[_Document])
        ours = msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    stored = (documents[0].pan_cake_data or {}) if documents else {}
    there, here = _moment(stored.get("updated_at")), _moment(ours.get("updated_at"))
    if there is None or here is None or there > here:
        return True
    return there == here and stored == ours


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
