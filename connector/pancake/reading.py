"""Between Pancake's answers and the scanner: a body in, what is to be published and saved out. No I/O."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from connector.model import CursorRecord, DeadLetter, Event, Kind, Origin, Page, Problem, SourceBatch
from connector.pancake.scan import PageScan
from connector.pancake.state import ConversationState, encode, encode_page
from connector.pancake.steps import Listed, ListStep, MessagesStep, OweStep, ScanStep, Seen, SettleStep
from connector.pancake.wire import (
    ConversationHead,
    Cut,
    MessageHead,
    Thread,
    content_hash,
    cut_conversations,
    cut_thread,
    fingerprint,
    milliseconds,
    number,
    snapshot_hashes,
    text_id,
)

T = TypeVar("T")
# FolkForm takes no body over 10 MB, so an object that fills one can never arrive.
MAX_OBJECT_BYTES = 10 * 2**20 - 4096
SHELVED_BYTES = 2**20
GONE = b'{"vanished":true}'
BACK = b'{"vanished":false}'


class Reading:
    """
    What the answers of one page mean.

    ``at`` is always our own clock when the answer was there (UTC milliseconds), ``now`` the monotonic one.
    """

    def __init__(self, page: Page, scan: PageScan) -> None:
        self.page = page
        self.scan = scan
        self._states: dict[ScanStep, dict[str, ConversationState]] = {}

    def listed(self, step: ListStep, body: bytes, at: int, now: float) -> SourceBatch:
        """A page of conversations. Raises UnknownOutcomeError when it is none."""
        good, rejected = self._sort_out(
            cut_conversations(body, "pancake conversations"), ConversationHead, at
        )
        listed = [_listed(head, raw) for head, raw in good]
        findings = self.scan.listed(step, listed, now)
        origin = step.mode.origin
        events = [self._back(listed[n], at, origin) for n in findings.returned]
        events += [self._snapshot(*good[n], listed[n], at, origin) for n in findings.changed]
        return self._batch(step, events, rejected, dict(findings.remembered))

    def messages(self, step: MessagesStep, body: bytes, at: int, now: float) -> SourceBatch:
        """A page of messages. Raises UnknownOutcomeError when it is none."""
        thread = cut_thread(body, "pancake messages")
        good, rejected = self._sort_out(thread.messages, MessageHead, at)
        hashes = [content_hash(raw) for _, raw in good]
        page = [
            Seen(head.id, fingerprint(head.id, hashed))
            for (head, _), hashed in zip(good, hashes, strict=True)
        ]
        chosen = self.scan.took(step, page, len(thread.messages))
        events = [self._message(*good[n], hashes[n], step, at) for n in chosen]
        events += self._thread(step, thread, at)
        state = self.scan.remember(step, now)
        if self.scan.vanishing(step):
            events = [self._vanished(step.target, GONE, at, step.origin)]
        return self._batch(step, events, rejected, {step.target.id: state})

    def refused(self, step: MessagesStep, reason: str, at: int, now: float) -> SourceBatch:
        """Pancake says why this conversation cannot be read (``answers.SAID_OF_A_CONVERSATION``)."""
        state = self.scan.refused(step, reason, now)
        gone = self.scan.vanishing(step)
        events = [self._vanished(step.target, GONE, at, step.origin)] if gone else []
        return self._batch(step, events, (), {step.target.id: state})

    def unasked(self, step: SettleStep | OweStep, now: float) -> SourceBatch:
        """A step for which nothing is asked: a position to be saved."""
        if isinstance(step, OweStep):
            batch = self._batch(step, (), (), {step.conversation_id: self.scan.owing(step)})
            return SourceBatch(cursors=batch.cursors, asked=False)
        state = self.scan.settled(step, now)
        return SourceBatch(cursors=(CursorRecord(self.page.id, "", encode_page(state)),), asked=False)

    def saved(self, step: ScanStep, now: float) -> None:
        """What was returned for the step is published and saved."""
        self.scan.saved(step, self._states.pop(step, {}), now)

    def failed(self, step: ScanStep, now: float) -> None:
        """The step came to nothing."""
        self._states.pop(step, None)
        self.scan.failed(step, now)

    def _batch(
        self,
        step: ScanStep,
        events: Sequence[Event],
        rejected: Sequence[DeadLetter],
        states: dict[str, ConversationState],
    ) -> SourceBatch:
        self._states[step] = states
        cursors = (CursorRecord(self.page.id, name, encode(state)) for name, state in states.items())
        return SourceBatch(tuple(events), tuple(rejected), tuple(cursors))

    def _sort_out(
        self, cuts: Sequence[Cut], kind: type[T], at: int
    ) -> tuple[list[tuple[T, bytes]], list[DeadLetter]]:
        """Objects that can be routed, and dead letters of those that cannot."""
        good: list[tuple[T, bytes]] = []
        rejected: list[DeadLetter] = []
        for cut in cuts:
            raw, problem = cut.raw, None
            try:
                head = msgspec.json.decode(cut.readable, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as why:
                problem = Problem("unreadable_object", f"its fields cannot be read: {type(why).__name__}")
            else:
                if not text_id(getattr(head, "id", None)):
                    problem = Problem("missing_id", "the object has no id that can be a key")
                elif len(raw) > MAX_OBJECT_BYTES:
                    problem = Problem("too_large", f"the object has {len(raw)} bytes; its beginning is kept")
            if problem is None:
                good.append((head, raw))
            else:
                rejected.append(self._letter(raw, problem, at))
        return good, rejected

    def _letter(self, raw: bytes, problem: Problem, at: int) -> DeadLetter:
        value = raw[:SHELVED_BYTES] if problem.reason == "too_large" else raw
        return DeadLetter(self.page.id.encode(), value, problem, at)

    def _snapshot(self, head: ConversationHead, raw: bytes, listed: Listed, at: int, origin: Origin) -> Event:
        return Event(
            Kind.CONVERSATION,
            self.page.id,
            self.page.username,
            listed.id,
            listed.customer_id,
            "",
            milliseconds(head.inserted_at),
            listed.updated_at,
            at,
            listed.snapshot,
            origin,
            raw,
        )

    def _message(self, head: MessageHead, raw: bytes, hashed: bytes, step: MessagesStep, at: int) -> Event:
        return self._of(
            Kind.MESSAGE,
            step.target,
            at,
            step.origin,
            raw,
            hashed=hashed,
            message_id=head.id,
            inserted_at=milliseconds(head.inserted_at),
        )

    def _thread(self, step: MessagesStep, thread: Thread, at: int) -> list[Event]:
        walk = self.scan.walk(step)
        said = content_hash(thread.rest)
        if step.skip or walk.quiet or said[:6] == walk.thread:
            return []
        walk.thread = said[:6]
        return [self._of(Kind.THREAD, step.target, at, step.origin, thread.rest, hashed=said)]

    def _vanished(self, target: Listed, payload: bytes, at: int, origin: Origin) -> Event:
        return self._of(Kind.VANISHED, target, at, origin, payload, hashed=content_hash(payload))

    def _back(self, target: Listed, at: int, origin: Origin) -> Event:
        return self._vanished(target, BACK, at, origin)

    def _of(
        self,
        kind: Kind,
        target: Listed,
        at: int,
        origin: Origin,
        payload: bytes,
        *,
        hashed: bytes,
        message_id: str = "",
        inserted_at: int = 0,
    ) -> Event:
        return Event(
            kind,
            self.page.id,
            self.page.username,
            target.id,
            target.customer_id,
            message_id,
            inserted_at,
            0,
            at,
            hashed,
            origin,
            payload,
        )


def _listed(head: ConversationHead, raw: bytes) -> Listed:
    whole, rest = snapshot_hashes(raw, head)
    return Listed(
        head.id,
        text_id(head.customer_id),
        milliseconds(head.updated_at),
        number(head.message_count),
        whole,
        rest,
    )
