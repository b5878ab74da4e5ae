"""Webhooks as Pancake sends them: unsigned, repeated, out of order, with gaps, and cut off for good."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.webhooks import SUSPENSION_WINDOW, Deliveries, delays
from connector.simulator.world import World
from tests.unit.simulator.rig import SMALL, PancakeRig


@dataclass
class Receiver:
    """Somebody's endpoint: keeps what comes, and answers with ``status``."""

    url: str = ""
    status: int = 200
    heard: list[Any] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def hear(self, request: web.BaseRequest) -> web.Response:
        self.heard.append(json.loads(await request.read()))
        async with self.news:
            self.news.notify_all()
        return web.Response(status=self.status)

    async def until(self, many: int) -> list[Any]:
        async with self.news:
            await self.news.wait_for(lambda: len(self.heard) >= many)
        return self.heard


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.hear, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/pancake/s"
    yield receiver
    await runner.cleanup()


async def test_a_new_message_is_told_as_a_message_and_as_a_conversation(
    pancake: PancakeRig, receiver: Receiver
) -> None:
    pancake.simulator.options.webhook_url = receiver.url
    sent = pancake.world.add_message(pancake.page_id, pancake.conversation_id, text="chào")
    heard = {event["event_type"]: event for event in await receiver.until(2)}
    message, conversation = heard["messaging"], heard["conversation"]
    assert message["data"]["message"]["id"] == sent.id
    assert message["data"]["message"]["message"] == "chào"
    assert not {"request_id", "timestamp"} & message.keys()
    assert {"request_id", "timestamp"} <= conversation.keys()
    told = conversation["data"]["conversation"]
    assert (told["id"], told["version"]) == (pancake.conversation_id, 1)
    assert not {"updated_at", "message_count"} & told.keys()
    assert all(isinstance(tag, int) for tag in told["tags"])


async def test_a_change_of_tags_is_told_without_a_message_and_versions_grow(
    pancake: PancakeRig, receiver: Receiver
) -> None:
    pancake.simulator.options.webhook_url = receiver.url
    for _ in range(3):
        pancake.world.touch(pancake.page_id, pancake.conversation_id)
    heard = await receiver.until(3)
    assert sorted(event["data"]["conversation"]["version"] for event in heard) == [1, 2, 3]
    assert {event["event_type"] for event in heard} == {"conversation"}


async def test_a_page_that_is_parked_tells_that_it_is_disconnected(
    pancake: PancakeRig, receiver: Receiver
) -> None:
    pancake.simulator.options.webhook_url = receiver.url
    pancake.simulator.park(pancake.page_id)
    (event,) = await receiver.until(1)
    assert event["data"] == {"connect_status": "disconnected", "page_id": pancake.page_id}


async def test_who_fails_three_hundred_times_is_cut_off_until_a_person_comes(
    pancake: PancakeRig, receiver: Receiver
) -> None:
    receiver.status = 500
    simulator = pancake.simulator
    simulator.options.webhook_url = receiver.url
    for _ in range(300):
        pancake.world.touch(pancake.page_id, pancake.conversation_id)
    await receiver.until(300)
    while not simulator.webhooks.deliveries.suspended:  # noqa: ASYNC110 - the last answer is on its way
        await asyncio.sleep(0)
    receiver.status = 200
    pancake.world.touch(pancake.page_id, pancake.conversation_id)
    status = (await pancake.control("GET", "status")).json["webhooks"]
    assert status == {"delivered": 0, "failed": 300, "never_sent": 1, "suspended": True}
    await pancake.control("POST", "act", {"verb": "resume_webhooks"})
    pancake.world.touch(pancake.page_id, pancake.conversation_id)
    heard = await receiver.until(301)
    # What happened meanwhile is never told.
    assert heard[-1]["data"]["conversation"]["version"] == 302


async def test_nobody_is_told_without_a_url_and_a_dead_one_only_counts_as_failed(pancake: PancakeRig) -> None:
    pancake.world.touch(pancake.page_id, pancake.conversation_id)
    pancake.simulator.options.webhook_url = "http://127.0.0.1:9/nobody"
    pancake.world.touch(pancake.page_id, pancake.conversation_id)
    deliveries = pancake.simulator.webhooks.deliveries
    while not deliveries.failed:  # noqa: ASYNC110 - a refused connection is no event of ours
        await asyncio.sleep(0)
    assert (deliveries.delivered, deliveries.failed) == (0, 1)


async def test_a_world_that_outlives_its_simulator_tells_nobody_any_more() -> None:
    world = World(SMALL)
    simulator = PancakeSimulator(world, options=PancakeOptions(webhook_url="http://127.0.0.1:9/nobody"))
    await simulator.start()
    await simulator.stop()
    conversation = next(world.conversations())
    world.touch(conversation.page_id, conversation.id)
    assert world.watchers == []


def test_some_events_come_twice_some_late_and_some_never() -> None:
    options = PancakeOptions(webhook_repeats=0.2, webhook_reorders=0.3, webhook_gaps=0.1, webhook_delay=0.5)
    dice = random.Random(1)
    plans = [delays(dice, options) for _ in range(1000)]
    assert [delays(random.Random(1), options)] == plans[:1]
    sizes = [len(plan) for plan in plans]
    assert 60 < sizes.count(0) < 140
    assert 120 < sizes.count(2) < 240
    assert 200 < sum(plan[0] > 0.5 for plan in plans if plan) < 340
    assert delays(dice, PancakeOptions()) == [0.0]


@pytest.mark.parametrize(
    ("failures", "successes", "suspended"),
    [(299, 0, False), (300, 0, True), (300, 74, True), (300, 75, False), (1200, 301, False)],
)
def test_both_rules_must_be_met(failures: int, successes: int, *, suspended: bool) -> None:
    deliveries = Deliveries()
    for _ in range(successes):
        deliveries.told(10.0, accepted=True)
    for _ in range(failures):
        deliveries.told(10.0, accepted=False)
    assert deliveries.suspended is suspended


def test_failures_of_more_than_half_an_hour_ago_are_forgotten() -> None:
    deliveries = Deliveries()
    for _ in range(299):
        deliveries.told(10.0, accepted=False)
    deliveries.told(10.1 + SUSPENSION_WINDOW, accepted=False)
    assert not deliveries.suspended
