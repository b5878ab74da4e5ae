import inspect
import json

import pytest

from bench.figures import Baseline, Figure, Result, at_least, at_most, number
from bench.profile import place
from bench.report import as_json, as_text, table


def test_a_figure_is_the_median_of_its_repeats_and_says_how_far_they_lie_apart() -> None:
    figure = Figure("rate", "events/s", [90.0, 100.0, 120.0])
    assert figure.median == 100.0
    assert figure.spread == pytest.approx(0.3)


def test_a_target_bounds_the_median_from_its_own_side() -> None:
    assert Figure("calls", "", [2080], at_most(2080)).met
    assert not Figure("calls", "", [2081], at_most(2080)).met
    assert Figure("rate", "", [40_000], at_least(40_000)).met
    assert not Figure("rate", "", [1, 39_999, 50_000], at_least(40_000)).met


def test_without_a_target_nothing_is_met_or_missed() -> None:
    assert Figure("rate", "", [1.0]).met is None


def test_the_ratio_compares_medians_and_is_none_without_something_to_divide_by() -> None:
    assert Figure("ours", "", [10, 20, 30], None, Baseline("theirs", [40, 40, 1])).ratio == 0.5
    assert Figure("ours", "", [10]).ratio is None
    assert Figure("ours", "", [10], None, Baseline("theirs", [0])).ratio is None


def test_a_figure_of_nothing_but_zeros_has_no_spread() -> None:
    assert Figure("calls over the limit", "", [0, 0, 0]).spread == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2020, "2,020"), (1234.5, "1,234"), (512.4, "512"), (12.34, "12.3"), (0.4567, "0.457")],
)
def test_numbers_keep_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_names_what_misses_its_target() -> None:
    figures = [
        Figure("sink: memory", "MB", [151.0], at_most(150)),
        Figure("seed: calls", "", [2050.0], at_most(2080), Baseline("the fewest", [2020])),
    ]
    text = as_text({"python": "3.11"}, {"sink": Result(figures, ["a line for people"])})
    memory, calls = (line for line in text.splitlines() if line.startswith("| s"))
    assert "≤ 150" in memory
    assert "NO" in memory
    assert "yes" in calls
    assert "1.01 of the fewest" in calls
    assert "a line for people" in text


def test_json_holds_every_repeat() -> None:
    figure = Figure("rate", "events/s", [1.0, 3.0, 2.0], at_least(5), Baseline("other", [4.0]))
    told = json.loads(as_json({"python": "3.11"}, {"sink": Result([figure])}))
    assert told["benchmarks"]["sink"]["figures"] == [
        {
            "name": "rate",
            "unit": "events/s",
            "values": [1.0, 3.0, 2.0],
            "median": 2.0,
            "spread": 1.0,
            "target": "≥ 5",
            "met": False,
            "baseline": {"name": "other", "values": [4.0]},
            "ratio": 0.5,
        }
    ]


def test_a_table_is_as_wide_as_its_widest_cell() -> None:
    assert list(table(("a", "b"), [("long", "1")])) == ["| a    | b |", "| ---- | - |", "| long | 1 |"]


def test_a_stack_frame_is_named_after_who_wrote_its_code() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    assert place(frame) == "test_figures"
