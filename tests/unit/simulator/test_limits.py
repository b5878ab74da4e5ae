"""The limit of a page in every form that it may really have: nobody has told us which."""

from typing import Literal

import pytest

from connector.simulator.limits import ABSURD, Budget
from connector.simulator.options import PancakeOptions
from tests.unit.simulator.rig import PancakeRig

Window = Literal["sliding", "fixed", "bucket"]
WINDOWS: tuple[Window, ...] = ("sliding", "fixed", "bucket")


def refusals(options: PancakeOptions, moments: list[float]) -> list[bool]:
    budget = Budget("page", options.seed)
    return [budget.arrive(at, options) for at in moments]


def even(calls_per_second: float, seconds: float = 60.0, begin: float = 1000.0) -> list[float]:
    return [begin + n / calls_per_second for n in range(round(seconds * calls_per_second))]


@pytest.mark.parametrize("window", WINDOWS)
def test_calls_spaced_as_the_limit_says_all_pass(window: Window) -> None:
    assert not any(refusals(PancakeOptions(rate=5, window=window), even(4.99)))


@pytest.mark.parametrize("window", WINDOWS)
def test_twice_the_limit_is_cut_to_it(window: Window) -> None:
    refused = refusals(PancakeOptions(rate=5, window=window, refused_count=False), even(10))
    assert 295 <= refused.count(False) <= 305


def test_a_sliding_window_allows_no_burst_around_any_moment() -> None:
    assert refusals(PancakeOptions(rate=2), [10.0, 10.9, 10.95, 11.0, 11.95]) == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_a_fixed_window_lets_twice_the_rate_pass_around_its_border() -> None:
    options = PancakeOptions(rate=5, window="fixed")
    border = next(at for at in even(1000, 1.0) if not any(refusals(options, [at - 0.002] * 5 + [at] * 5)))
    assert refusals(options, [border] * 6)[-1]


def test_a_bucket_takes_a_burst_and_then_what_flows_in() -> None:
    options = PancakeOptions(rate=5, window="bucket", refused_count=False)
    assert refusals(options, [10.0] * 7 + [10.21, 10.22, 10.41]) == [
        *[False] * 5, True, True, False, True, False,
    ]  # fmt: skip


def test_whoever_goes_on_calling_stays_refused_only_where_refused_calls_count() -> None:
    hammering = even(20, 10.0)
    assert refusals(PancakeOptions(rate=5), hammering).count(False) == 5
    assert refusals(PancakeOptions(rate=5, refused_count=False), hammering).count(False) >= 50


def test_a_penalty_shuts_the_page_for_its_seconds() -> None:
    options = PancakeOptions(rate=1, penalty=30.0, refused_count=False)
    assert refusals(options, [10.0, 10.5, 39.0, 68.9, 98.9]) == [False, True, True, True, False]


def test_a_limit_that_is_halved_or_quadrupled_counts_from_the_next_call_on() -> None:
    options, budget = PancakeOptions(rate=8, refused_count=False), Budget("page", 1)
    passed: list[int] = []
    for rate in (8, 4, 16):
        options.rate = rate
        moments = even(20, 10.0, begin=1000.0 + 10 * len(passed))
        passed.append(sum(not budget.arrive(at, options) for at in moments))
    assert passed == [pytest.approx(expected, rel=0.15) for expected in (80, 40, 160)]


def test_one_page_may_have_a_smaller_limit_than_the_others() -> None:
    options = PancakeOptions(rate=5, page_rates={"page": 1})
    assert refusals(options, [10.0, 10.0]) == [False, True]
    other = Budget("other", 1)
    assert not any(other.arrive(10.0, options) for _ in range(5))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_foreign_consumer_leaves_less_and_the_same_less_for_the_same_seed(window: Window) -> None:
    options = PancakeOptions(rate=5, foreign_rate=1.5, window=window, refused_count=False)
    refused = refusals(options, even(5, 200.0))
    assert 600 < refused.count(False) < 900
    assert refused == refusals(options, even(5, 200.0))


async def test_the_limit_changes_over_http_and_a_wrong_value_changes_nothing(pancake: PancakeRig) -> None:
    await pancake.control("POST", "act", {"verb": "set", "rate": 2, "refusal": "http", "window": "bucket"})
    assert [(await pancake.conversations()).status for _ in range(3)] == [200, 200, 429]
    for wrong in ({"rate": "many"}, {"window": "weekly"}, {"no_such": 1}, {"rate": 9, "window": 1}):
        answer = await pancake.control("POST", "act", {"verb": "set", **wrong})
        assert answer.status == 400, answer.body
        assert any(name in answer.json["error"] for name in wrong)
    assert pancake.simulator.options.rate == 2


async def test_an_absurd_retry_after_is_something_that_no_one_can_mean(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 0
    pancake.simulator.options.retry_after = "absurd"
    told = {(await pancake.conversations()).headers["Retry-After"] for _ in range(60)}
    assert told <= set(ABSURD)
    assert len(told) > 5


async def test_a_date_says_how_far_ahead_to_come_back(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 0
    pancake.simulator.options.retry_after, pancake.simulator.options.retry_after_seconds = "date", 90
    first = (await pancake.conversations()).headers["Retry-After"]
    pancake.clock.now += 60
    assert first.endswith("GMT")
    assert first != (await pancake.conversations()).headers["Retry-After"]
