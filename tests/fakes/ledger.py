"""What the broker acknowledged of one page, and whether every cursor in it tells the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from connector.model import CursorRecord, Event, Kind
from connector.pancake.state import ConversationState, PageState, decode_conversation, decode_page, split
from connector.pancake.wire import content_hash, fingerprint
from connector.simulator.inbox import Conversation
from connector.simulator.world import World

K = TypeVar("K")
DAY_MS = 86_400_000


@dataclass(slots=True)
class Ledger:
    """
    Every record, and the last one of each key, as compaction keeps it.

    ``excused``: conversations whose moment says nothing of when they were to be seen: one dated next year,
    one that was not listed for a while and came back as it was, and one of whose messages vanished: as many
    that come later than they are counted then look like none. All of these the reconcile finds.
    """

    page_id: str
    events: list[Event] = field(default_factory=list)
    conversations: dict[str, Event] = field(default_factory=dict)
    messages: dict[tuple[str, str], Event] = field(default_factory=dict)
    vanished: dict[str, Event] = field(default_factory=dict)
    cursors: dict[str, CursorRecord] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    _snapshots: set[tuple[str, bytes]] = field(default_factory=set)
    _prints: set[tuple[str, bytes]] = field(default_factory=set)
    _news: bool = True

    def publish(self, event: Event) -> None:
        self.events.append(event)
        match event.kind:
            case Kind.CONVERSATION:
                _keep(self.conversations, event.conversation_id, event)
                self._snapshots.add((event.conversation_id, event.content_hash))
            case Kind.MESSAGE:
                _keep(self.messages, (event.conversation_id, event.message_id), event)
                print_ = fingerprint(event.message_id, event.content_hash)
                self._prints.add((event.conversation_id, print_))
            case Kind.VANISHED:
                _keep(self.vanished, event.conversation_id, event)
            case Kind.THREAD:
                pass

    def save(self, cursor: CursorRecord) -> None:
        """A cursor is acknowledged: nothing that it says is known may be unknown to the topic."""
        self.cursors[cursor.conversation_id] = cursor
        self._news = True
        if not cursor.conversation_id:
            return
        state = decode_conversation(cursor.state)
        assert state is not None
        name = cursor.conversation_id
        said = split(state.tail) | (split(state.walk.tail + state.walk.edge) if state.walk else frozenset())
        unknown = [print_ for print_ in said if (name, print_) not in self._prints]
        assert not unknown, f"the cursor of {name} is ahead of the topic"
        assert not state.snapshot or (name, state.snapshot) in self._snapshots, f"snapshot of {name}"

    def check(self, world: World) -> None:
        """The page's own claim: what changed up to the watermark is published, or owed by name."""
        record = self.cursors.get("")
        if record is None or not self._news:
            return
        self._news = False
        state = decode_page(record.state)
        if not state.backfill.ended:
            return
        for held in world.pages[self.page_id].conversations.values():
            # A count below none is shown as none: what comes first is not counted.
            proved = held.updated_us // 1000 <= state.watermark and held.drift >= 0
            if proved and held.id not in self.excused:
                self._check_one(held, state)

    def _check_one(self, held: Conversation, page: PageState) -> None:
        raw = self.cursors.get(held.id)
        state = (decode_conversation(raw.state) if raw else None) or ConversationState()
        if state.owed is not None or held.id in page.debts:
            return
        assert held.id in self.conversations, f"{held.id} was never published, and nobody owes it"
        lost = [
            message.id
            for message in held.messages
            if message.arrived_us // 1000 <= page.watermark and (held.id, message.id) not in self.messages
        ]
        assert not lost, f"{len(lost)} messages of {held.id} are behind the watermark, and nobody owes them"

    def differs(self, world: World) -> list[str]:
        """What the newest record of each key does not tell as Pancake has it now."""
        page = world.pages[self.page_id]
        found = []
        for held in page.conversations.values():
            snapshot = self.conversations.get(held.id)
            if snapshot is None or snapshot.content_hash != content_hash(held.data):
                found.append(f"conversation {held.id} {'missing' if snapshot is None else 'stale'}")
            for message in held.messages:
                event = self.messages.get((held.id, message.id))
                if event is None or event.payload != message.data:
                    found.append(f"message {held.id} {message.id} {'missing' if event is None else 'stale'}")
            if (gone := self.vanished.get(held.id)) and b"true" in gone.payload:
                found.append(f"conversation {held.id} is there and said to be gone")
        return found + [f"{name} is gone, and nobody says so" for name in sorted(self._untold(page.gone))]

    def _untold(self, gone: Iterable[str]) -> set[str]:
        told = {name for name, event in self.vanished.items() if b"true" in event.payload}
        return (set(gone) & self.cursors.keys()) - told


def _keep(held: dict[K, Event], key: K, event: Event) -> None:
    # As every reader of the topic does: two owners that overlap may publish in the wrong order.
    if key not in held or _is_newer(event, held[key]):
        held[key] = event


def _is_newer(event: Event, held: Event) -> bool:
    # As `connector.engine.versions`: a moment that lies a day ahead decides nothing.
    believed = all(one.updated_at <= one.observed_at + DAY_MS for one in (event, held))
    if believed and event.updated_at != held.updated_at:
        return event.updated_at > held.updated_at
    return event.observed_at >= held.observed_at
