"""Events in a few words."""

from connector.model import Event, Kind, Origin


def message(
    conversation_id: str,
    message_id: str,
    version: int = 1,
    *,
    payload: bytes = b"{}",
    page_id: str = "p1",
    origin: str = "live",
) -> Event:
    """One message as it was read at the moment ``version``."""
    return Event(
        Kind.MESSAGE,
        page_id,
        "page",
        conversation_id,
        "customer",
        message_id,
        1,
        0,
        version,
        version.to_bytes(8, "big"),
        Origin(origin),
        payload,
    )


def snapshot(
    conversation_id: str,
    version: int = 1,
    *,
    payload: bytes = b"{}",
    observed_at: int = 1,
    page_id: str = "p1",
) -> Event:
    """One conversation as the source had it at the moment ``version``."""
    return Event(
        Kind.CONVERSATION,
        page_id,
        "page",
        conversation_id,
        "customer",
        "",
        1,
        version,
        observed_at,
        version.to_bytes(8, "big"),
        Origin.LIVE,
        payload,
    )
