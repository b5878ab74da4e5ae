"""Whatever happens, no window of one period holds more calls than the limit says."""

import asyncio
import random
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.budget.budget import ScheduledBudget
from connector.budget.pace import BudgetOptions
from connector.model import Rate, Scope
from connector.ports import Priority
from tests.unit.budget.worlds import LateClock, TroubledSchedule, most_in_a_window

OPTIONS = BudgetOptions()


@dataclass(frozen=True)
class Story:
    rate: Rate
    processes: int
    callers: tuple[tuple[int, float, Priority], ...]  # process, seconds until it calls, class
    latest: float  # how late sleepers wake up, at worst
    slowness: float  # how long a question or an answer travels, at worst
    troubles: tuple[tuple[str, float], ...]  # what happens, seconds after the one before
    seed: int
    acquainted: bool = True  # all processes know of all before it begins


@st.composite
def stories(
    draw: st.DrawFn, *, troubles: tuple[str, ...], fewest_calls: int = 1, acquainted: bool = True
) -> Story:
    processes = draw(st.integers(1, 3))
    calls = draw(st.integers(max(fewest_calls, 1), 8))
    caller = st.tuples(st.integers(0, processes - 1), st.floats(0, 4), st.sampled_from(Priority))
    trouble = st.tuples(st.sampled_from(troubles), st.floats(0, 3)) if troubles else st.nothing()
    return Story(
        rate=Rate(calls, draw(st.sampled_from([0.5, 1.0, 10.0]))),
        processes=processes,
        callers=tuple(draw(st.lists(caller, min_size=10, max_size=60))),
        latest=draw(st.sampled_from([0.0, 0.01, 0.06])),
        slowness=draw(st.sampled_from([0.0, 0.005, 0.05])),
        troubles=tuple(draw(st.lists(trouble, max_size=8))),
        seed=draw(st.integers(0, 2**32)),
        acquainted=acquainted,
    )


async def told(story: Story) -> list[float]:
    """Live through it and return when calls were sent."""
    clock = LateClock(random.Random(story.seed), story.latest)
    schedule = TroubledSchedule(clock, slowness=story.slowness, random_=random.Random(story.seed))
    budgets = [ScheduledBudget(schedule, clock, OPTIONS) for _ in range(story.processes)]
    scope = Scope("page", story.rate)
    sends: list[float] = []

    async def call(process: int, wait: float, priority: Priority) -> None:
        await clock.sleep(wait)
        await budgets[process].acquire(scope, priority)
        sends.append(clock.monotonic())

    async def trouble() -> None:
        for what, wait in story.troubles:
            await clock.sleep(wait)
            if what == "refused":
                await budgets[0].refused(scope, None)
            else:
                strike(schedule, what)
        schedule.away = False

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            for process in range(story.processes if story.acquainted else 0):
                await group.create_task(call(process, 0.0, Priority.LIVE))
        group.create_task(trouble())
        for caller in story.callers:
            group.create_task(call(*caller))
    for budget in budgets:
        await budget.close()
    return sends


def strike(schedule: TroubledSchedule, trouble: str) -> None:
    if trouble == "away":
        schedule.away = not schedule.away
    else:
        schedule.forget()


def check(story: Story) -> None:
    sends = asyncio.run(told(story))
    assert len(sends) == len(story.callers) + 2 * story.processes * story.acquainted
    assert most_in_a_window(sends, story.rate.period) <= story.rate.calls


@settings(deadline=None, max_examples=150)
@given(stories(troubles=("refused", "forget")))
def test_no_window_is_overfull(story: Story) -> None:
    check(story)


@settings(deadline=None, max_examples=150)
@given(stories(troubles=("refused",), acquainted=False))
def test_no_window_is_overfull_when_processes_join_one_that_believed_itself_alone(story: Story) -> None:
    check(story)


@settings(deadline=None, max_examples=150)
@given(stories(troubles=("refused", "forget", "away"), fewest_calls=3))
def test_no_window_is_overfull_while_the_schedule_comes_and_goes(story: Story) -> None:
    """As many processes as calls, at most: more of them could meet by chance, each on its own share."""
    check(story)
