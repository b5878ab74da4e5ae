"""FolkForm's documents as its API shows them; stored Pancake objects go out as the bytes that came in."""

from connector.simulator.content import encode, render
from connector.simulator.store import NO_ORGANIZATION, Document, Item, Thread


def object_id(number: int) -> str:
    return f"{number:024x}"


def conversation_json(document: Document, organization_id: str) -> bytes:
    return render(
        {
            "id": encode(object_id(document.number)),
            "pageId": encode(document.page_id),
            "pageUsername": encode(document.page_username),
            "conversationId": encode(document.conversation_id),
            "customerId": encode(document.customer_id),
            "panCakeData": document.data,
            "panCakeUpdatedAt": encode(document.pan_updated_us // 1000),
            "needsPrioritySync": b"false",
            "ownerOrganizationId": encode(organization_id),
            "createdAt": encode(document.created_ms),
            "updatedAt": encode(document.updated_ms),
        }
    )


def thread_json(conversation_id: str, thread: Thread) -> bytes:
    return render(
        {
            "id": encode(object_id(thread.created_ms)),
            "pageId": encode(thread.page_id),
            "pageUsername": encode(thread.page_username),
            "conversationId": encode(conversation_id),
            "customerId": encode(thread.customer_id),
            "panCakeData": render(thread.metadata),
            "lastSyncedAt": encode(thread.synced_ms),
            "totalMessages": encode(len(thread.items)),
            "hasMore": encode(thread.has_more),
            "ownerOrganizationId": encode(NO_ORGANIZATION),
            "createdAt": encode(thread.created_ms),
            "updatedAt": encode(thread.synced_ms),
        }
    )


def item_json(message_id: str, item: Item, *, kept: bool) -> bytes:
    return render(
        {
            "id": encode(object_id(abs(hash(message_id)))),
            "conversationId": encode(item.conversation_id),
            "messageId": encode(message_id),
            "messageData": item.data if kept else b"null",
            "insertedAt": encode(item.inserted_at),
            "ownerOrganizationId": encode(NO_ORGANIZATION),
            "createdAt": encode(item.created_ms),
            "updatedAt": encode(item.updated_ms),
        }
    )
