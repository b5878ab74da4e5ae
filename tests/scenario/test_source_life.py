"""A page lives, its poller crashes at any moment: in the end everything it shows has been published."""

import asyncio
import random

import pytest

from connector.engine.backoff import Backoff
from connector.engine.poller import PagePoller, PollerTools
from connector.pancake.steps import Pace, ScanStep, Shapes
from connector.simulator.options import PancakeOptions
from connector.simulator.world import World, WorldConfig
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.pancake.direct import DirectClient, Topic, page_reader

START_MS = WorldConfig().start_ms
PACE = Pace(interval=2.0, overlap=5.0)


class Life:
    """One page, one topic, and pollers that come and go."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = FakeClock(auto=True, epoch_ms=START_MS + 60_000)
        config = WorldConfig(
            seed=seed,
            pages=1,
            conversations_per_page=self.dice.choice((0, 3, 12, 30, 80)),
            messages_per_conversation=self.dice.choice((0, 3, 20, 47)),
            plain=True,
            without_customer=0.1,
            count_drift=self.dice.choice((0.0, 0.3)),
        )
        self.world = World(config)
        self.page_id = next(iter(self.world.pages))
        options = PancakeOptions(
            conversation_page=self.dice.choice((4, 6, 25, 60)),
            message_page=self.dice.choice((20, 25, 30)),
            message_order=self.dice.choice(("newest_first", "oldest_first")),
            cursor_missing=self.dice.choice(("restart", "empty", "error")),
        )
        # A list with pages shorter than any that was ever seen cannot be told from one that has ended.
        self.removing = options.conversation_page >= Shapes().conversations
        self.client = DirectClient(self.world, self.clock, options)
        self.client.latency = lambda: (self.dice.random() * 0.3, self.dice.random() * 0.3)
        self.client.between = self.pass_time
        self.trouble = self.dice.choice((0.0, 0.0, 0.05))
        self.client.broken = lambda _: self.dice.random() < self.trouble
        self.rate = self.dice.choice((0.2, 1.0, 4.0))
        self.lived_ms = self.clock.epoch_ms()
        self.topic = Topic(self.clock, self.dice, delay=0.02, failures=self.dice.choice((0.0, 0.01)))
        self.metrics = Metrics()

    async def poll(self, *, seconds: float | None) -> None:
        """Poll as the connector does and die after so many seconds; None: until all is caught up."""
        reader = page_reader(self.client, self.topic, self.page_id, pace=PACE)
        backoff = Backoff(1.0, random.Random(1))
        tools = PollerTools(
            self.topic, self.topic, backoff, self.clock, self.metrics, lanes=self.dice.choice((1, 4))
        )
        poller: PagePoller[ScanStep] = PagePoller(self.page_id, reader, tools)
        running = asyncio.create_task(poller.run(once=seconds is None))
        if seconds is not None:
            await self.clock.sleep(seconds)
            running.cancel()
        await asyncio.gather(running, return_exceptions=seconds is not None)

    def pass_time(self) -> None:
        """What customers and staff did since somebody last looked."""
        now = self.clock.epoch_ms()
        while self.lived_ms < now and self.rate:
            self.lived_ms += max(1, round(self.dice.expovariate(self.rate) * 1000))
            self.something_happens()

    def something_happens(self) -> None:
        page, at = self.world.pages[self.page_id], self.lived_ms
        roll = self.dice.random()
        if roll < 0.1 or not page.by_updated:
            self.world.add_conversation(page.id, messages=self.dice.randrange(3), at_ms=at)
            return
        busy = page.by_updated[-5:] if roll < 0.6 else page.by_updated
        conversation = page.conversations[self.dice.choice(busy)[2]]
        if self.removing and roll > 0.95:
            self.world.remove_conversation(page.id, conversation.id)
            return
        match self.dice.choice(("message", "message", "edit", "touch", "remove", "customer")):
            case "edit" if conversation.messages:
                # Nothing but the newest page of a conversation is read again (see docs/DESIGN.md).
                target = self.dice.choice(conversation.messages[-3:])
                self.world.edit_message(page.id, conversation.id, target.id, at_ms=at)
            case "remove" if conversation.messages:
                self.world.remove_message(page.id, conversation.id, conversation.messages[-1].id, at_ms=at)
            case "touch":
                self.world.touch(page.id, conversation.id, at_ms=at, snippet=f"chốt {at}")
            case "customer" if conversation.customer_id is None:
                conversation.customer_id = "found"
                self.world.touch(page.id, conversation.id, at_ms=at, customer_id="found")
            case _:
                self.world.add_message(page.id, conversation.id, at_ms=at)


@pytest.mark.seeds
@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_the_topic_ends_with_what_the_page_shows(seed: int) -> None:
    life = Life(seed)
    for _ in range(life.dice.randrange(8)):
        await life.poll(seconds=life.dice.choice((0.3, 1.0, 5.0, 20.0)) * life.dice.random())
    life.trouble = life.rate = 0.0
    await life.poll(seconds=None)
    # One whole pass over a page on which nothing happens any more sees everything.
    await life.poll(seconds=None)
    assert life.topic.differs(life.world, life.page_id) == []
    assert life.topic.shelved == []
    life.metrics.close()
