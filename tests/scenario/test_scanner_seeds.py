"""
Ten thousand lives of one page. After every stage each saved claim is true; in the end the topic is the page.

A failing seed is in the assertion; `SCAN_SEED=123 pytest tests/scenario/test_scanner_seeds.py` runs it alone.
"""

import os

import pytest

from tests.fakes.rehearsal import Rehearsal

SEEDS = 10_000
CHUNK = 250
STAGES = 120
ALONE = os.environ.get("SCAN_SEED")
CHUNKS = (
    [range(int(ALONE), int(ALONE) + 1)] if ALONE else [range(n, n + CHUNK) for n in range(0, SEEDS, CHUNK)]
)


def lived(seed: int) -> Rehearsal:
    rehearsal = Rehearsal(seed)
    rehearsal.live(STAGES)
    rehearsal.end_well()
    return rehearsal


@pytest.mark.seeds
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_whatever_happens_each_claim_is_true_and_the_topic_ends_as_the_page(seeds: range) -> None:
    for seed in seeds:
        try:
            rehearsal = lived(seed)
            assert rehearsal.ledger.differs(rehearsal.world) == []
        except Exception as problem:
            raise AssertionError(f"SCAN_SEED={seed}: {problem}") from problem


@pytest.mark.parametrize("seed", [1, 7, 99])
def test_the_same_seed_is_the_same_history(seed: int) -> None:
    assert list(lived(seed).history()) == list(lived(seed).history())
