"""
One exam for every Pancake that may be: whatever the contract marks as unknown, a sync ends whole.

The variants are few and hold every pair of values (`connector.simulator.variants`); each is the same story:
a first pass while people write, a crash, more life, and then rest. `VARIANT=7 pytest` repeats one of them.
"""

import os
import random
from collections.abc import Mapping

import pytest

from connector.http.client import Request
from connector.pancake.steps import Pace
from connector.simulator.variants import UNKNOWN, options, pairwise
from connector.simulator.world import WorldConfig
from tests.fakes.near import Shop

VARIANTS = pairwise()
CHOSEN = [int(os.environ["VARIANT"])] if "VARIANT" in os.environ else range(len(VARIANTS))
PACE = Pace(20.0, 40.0, reconcile=600.0, deep_every=1)
CONFIG = WorldConfig(pages=1, conversations_per_page=70, messages_per_conversation=33, plain=True)


class Life:
    """What people do while the connector reads: before any call, by the dice."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.dice = random.Random(seed)
        self.share = 0.25
        shop.client.before = self.before

    def before(self, _: Request) -> None:
        if self.dice.random() < self.share:
            self.shop.world.tick(self.shop.clock.epoch_ms())
            self.happens()

    def happens(self) -> None:
        world, page = self.shop.world, self.shop.page
        busy = page.by_updated[-8:] if self.dice.random() < 0.6 else page.by_updated
        conversation = page.conversations[self.dice.choice(busy)[2]]
        said = self.dice.choice(conversation.messages) if conversation.messages else None
        match self.dice.choice(("say", "say", "say", "edit", "tag", "new", "remove", "vanish", "go")):
            case "edit" if said is not None:
                world.edit_message(page.id, conversation.id, said.id)
            case "remove" if said is not None:
                world.remove_message(page.id, conversation.id, said.id)
            case "vanish" if said is not None:
                world.remove_message(page.id, conversation.id, said.id, vanish=True)
            case "tag":
                world.touch(page.id, conversation.id)
            case "new":
                world.add_conversation(page.id, messages=self.dice.randrange(3))
            case "go" if len(page.conversations) > 50:
                world.remove_conversation(page.id, conversation.id)
            case _:
                world.add_message(page.id, conversation.id)


def shop_under(variant: Mapping[str, object]) -> Shop:
    return Shop(CONFIG, options(variant, rate=8), rate="8/1s", pace=PACE)


def told(number: int) -> str:
    likeliest = {name: values[0] for name, values in UNKNOWN.items()}
    others = [f"{name}={value}" for name, value in VARIANTS[number].items() if likeliest[name] != value]
    return f"{number}: {' '.join(others) or 'the likeliest'}"


@pytest.mark.seeds
@pytest.mark.parametrize("number", CHOSEN, ids=told)
async def test_a_sync_ends_whole_under_every_variant(number: int) -> None:
    shop = shop_under(VARIANTS[number])
    life = Life(shop, number)
    await shop.for_seconds(20.0)
    await shop.once()
    await shop.for_seconds(120.0)
    life.share = 0.0
    # Two reconciles: what the first one finds is owed, and healed before the second ends.
    await shop.for_seconds(1500.0)
    assert shop.differs() == [], told(number)
    assert shop.topic.shelved == []
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("name", UNKNOWN)
async def test_a_quiet_page_is_read_whole_in_one_pass_whichever_value_one_unknown_has(name: str) -> None:
    for value in UNKNOWN[name]:
        shop = Shop(CONFIG, options({name: value}, rate=None), pace=PACE)
        await shop.once()
        assert shop.differs() == [], (name, value)
        assert shop.pollers[shop.page.id].reader.holes == 0, (name, value)
