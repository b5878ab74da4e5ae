"""How long is waited before the same is tried again."""

import random

from hypothesis import given
from hypothesis import strategies as st

from connector.engine.backoff import FIRST_SECONDS, Backoff
from connector.errors import UnavailableError

LONGEST = 60.0


def wait(tries: int, *, after: float | None = None, seed: int = 0) -> float:
    return Backoff(LONGEST, random.Random(seed)).wait(tries, UnavailableError("no", after=after))


@given(st.integers(1, 10_000), st.integers())
def test_it_is_never_nothing_and_never_longer_than_the_longest(tries: int, seed: int) -> None:
    assert FIRST_SECONDS / 4 <= wait(tries, seed=seed) <= LONGEST


@given(st.integers(1, 10_000), st.floats(0, 1e9), st.integers())
def test_what_the_other_side_asks_for_is_kept_up_to_an_hour(tries: int, after: float, seed: int) -> None:
    asked = min(after, 3600.0)
    assert asked < wait(tries, after=after, seed=seed) <= asked + LONGEST


def test_processes_that_failed_together_do_not_come_back_together() -> None:
    assert len({wait(8, seed=seed) for seed in range(50)}) == 50


def test_the_ceiling_doubles() -> None:
    highest = [max(wait(tries, seed=seed) for seed in range(500)) for tries in range(1, 6)]
    for tries, seconds in enumerate(highest, 1):
        ceiling = FIRST_SECONDS * 2**tries
        assert ceiling * 0.95 < seconds <= ceiling
