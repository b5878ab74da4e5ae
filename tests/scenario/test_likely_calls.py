"""Calls where change is likely, against round robin, over days of production's shape. Seeded, so no noise."""

import itertools

import pytest

from bench.likelihood import DAY, EPOCH, QUANTILES, Comparison, Shape, compare, likely, scans, world
from connector.pancake.likelihood import AT_ONCE, HINT_SECONDS, HINTS, LOOKS, Likelihood
from connector.settings import PollerSettings

FASTEST, SLOWEST = PollerSettings().interval, PollerSettings().interval_max


@pytest.fixture(scope="module", params=[1, 2, 3], ids="seed {}".format)
def default(request: pytest.FixtureRequest) -> Comparison:
    return compare(world(request.param, days=2), fastest=FASTEST, slowest=SLOWEST, hooks=False)


@pytest.fixture(scope="module", params=[1, 2, 3], ids="seed {}".format)
def hooked(request: pytest.FixtureRequest) -> Comparison:
    return compare(world(request.param, days=2), fastest=2 * FASTEST, slowest=2 * SLOWEST, hooks=True)


def test_changes_are_seen_as_soon_as_by_round_robin_with_half_its_calls(default: Comparison) -> None:
    assert default.likely.calls <= default.twice.calls / 2
    assert default.likely.mean <= default.twice.mean
    assert default.likely.at(0.5) <= 0.92 * default.twice.at(0.5)
    assert default.likely.at(0.9) <= default.twice.at(0.9)


def test_what_nothing_announces_waits_no_longer_than_the_slowest_pace(default: Comparison) -> None:
    assert default.likely.at(0.99) < 0.6 * SLOWEST
    assert default.likely.waits[-1] <= SLOWEST


def test_with_webhooks_the_wait_is_far_less_than_half_at_the_same_calls(hooked: Comparison) -> None:
    for take in QUANTILES.values():
        assert take(hooked.likely) <= 0.42 * take(hooked.same)
        assert take(hooked.likely) <= 0.8 * take(hooked.twice)


def test_without_any_clustering_hours_and_sizes_alone_still_save_calls() -> None:
    run = compare(world(4, days=2, shape=Shape(session=1)), fastest=FASTEST, slowest=SLOWEST, hooks=False)
    assert run.likely.mean <= 0.75 * run.same.mean


def test_every_page_is_scanned_within_its_minimum_whatever_the_others_do() -> None:
    for changes in world(5, days=1).pages:
        page = Likelihood(FASTEST, SLOWEST, epoch=EPOCH)
        moments = [moment for moment, _ in scans(page, changes, (), DAY)]
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        assert min(gaps) >= FASTEST * 0.999
        assert max(gaps) <= SLOWEST * 1.001


def test_a_flood_of_forged_hints_costs_a_bounded_share_and_takes_nothing_from_true_changes() -> None:
    nine, seconds = 9 * 3600.0, 600.0
    changes = [change - nine for change in world(6, days=1).pages[0] if change > nine]
    forged = [at / 1000 for at in range(int(seconds) * 1000)]
    flooded = list(scans(Likelihood(FASTEST, SLOWEST, epoch=EPOCH + nine), changes, forged, seconds))
    calm = list(scans(Likelihood(FASTEST, SLOWEST, epoch=EPOCH + nine), changes, (), seconds))
    true = sum(bool(found) for _, found in flooded)
    assert true > 10
    # A hint that met a true change was worth its calls: those are not the forger's.
    assert len(flooded) - len(calm) <= LOOKS * (HINTS + seconds / HINT_SECONDS + true)
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(flooded)]
    assert min(gaps) >= AT_ONCE * FASTEST * 0.99
    assert max(gaps) <= SLOWEST * 1.001


def test_the_same_seed_lives_through_the_same_days() -> None:
    one, other = (likely(world(7, days=1, learn=0), fastest=FASTEST, slowest=SLOWEST) for _ in range(2))
    assert one == other
    assert one != likely(world(8, days=1, learn=0), fastest=FASTEST, slowest=SLOWEST)
