"""
The scanner against Pancake's own rules, step by step and without waiting: a life drawn from a seed.

What an asyncio poller does between two awaits is one stage here: ask, hear, publish, save, note. Any
stage of any step may come before any stage of another, an owner may die between two of them or go on
after somebody else has taken its page over, and the page changes in between. The rules of
`connector.simulator.listing` answer; `Ledger` holds what the broker acknowledged and checks each claim.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from connector.model import Page, SourceBatch
from connector.pancake.reading import Reading
from connector.pancake.scan import PageScan
from connector.pancake.shelf import Shelf
from connector.pancake.state import PageState, Reason, decode_page
from connector.pancake.steps import ListStep, MessagesStep, Pace, ScanStep, Shapes
from connector.simulator import listing
from connector.simulator.inbox import Conversation
from connector.simulator.options import PancakeOptions
from connector.simulator.world import World, WorldConfig
from tests.fakes.ledger import Ledger

START_MS = WorldConfig().start_ms
RECONCILE = 3600.0
CUSTOMERLESS = b'{"success":true,"messages":[],"can_inbox":true}'


@dataclass(slots=True)
class Draw:
    """What a seed decides before anything happens."""

    dice: random.Random
    options: PancakeOptions
    world: World
    trouble: float
    deaths: float
    overlap: float
    removing: bool

    @classmethod
    def of(cls, seed: int) -> "Draw":
        dice = random.Random(seed)
        world = World(
            WorldConfig(
                seed=seed,
                pages=1,
                conversations_per_page=dice.choice((0, 1, 3, 5, 9)),
                messages_per_conversation=dice.choice((0, 1, 4, 7, 12)),
                plain=True,
                without_customer=dice.choice((0.0, 0.0, 0.3)),
                count_drift=dice.choice((0.0, 0.0, 0.4)),
                empty_conversations=dice.choice((0.0, 0.2)),
            )
        )
        options = PancakeOptions(
            conversation_page=dice.choice((2, 3, 5, 60)),
            message_page=dice.choice((3, 5, 30)),
            message_order=dice.choice(("newest_first", "oldest_first")),
            cursor_missing=dice.choice(("restart", "empty", "error")),
            cursor_moved=dice.choice(("follow", "follow", "stay", "empty", "error")),
            cursor_inclusive=dice.random() < 0.2,
            current_count_from=(count_from := dice.choice(("newest", "newest", "newest", "oldest"))),
            current_count_ignored=count_from == "newest" and dice.random() < 0.1,
            unknown_conversation=dice.choice(("error", "empty")),
            customer_id_required=dice.random() < 0.15,
            read_lag=dice.choice((0.0, 0.0, 1.0, 5.0, 20.0)),
        )
        return cls(
            dice,
            options,
            world,
            trouble=dice.choice((0.0, 0.0, 0.1)),
            deaths=dice.choice((0.0, 0.01, 0.05)),
            overlap=dice.choice((0.0, 1.0, 60.0)),
            removing=dice.random() < 0.5,
        )


@dataclass(slots=True)
class Errand:
    """A step under way: what was answered, and how much of what it brought is acknowledged."""

    step: ScanStep
    at: int = 0
    body: bytes | None = None
    reason: str = ""
    batch: SourceBatch | None = None
    published: int = 0
    saved: int = 0


@dataclass(slots=True)
class Owner:
    """Somebody who reads the page, and what is under way there."""

    reading: Reading
    errands: list[Errand] = field(default_factory=list)


class Rehearsal:
    """One page's life under one seed."""

    def __init__(self, seed: int) -> None:
        self.draw = Draw.of(seed)
        self.dice, self.world, self.options = self.draw.dice, self.draw.world, self.draw.options
        self.page = Page(next(iter(self.world.pages)), "shop")
        self.ledger = Ledger(self.page.id)
        self.now = 1000.0
        self.calls = 0
        self.answered_at = 0
        self.asked: list[str] = []
        self.trouble = self.draw.trouble
        self.owners = [self._owner()]

    # The life

    def live(self, stages: int) -> None:
        """So many stages, with everything that the seed has in store."""
        for _ in range(stages):
            roll = self.dice.random()
            if roll < 0.12:
                self.now += self.dice.choice((0.01, 0.3, 2.0, 2.0, 15.0, 70.0, 400.0))
            elif roll < 0.3:
                self._something_happens()
            elif roll < 0.3 + self.draw.deaths:
                self._dies_or_is_taken_over()
            else:
                self._stage(self.dice.choice(self.owners))
            self.ledger.check(self.world)

    def end_well(self) -> None:
        """Nothing happens any more; the last owner goes on until a whole reconcile has seen that."""
        self.trouble = self.options.read_lag = 0.0
        self.options.current_count_ignored = False
        self.options.customer_id_required = False
        self.owners = [self._owner(Pace(600.0, self.draw.overlap, 600.0, reconcile=RECONCILE, deep_every=1))]
        passes = self._scan.position(self.now).reconcile.passes
        for _ in range(20_000):
            if self._scan.position(self.now).reconcile.passes > passes + 1 and self._rests():
                return
            self._turn()
        raise AssertionError(f"no end: {self._scan.position(self.now)}")

    def _turn(self) -> None:
        owner = self.owners[0]
        step = owner.reading.scan.next_step(self.now)
        if step is None:
            wake = owner.reading.scan.wake_at()
            assert wake is not None, "an idle scan names a moment"
            self.now = max(self.now + 0.001, min(wake, self.now + RECONCILE))
            return
        errand = Errand(step)
        while not self._advance(owner, errand):
            self.ledger.check(self.world)
        if errand.batch is None:
            self.now += 1.0  # it failed: a poller waits before it asks again

    def _rests(self) -> bool:
        owed = Counter(self._scan.owed)
        # One that is counted and shows no message is asked for again for ever: it may be gone.
        del owed[Reason.GONE]
        return not owed.total() and self._scan.caught_up

    @property
    def _scan(self) -> PageScan:
        return self.owners[-1].reading.scan

    def _owner(self, pace: Pace | None = None) -> Owner:
        state = PageState()
        names, states = [], []
        for record in self.ledger.cursors.values():
            if record.conversation_id:
                names.append(record.conversation_id)
                states.append(record.state)
            else:
                state = decode_page(record.state)
        pace = pace or Pace(2.0, self.draw.overlap, 2.0, reconcile=RECONCILE, deep_every=1)
        shapes = Shapes(self.options.message_page, self.options.conversation_page)
        shelf = Shelf(self.page.id, names, states)
        scan = PageScan(state, shelf, pace, epoch_ms=START_MS - 900_000, shapes=shapes)
        return Owner(Reading(self.page, scan))

    def _dies_or_is_taken_over(self) -> None:
        if self.dice.random() < 0.4:
            # The old owner does not know; a newer claim stops it, sooner or later.
            self.owners = [*self.owners[-1:], self._owner()]
        else:
            self.owners = [self._owner()]

    # The stages of a step

    def _stage(self, owner: Owner) -> None:
        if len(owner.errands) < 3 and self.dice.random() < 0.6:
            step = owner.reading.scan.next_step(self.now)
            if step is not None:
                owner.errands.append(Errand(step))
        if owner.errands:
            errand = self.dice.choice(owner.errands)
            # Mostly a step is made in one go; now and then all of them lie half done.
            for _ in range(self.dice.choice((1, 2, 9, 9, 9))):
                if self._advance(owner, errand):
                    owner.errands.remove(errand)
                    return

    def _advance(self, owner: Owner, errand: Errand) -> bool:
        """One stage of a step; True when it was the last."""
        batch = errand.batch
        if batch is None:
            return (
                self._ask(owner, errand)
                if errand.body is None and not errand.reason
                else (self._hear(owner.reading, errand))
            )
        if errand.published < len(batch.events):
            self.ledger.publish(batch.events[errand.published])
            errand.published += 1
        elif errand.saved < len(batch.cursors):
            self.ledger.save(batch.cursors[errand.saved])
            errand.saved += 1
        else:
            owner.reading.saved(errand.step, self.now)
            return True
        return False

    def _ask(self, owner: Owner, errand: Errand) -> bool:
        step = errand.step
        if not isinstance(step, ListStep | MessagesStep):
            errand.batch = owner.reading.unasked(step, self.now)
            return False
        self.calls += 1
        # No two answers at one moment: which of them is older would not be told.
        errand.at = self.answered_at = max(self._ms(), self.answered_at + 1)
        self.asked.append(str(step))
        if self.dice.random() < self.trouble:
            owner.reading.failed(step, self.now)
            return True
        body = self._listed(step) if isinstance(step, ListStep) else self._messages(step)
        if body is None:
            owner.reading.failed(step, self.now)
            return True
        errand.reason, errand.body = (body, None) if isinstance(body, str) else ("", body)
        return False

    def _hear(self, reading: Reading, errand: Errand) -> bool:
        at = errand.at
        match errand.step:
            case ListStep() as step:
                errand.batch = reading.listed(step, errand.body or b"", at, self.now)
            case MessagesStep() as step if errand.reason:
                errand.batch = reading.refused(step, errand.reason, at, self.now)
            case MessagesStep() as step:
                errand.batch = reading.messages(step, errand.body or b"", at, self.now)
        return False

    # Pancake

    def _ms(self) -> int:
        return START_MS - 900_000 + round(self.now * 1000)

    def _listed(self, step: ListStep) -> bytes | None:
        self.world.tick(self._ms())
        page = self.world.pages[self.page.id]
        try:
            found = listing.conversations(page, listing.Query(step.mode.order, step.after), self.options)
        except listing.CursorGoneError:
            return None
        return b'{"success":true,"conversations":[%s]}' % b",".join(c.data for c in found)

    def _messages(self, step: MessagesStep) -> bytes | str:
        self.world.tick(self._ms())
        held = self.world.pages[self.page.id].conversations.get(step.target.id)
        if self.options.customer_id_required and not step.target.customer_id:
            return "customer_id_required"
        if held is None:
            return "conversation_gone" if self.options.unknown_conversation == "error" else CUSTOMERLESS
        shown = listing.messages(held.messages, step.skip, self.world.now_us, self.options)
        return b'{"success":true,"messages":[%s],"can_inbox":true}' % b",".join(m.data for m in shown)

    # Customers and staff

    def _something_happens(self) -> None:
        page, at = self.world.pages[self.page.id], self._ms()
        roll = self.dice.random()
        if roll < 0.08 or not page.by_updated:
            self.world.add_conversation(page.id, messages=self.dice.randrange(3), at_ms=at)
        elif self.draw.removing and roll < 0.12:
            leaving = self._one()
            self.ledger.excused.add(leaving.id)
            self.world.remove_conversation(page.id, leaving.id)
        elif self.draw.removing and roll < 0.16 and page.gone:
            self.world.restore_conversation(page.id, self.dice.choice(sorted(page.gone)))
        else:
            self._changes(self._one(), at)

    def _one(self) -> Conversation:
        page = self.world.pages[self.page.id]
        places = page.by_updated[-3:] if self.dice.random() < 0.5 else page.by_updated
        return page.conversations[self.dice.choice(places)[2]]

    def _changes(self, conversation: Conversation, at: int) -> None:
        page_id, name = conversation.page_id, conversation.id
        held = conversation.messages
        what = self.dice.choice(
            (
                "say",
                "say",
                "say",
                "burst",
                "edit",
                "hush",
                "remove",
                "vanish",
                "tag",
                "silent tag",
                "customer",
                "future",
            )
        )
        if what == "burst":
            for _ in range(self.dice.randrange(1, 9)):
                self.world.add_message(page_id, name, at_ms=at)
        elif what in {"edit", "hush"} and held:
            target = self.dice.choice(held)
            self.world.edit_message(page_id, name, target.id, silent=what == "hush", at_ms=at)
        elif what in {"remove", "vanish"} and held:
            target = self.dice.choice(held)
            if what == "vanish":
                self.ledger.excused.add(name)
            self.world.remove_message(page_id, name, target.id, vanish=what == "vanish", at_ms=at)
        elif what in {"tag", "silent tag"}:
            self.world.touch(page_id, name, silent=what != "tag", at_ms=at)
        elif what == "customer" and conversation.customer_id is None:
            conversation.customer_id = "found"
            self.world.touch(page_id, name, at_ms=at, customer_id="found")
        elif what == "future" and self.dice.random() < 0.1:
            self.ledger.excused.add(name)
            self._dated_next_year(conversation)
        else:
            self.world.add_message(page_id, name, at_ms=at)

    def _dated_next_year(self, conversation: Conversation) -> None:
        self.world.pages[self.page.id].move(conversation, (self._ms() + 365 * 86_400_000) * 1000)
        self.world.touch(self.page.id, conversation.id, silent=True, at_ms=self._ms())

    # What to compare

    def history(self) -> Iterator[str]:
        """Everything that was asked and published, in order."""
        yield from self.asked
        yield from (
            f"{e.kind} {e.conversation_id} {e.message_id} {e.content_hash.hex()}" for e in self.ledger.events
        )
