"""What nobody knows of Pancake, as a table, and few combinations that hold every pair of it."""

from itertools import combinations

import msgspec

from connector.simulator.options import PancakeOptions
from connector.simulator.variants import UNKNOWN, as_observed, options, pairwise


def test_every_unknown_is_an_option_and_its_first_value_the_default() -> None:
    defaults = msgspec.to_builtins(PancakeOptions())
    told = {name: defaults[name] for name in UNKNOWN}
    likeliest = {name: values[0] for name, values in UNKNOWN.items()}
    assert told | {"refusal": "body"} == likeliest


def test_every_value_passes_for_what_it_is() -> None:
    for name, values in UNKNOWN.items():
        for value in values:
            assert getattr(options({name: value}), name) == value


def test_few_variants_hold_every_pair_of_values() -> None:
    chosen = pairwise()
    assert len(chosen) <= 30
    for a, b in combinations(UNKNOWN, 2):
        held = {(variant[a], variant[b]) for variant in chosen}
        assert len(held) == len(UNKNOWN[a]) * len(UNKNOWN[b]), (a, b)
    assert chosen == pairwise()


def test_what_was_observed_has_noise_missing_codes_and_rare_statuses() -> None:
    observed = as_observed()
    assert 1 <= observed.foreign_rate <= 2
    assert 0 < observed.codeless < 1
    assert observed.http_share < 0.1
    assert observed.retry_after == "none"
