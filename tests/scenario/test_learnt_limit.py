"""
Processes that are behind find the true limit and use it up, whatever way it is counted.

On a virtual clock, against the Pancake simulator's own limiter: any second, the server's seconds, a bucket.
"""

from dataclasses import replace
from typing import Literal, get_args

import pytest

from connector.model import Rate
from connector.simulator.options import PancakeOptions
from tests.fakes.limited import Limited, run

Window = Literal["sliding", "fixed", "bucket"]
WINDOWS = get_args(Window)


def true(window: Window, rate: int = 5, *, refused_count: bool = True) -> PancakeOptions:
    return PancakeOptions(window=window, rate=rate, refused_count=refused_count)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_known_limit_is_used_to_99_percent_without_a_refusal(window: Window) -> None:
    ran = run(Limited(truth=true(window), calls=3_000))
    assert ran.refused == 0
    assert ran.used(5) >= 0.99


@pytest.mark.parametrize("window", WINDOWS)
def test_several_processes_use_it_to_96_percent_without_a_refusal(window: Window) -> None:
    ran = run(Limited(truth=true(window), calls=2_000, processes=3))
    assert ran.refused == 0
    assert ran.used(5) >= 0.955


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("refused_count", [True, False])
def test_a_hidden_limit_is_used_to_95_percent_with_50_refusals_in_10_000(
    window: Window,
    refused_count: bool,  # noqa: FBT001
) -> None:
    ran = run(Limited(truth=true(window, 4, refused_count=refused_count), calls=10_000))
    assert ran.refused <= 50
    assert ran.used(4) >= 0.95


@pytest.mark.parametrize("window", WINDOWS)
def test_a_limit_that_was_halved_is_found_within_ten_seconds(window: Window) -> None:
    ran = run(Limited(rate=Rate(6, 1.0), truth=true(window, 6), changes=[(60.0, {"rate": 3})], calls=900))
    assert ran.passed(60.0, 70.0) <= 3 * 10 + 3
    assert sum(refused for at, refused in ran.arrivals if at >= 70.0) <= 12
    assert ran.used(3, 75.0) >= 0.9


@pytest.mark.parametrize("window", WINDOWS)
def test_one_that_was_raised_fourfold_after_that_is_found_within_two_minutes(window: Window) -> None:
    changes = [(60.0, {"rate": 2}), (180.0, {"rate": 8})]
    ran = run(Limited(truth=true(window), changes=changes, calls=1_500))
    assert ran.used(5, 300.0, 330.0) >= 0.97


@pytest.mark.parametrize("window", WINDOWS)
def test_a_generous_ceiling_is_no_harm(window: Window) -> None:
    ran = run(Limited(rate=Rate(20, 1.0), truth=true(window), calls=3_000))
    assert ran.used(5, 60.0) >= 0.93
    assert sum(refused for at, refused in ran.arrivals if at >= 60.0) <= 0.008 * ran.passed(60.0)


def test_replicas_cut_the_limit_once_not_each_for_itself() -> None:
    alone = run(Limited(truth=true("fixed", 4), calls=3_000))
    three = run(Limited(truth=true("fixed", 4), calls=3_000, processes=3))
    assert three.used(4) >= 0.95
    assert three.refused <= alone.refused + 15


def test_while_redis_is_away_the_learnt_limit_is_kept() -> None:
    story = Limited(truth=true("fixed", 3), calls=1_000, processes=2, away=(120.0, 180.0))
    ran = run(story)
    assert sum(refused for at, refused in ran.arrivals if 120.0 <= at < 180.0) == 0
    assert ran.passed(120.0, 180.0) >= 60
    assert ran.used(3, 200.0) >= 0.9


def test_the_same_seed_is_the_same_history() -> None:
    story = Limited(truth=true("bucket", 3), calls=500, processes=2, seed=7)
    assert run(story) == run(story)


@pytest.mark.parametrize(("window", "least"), [("sliding", 0.2), ("fixed", 0.45), ("bucket", 0.85)])
def test_a_neighbour_that_calls_at_random_does_not_drive_us_away(window: Window, least: float) -> None:
    """How much of the rest can be used without seeing the neighbour is in docs/BENCHMARKS.md."""
    ran = run(Limited(truth=replace(true(window), foreign_rate=1.0), calls=2_000))
    assert ran.used(4) >= least
    assert ran.refused_per_10_000() <= 400


@pytest.mark.parametrize("window", WINDOWS)
def test_when_a_neighbour_leaves_the_whole_limit_is_found_within_four_minutes(window: Window) -> None:
    changes = [(0.0, {"foreign_rate": 2.0}), (120.0, {"foreign_rate": 0.0})]
    ran = run(Limited(truth=true(window), changes=changes, calls=2_000))
    assert ran.used(5, 360.0, 390.0) >= 0.97
