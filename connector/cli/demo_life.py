"""What happens at Pancake while the demo runs: customers write, staff edit and tag, new people come."""

import asyncio
import random
from collections import Counter

from connector.clock import Clock
from connector.leaving import unless
from connector.simulator.inbox import Conversation, Page
from connector.simulator.world import World

RECENT = 20
# A message has no updated_at, so the poller sees an edit only on the newest page of messages (30) of a
# conversation that moved. Among the last five there is room for those that arrive before it looks.
EDITABLE = 5
KINDS = ("messages", "edits", "tags", "new conversations")


class Activity:
    """Seeded changes of a world, each of which a poller can see. ``counts``: how many, by kind."""

    def __init__(self, world: World, clock: Clock, *, per_second: float, seed: int = 1) -> None:
        self.counts = Counter(dict.fromkeys(KINDS, 0))
        self._world = world
        self._clock = clock
        self._per_second = per_second
        self._dice = random.Random(seed)  # noqa: S311

    async def run(self, quiet: asyncio.Event) -> None:
        """Let changes happen until ``quiet`` is set."""
        while await unless(quiet, self._clock.sleep(self._dice.expovariate(self._per_second))):
            self.act()

    def act(self) -> None:
        """Let one change happen now."""
        acts = {self._write: 70, self._edit: 15, self._tag: 8, self._begin: 7}
        [act] = self._dice.choices(list(acts), weights=list(acts.values()))
        act(self._dice.choice(list(self._world.pages.values())))

    def _write(self, page: Page) -> None:
        self._world.add_message(page.id, self._recent(page).id, at_ms=self._clock.epoch_ms())
        self.counts["messages"] += 1

    def _edit(self, page: Page) -> None:
        conversation = self._recent(page)
        message = self._dice.choice(conversation.messages[-EDITABLE:])
        self._world.edit_message(page.id, conversation.id, message.id, at_ms=self._clock.epoch_ms())
        self.counts["edits"] += 1

    def _tag(self, page: Page) -> None:
        self._world.touch(page.id, self._recent(page).id, at_ms=self._clock.epoch_ms())
        self.counts["tags"] += 1

    def _begin(self, page: Page) -> None:
        self._world.add_conversation(page.id, at_ms=self._clock.epoch_ms())
        self.counts["new conversations"] += 1

    def _recent(self, page: Page) -> Conversation:
        _, _, conversation_id = self._dice.choice(page.by_updated[-RECENT:])
        return page.conversations[conversation_id]
