"""The shared schedule goes away, and comes back."""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from connector.budget.outage import Outage
from connector.model import Rate, Scope
from tests.unit.budget.worlds import PLAIN, World, most_in_a_window

PAGE = Scope("pancake:page:1", Rate(5, 1.0))
OTHER = Scope("pancake:page:2", Rate(5, 1.0))


async def test_the_process_goes_on_with_half_of_its_even_share() -> None:
    world = World(processes=2)
    for budget in world.budgets * 2:
        await budget.acquire(PAGE)
    world.schedule.away = True
    await world.budget.acquire(PAGE)
    moments = []
    for _ in range(5):
        await world.budget.acquire(PAGE)
        moments.append(world.now())
    # 5 a second, two processes, and half of that: one call in 0.8 s.
    assert [b - a for a, b in pairwise(moments)] == pytest.approx([0.8] * 4, abs=1e-4)
    assert world.budget.snapshot()[PAGE.name].degraded


async def test_a_process_that_never_heard_of_the_others_supposes_that_there_are_some() -> None:
    world = World()
    world.schedule.away = True
    await world.budget.acquire(PAGE)
    first = world.now()
    await world.budget.acquire(PAGE)
    assert world.now() - first == pytest.approx(0.2 * PLAIN.assumed_processes * 2, abs=1e-4)


async def test_an_outage_is_said_once_and_so_is_its_end() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    with capture_logs() as logs:
        world.schedule.away = True
        for scope in (PAGE, OTHER) * 5:
            await world.budget.acquire(scope)
        assert [log["event"] for log in logs] == ["budget degraded"]
        assert logs[0]["error"] == "ConnectionError"
        world.schedule.away = False
        for scope in (PAGE, OTHER) * 5:
            await world.budget.acquire(scope)
    assert [log["event"] for log in logs] == ["budget degraded", "budget shared again"]
    assert not world.budget.snapshot()[PAGE.name].degraded


async def test_one_probe_a_second_whatever_waits() -> None:
    world = World()
    world.schedule.away = True
    scopes = [Scope(f"page:{number}", Rate(5, 1.0)) for number in range(30)]
    await asyncio.gather(*(world.budget.acquire(scope) for scope in scopes for _ in range(5)))
    moments = [moment for moment, _ in world.schedule.asks]
    assert most_in_a_window(moments, 1.0) == 1
    assert len(moments) >= int(world.now())


async def test_a_refusal_during_an_outage_holds_here_and_is_told_when_it_ends() -> None:
    world = World(processes=2)
    here, there = world.budgets
    await here.acquire(PAGE)
    world.schedule.away = True
    await here.acquire(PAGE)
    await here.refused(PAGE, 60.0)
    told = world.now()
    waiting = asyncio.create_task(here.acquire(PAGE))
    await world.clock.sleep(1.0)
    world.schedule.away = False
    await world.clock.sleep(6.0)
    await there.acquire(PAGE)
    assert world.now() >= told + 59.0
    await waiting


async def test_a_question_whose_answer_was_lost_is_not_sent_again_at_once() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    world.schedule.asks.clear()
    world.schedule.lose_replies = 1
    while len(world.schedule.asks) < 2:
        await world.budget.acquire(PAGE)
    (lost, _), (after, _) = world.schedule.asks
    assert after - lost >= 1.0


async def test_a_flush_grants_no_burst_though_the_others_hold_moments() -> None:
    world = World(processes=3)
    sends: list[float] = []

    async def work(number: int) -> None:
        for _ in range(12):
            await world.budgets[number].acquire(PAGE)
            sends.append(world.now())

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            for _ in range(3):
                group.create_task(work(number))
        for _ in range(20):
            await world.clock.sleep(0.77)
            world.schedule.forget()
    assert len(sends) == 108
    assert most_in_a_window(sends, 1.0) <= 5


async def test_a_single_process_loses_little_to_a_moment_without_answer() -> None:
    world = World()
    await world.budget.acquire(PAGE)
    world.schedule.lose_replies = 1
    began = world.now()
    for _ in range(10):
        await world.budget.acquire(PAGE)
    assert world.now() - began < 4.0


async def test_a_schedule_that_went_back_is_moved_up_again() -> None:
    world = World()
    sends: list[float] = []

    async def call() -> None:
        await world.budget.acquire(PAGE)
        sends.append(world.now())

    await call()
    world.schedule.keep()
    callers = [asyncio.create_task(call()) for _ in range(10)]
    await world.clock.sleep(0.9)
    world.schedule.fail_over()
    await asyncio.gather(*callers)
    assert min(later - sooner for sooner, later in pairwise(sorted(sends))) == pytest.approx(0.2, abs=1e-4)


async def test_who_finds_the_schedule_again_waits_until_the_others_must_have_found_it() -> None:
    world = World(processes=3)
    for budget in world.budgets * 2:
        await budget.acquire(PAGE)
    world.schedule.away = True
    await world.budget.acquire(PAGE)
    world.schedule.away = False
    world.schedule.asks.clear()
    while world.budget.snapshot()[PAGE.name].degraded:
        await world.budget.acquire(PAGE)
    found, _ = world.schedule.asks[0]
    assert world.clock.monotonic() >= found + 1.5


async def test_processes_are_remembered_over_an_outage_and_a_flush() -> None:
    world = World(processes=2)
    for budget in world.budgets * 2:
        await budget.acquire(PAGE)
    world.schedule.forget()
    await world.budget.acquire(PAGE)
    world.schedule.away = True
    await world.budget.acquire(PAGE)
    first = world.now()
    await world.budget.acquire(PAGE)
    assert world.now() - first == pytest.approx(0.8, abs=1e-4)


def test_an_answer_to_an_older_question_does_not_end_an_outage() -> None:
    outage = Outage(probe_every=1.0)
    outage.failed(10.0, TimeoutError())
    outage.answered(sent=9.9, now=10.1)
    assert outage.began == 10.0
    outage.answered(sent=11.0, now=11.1)
    assert outage.began is None
