"""Pancake's reality 41: webhooks that repeat, overtake, forget and stop. They speed us up, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from connector.clock import SystemClock
from connector.health import HealthServer
from connector.pancake.hooks import Hooks
from connector.pancake.steps import Pace
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import Change, World, WorldConfig
from connector.telemetry import Metrics
from tests.fakes.hints import ToldHints
from tests.fakes.near import Shop
from tests.unit.pancake.office import FastClock

SECRET = "a-secret"
TWO = WorldConfig(pages=2, conversations_per_page=3, messages_per_conversation=3, plain=True)


@dataclass
class Wire:
    """Pancake, and our endpoint that it posts to, over real sockets."""

    world: World
    simulator: PancakeSimulator
    hints: ToldHints
    metrics: Metrics = field(default_factory=Metrics)

    async def until_delivered(self, events: int) -> None:
        deliveries = self.simulator.webhooks.deliveries
        while deliveries.delivered + deliveries.failed < events:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.005)


@asynccontextmanager
async def wired(**given: float) -> AsyncIterator[Wire]:
    world = World(TWO)
    options = PancakeOptions()
    for name, value in given.items():
        setattr(options, name, value)
    wire = Wire(
        world, PancakeSimulator(world, options=options, clock=FastClock()), ToldHints(set(world.pages))
    )
    hooks = Hooks(SECRET, wire.hints, SystemClock(), wire.metrics)
    server = HealthServer("127.0.0.1:0", wire.metrics, dict, dict, hooks.routes())
    await server.start()
    await wire.simulator.start()
    options.webhook_url = f"{server.url}/hooks/pancake/{SECRET}"
    try:
        yield wire
    finally:
        await wire.simulator.stop()
        await server.stop()
        wire.metrics.close()


async def test_41_every_webhook_of_pancake_is_answered_and_is_a_hint_for_its_page() -> None:
    async with wired() as wire:
        for page in wire.world.pages.values():
            wire.world.add_message(page.id, next(iter(page.conversations)), odd="lone_surrogate")
        await wire.until_delivered(4)
        assert set(wire.hints.told) == set(wire.world.pages)
        assert wire.simulator.webhooks.deliveries.failed == 0


async def test_41_repeated_and_overtaken_webhooks_are_all_answered_so_that_we_are_never_cut_off() -> None:
    async with wired(webhook_repeats=1.0, webhook_reorders=0.5) as wire:
        page = next(iter(wire.world.pages.values()))
        for _ in range(40):
            wire.world.touch(page.id, next(iter(page.conversations)))
        await wire.until_delivered(60)
        assert wire.simulator.webhooks.deliveries.failed == 0
        # They all speak of one page, so few of them are passed on.
        assert 0 < len(wire.hints.told) < 20


@pytest.mark.parametrize("told", [0.0, 0.5, 1.0])
async def test_41_what_no_webhook_tells_of_is_found_by_polling(told: float) -> None:
    shop = Shop(TWO, pace=Pace(10.0, 20.0))
    await shop.once()
    tell(shop, every=round(1 / told) if told else 0)
    for _ in range(12):
        for page in shop.world.pages.values():
            shop.world.add_message(page.id, next(iter(page.conversations)))
    await shop.for_seconds(60.0)
    assert shop.differs() == []


@pytest.mark.parametrize("hinted", [False, True])
async def test_41_a_webhook_brings_the_next_look_at_a_quiet_page_forward(*, hinted: bool) -> None:
    shop = Shop(TWO, pace=Pace(10.0, 20.0, slowest=300.0))
    running = asyncio.create_task(shop.poller(shop.page.id).run())
    await shop.clock.sleep(3600.0)
    await next_look(shop)
    if hinted:
        shop.pollers[shop.page.id].hint()
    assert (await next_look(shop) < 10.0) is hinted
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def next_look(shop: Shop) -> float:
    """Seconds until the page is listed again."""
    looks, at = shop.calls("conversations"), shop.clock.monotonic()
    while shop.calls("conversations") == looks:
        await shop.clock.sleep(0.1)
    return shop.clock.monotonic() - at


def tell(shop: Shop, *, every: int) -> None:
    """Hint at the page of every so many changes; 0: of none."""
    told = 0

    def watch(change: Change) -> None:
        nonlocal told
        told += 1
        if every and told % every == 0 and change.page.id in shop.pollers:
            shop.pollers[change.page.id].reader.hint(shop.clock.monotonic())

    shop.world.watchers.append(watch)
