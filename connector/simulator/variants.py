"""
Pancake as it may be: what nobody could tell us (marked U in the contract), and every value that it may have.

A client is right only if it is right under each combination.
"""

import random
from collections.abc import Mapping, Sequence
from itertools import combinations

from connector.simulator.options import PancakeOptions, change

UNKNOWN: Mapping[str, Sequence[object]] = {
    "message_order": ("newest_first", "oldest_first"),
    "current_count_from": ("newest", "oldest"),
    "message_page": (30, 25, 20),
    "conversation_page": (60, 25),
    "cursor_missing": ("empty", "restart", "error"),
    "cursor_moved": ("follow", "stay", "empty", "error"),
    "cursor_inclusive": (False, True),
    "window_filters": ("order_by", "updated_at", "inserted_at"),
    "customer_id_required": (False, True),
    "unknown_conversation": ("error", "empty"),
    "error_form": ("body", "http"),
    "refusal": ("body", "http"),
    "retry_after": ("none", "seconds", "date", "absurd"),
    "window": ("sliding", "fixed", "bucket"),
    "refused_count": (True, False),
    "page_list": ("categorized", "pages"),
    "read_lag": (0.0, 3.0),
}
"""Field of `PancakeOptions` → its possible values, the one that is thought likeliest first."""

Variant = dict[str, object]


def options(variant: Mapping[str, object], **given: object) -> PancakeOptions:
    """Options of one variant, with whatever else is ``given``."""
    chosen = PancakeOptions()
    change(chosen, {**variant, **given})
    return chosen


def as_observed(seed: int = 1) -> PancakeOptions:
    """The defaults that the contract names for its realities 1, 2, 5 and 6."""
    return PancakeOptions(
        seed=seed, codeless=0.1, error_form="mixed", http_share=0.05, html_errors=True, refusal="mixed",
        retry_after="none", foreign_rate=1.5,
    )  # fmt: skip


def pairwise(seed: int = 1) -> list[Variant]:
    """Few variants that together hold every pair of values of any two fields; the likeliest is the first."""
    dice = random.Random(f"{seed}/pairwise")
    missing = {
        (a, i, b, j)
        for a, b in combinations(UNKNOWN, 2)
        for i in range(len(UNKNOWN[a]))
        for j in range(len(UNKNOWN[b]))
    }
    chosen = [dict.fromkeys(UNKNOWN, 0)]
    missing -= _pairs(chosen[0])
    while missing:
        tries = [_filled(dice, missing) for _ in range(20)]
        best = max(tries, key=lambda places: len(_pairs(places) & missing))
        missing -= _pairs(best)
        chosen.append(best)
    return [{name: UNKNOWN[name][at] for name, at in places.items()} for places in chosen]


Pair = tuple[str, int, str, int]


def _filled(dice: random.Random, missing: set[Pair]) -> dict[str, int]:
    places = {name: dice.randrange(len(values)) for name, values in UNKNOWN.items()}
    # One pair that is still missing, so that every round brings at least one.
    a, i, b, j = dice.choice(sorted(missing))
    return places | {a: i, b: j}


def _pairs(places: Mapping[str, int]) -> set[Pair]:
    return {(a, places[a], b, places[b]) for a, b in combinations(UNKNOWN, 2)}
