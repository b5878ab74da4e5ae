"""Events as the poller publishes them, from the simulator's seeded world."""

from collections.abc import Iterator

from connector.model import Event, Kind, Origin
from connector.pancake.wire import content_hash
from connector.simulator import content
from connector.simulator.inbox import Conversation, Page
from connector.simulator.world import World, WorldConfig

OBSERVED_AT = 1_767_225_600_000
MESSAGES = 27  # of a conversation in production: 27.4 on average
PAGES = 10


def production(conversations: int, seed: int = 1) -> Iterator[list[Event]]:
    """Conversation by conversation: its snapshot, what its message list says beside, its 27 messages."""
    per_page = -(-conversations // PAGES)
    world = World(
        WorldConfig(
            seed=seed, pages=PAGES, conversations_per_page=per_page, messages_per_conversation=MESSAGES
        )
    )
    made = 0
    for page in world.pages.values():
        for conversation in page.conversations.values():
            if made == conversations:
                return
            made += 1
            yield _events(page, conversation)


def message() -> Event:
    """One message of about 1.5 KB."""
    events = next(production(1))
    return max((e for e in events if e.kind is Kind.MESSAGE), key=lambda event: len(event.payload))


def _events(page: Page, conversation: Conversation) -> list[Event]:
    thread = b"{" + content.thread(conversation.id, conversation.customer_id) + b"}"
    updated_at = conversation.updated_us // 1000
    return [
        _event(page, conversation, Kind.CONVERSATION, conversation.data, updated_at=updated_at),
        *(
            _event(
                page,
                conversation,
                Kind.MESSAGE,
                message.data,
                message_id=message.id,
                inserted_at=message.inserted_us // 1000,
            )
            for message in conversation.messages
        ),
        _event(page, conversation, Kind.THREAD, thread),
    ]


def _event(
    page: Page,
    conversation: Conversation,
    kind: Kind,
    payload: bytes,
    *,
    message_id: str = "",
    inserted_at: int = 0,
    updated_at: int = 0,
) -> Event:
    return Event(
        kind,
        page.id,
        page.username or page.id,
        conversation.id,
        conversation.customer_id or "",
        message_id,
        inserted_at,
        updated_at,
        OBSERVED_AT,
        content_hash(payload),
        Origin.BACKFILL,
        payload,
    )
