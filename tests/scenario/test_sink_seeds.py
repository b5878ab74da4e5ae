"""
Ten thousand small worlds of sinks, each from one seed, and the promise looked at after every step.

A failing world names its seed; ``SINK_SEED=<seed> pytest tests/scenario/test_sink_seeds.py`` plays that
one alone. ``SINK_SEEDS=<count>`` plays more or fewer.
"""

import os

import pytest

from tests.scenario.sink_world import SinkWorld

ONE = os.environ.get("SINK_SEED")
COUNT = int(os.environ.get("SINK_SEEDS", "10000"))
CHUNK = 250
CHUNKS = (
    [range(int(ONE), int(ONE) + 1)]
    if ONE
    else [range(n, min(n + CHUNK, COUNT)) for n in range(0, COUNT, CHUNK)]
)


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_whatever_happens_the_promise_holds(seeds: range) -> None:
    for seed in seeds:
        try:
            SinkWorld(seed).play()
        except Exception as problem:
            raise AssertionError(f"world {seed}; play it alone with SINK_SEED={seed}") from problem


def test_the_same_seed_plays_the_same_history() -> None:
    for seed in range(20):
        one, other = SinkWorld(seed), SinkWorld(seed)
        one.play()
        other.play()
        assert one.trace == other.trace
