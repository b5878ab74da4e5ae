"""
Pages change hands in every way, and nothing is lost, and nobody writes for what another has claimed.

One seed again: ``TAKEOVER_SEED=123 .venv/bin/python -m pytest tests/scenario/test_takeover_seeds.py``.
"""

import os

import pytest

from tests.scenario.takeover_world import TakeoverWorld

SEEDS, CHUNK = 300, 25
GIVEN = os.environ.get("TAKEOVER_SEED")
CHUNKS = [range(int(GIVEN), int(GIVEN) + 1)] if GIVEN else [
    range(first, first + CHUNK) for first in range(0, SEEDS, CHUNK)
]  # fmt: skip


def told(seed: int, world: TakeoverWorld, problem: object) -> str:
    command = f"TAKEOVER_SEED={seed} .venv/bin/python -m pytest tests/scenario/test_takeover_seeds.py"
    return "\n".join([f"seed {seed}: {problem}", *world.history, f"again: {command}"])


async def story(seed: int) -> TakeoverWorld:
    world = TakeoverWorld(seed)
    try:
        await world.run()
    # Whatever goes wrong is told with the story that led there.
    except Exception as problem:  # noqa: BLE001
        pytest.fail(told(seed, world, problem))
    finally:
        await world.polling.close()
    return world


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
async def test_pages_change_hands_and_nothing_is_lost_or_written_for_another(seeds: range) -> None:
    for seed in seeds:
        await story(seed)


async def test_the_same_seed_tells_the_same_story() -> None:
    first, second, other = await story(7), await story(7), await story(8)
    assert first.history == second.history != other.history
    assert first.polling.broker.logs == second.polling.broker.logs
