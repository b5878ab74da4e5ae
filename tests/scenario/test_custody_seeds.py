"""
One regeneration for each token that died, whatever happens: ten thousand seeds.

One seed again: ``CUSTODY_SEED=123 .venv/bin/python -m pytest tests/scenario/test_custody_seeds.py``.
"""

import os

import pytest

from tests.scenario.custody_world import CustodyWorld, RegeneratedTooOftenError

SEEDS, CHUNK = 10_000, 500
GIVEN = os.environ.get("CUSTODY_SEED")
CHUNKS = [range(int(GIVEN), int(GIVEN) + 1)] if GIVEN else [
    range(first, first + CHUNK) for first in range(0, SEEDS, CHUNK)
]  # fmt: skip


def told(seed: int, world: CustodyWorld, problem: object) -> str:
    command = f"CUSTODY_SEED={seed} .venv/bin/python -m pytest tests/scenario/test_custody_seeds.py"
    return "\n".join([f"seed {seed}: {problem}", *world.history[-40:], f"again: {command}"])


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_eight_pollers_make_one_token_for_each_that_died_and_all_find_it(seeds: range) -> None:
    for seed in seeds:
        world = CustodyWorld(seed)
        try:
            world.run()
        except RegeneratedTooOftenError as problem:
            pytest.fail(told(seed, world, problem))
        if world.blind():
            pytest.fail(told(seed, world, f"no good token: {world.blind()}"))


def test_the_same_seed_tells_the_same_story() -> None:
    first, second, other = CustodyWorld(7), CustodyWorld(7), CustodyWorld(8)
    for world in (first, second, other):
        world.run()
    assert first.history == second.history
    assert first.history != other.history


def test_the_seeds_reach_what_they_are_to_prove() -> None:
    stories = []
    for seed in range(60):
        world = CustodyWorld(seed)
        world.run()
        stories += world.history
    for what in (
        "expires",
        "somebody else",
        "regenerates p1: 1 for",
        "dies",
        "freezes",
        "flushed",
        "fails over",
    ):
        assert any(what in line for line in stories), what
