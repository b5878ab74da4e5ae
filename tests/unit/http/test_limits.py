from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.http.limits import limits_heard
from connector.model import LimitsHeard

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("headers", "heard"),
    [
        (
            {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "31"},
            LimitsHeard(100, None, 7, 31.0),
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000012"}, LimitsHeard(None, None, 0, 12.0)),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000012500"},
            LimitsHeard(None, None, 0, 12.5),
        ),
        (
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "9"},
            LimitsHeard(100, None, 50, 9.0),
        ),
        (
            {"ratelimit": "limit=10, remaining=4, reset=2", "ratelimit-policy": "10;w=1"},
            LimitsHeard(10, 1, 4, 2.0),
        ),
        (
            {
                "ratelimit": '"default";r=0;t=30',
                "ratelimit-policy": '"default";q=100;w=60, "day";q=5000;w=86400',
            },
            LimitsHeard(100, 60, 0, 30.0),
        ),
    ],
)
def test_every_form_in_use_is_understood(headers: Mapping[str, str], heard: LimitsHeard) -> None:
    assert limits_heard(headers, NOW_MS) == heard


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json", "retry-after": "7"},
        {"x-ratelimit-limit": "0", "x-ratelimit-reset": "-5"},
        {"x-ratelimit-limit": "many", "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "1e9"},
        {"x-ratelimit-limit": "9" * 40, "x-ratelimit-reset": "9" * 40},
        {"x-ratelimit-limit": "1000000001", "x-ratelimit-reset": "86400"},
        {"x-ratelimit-remaining": "", "x-ratelimit-reset": "1600000000"},
        {"ratelimit": "soon"},
    ],
)
def test_what_is_absurd_is_not_believed(headers: Mapping[str, str]) -> None:
    assert limits_heard(headers, NOW_MS) is None


def test_one_absurd_field_does_not_spoil_the_others() -> None:
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "no", "x-ratelimit-reset": "86400"}
    assert limits_heard(headers, NOW_MS) == LimitsHeard(limit=100)


NAMES = st.sampled_from(
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy",
     "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
)  # fmt: skip
WORDS = st.one_of(st.text(max_size=30), st.from_regex(r"[a-z]{1,9}=[0-9]{1,20}([;,] ?[a-z]=[0-9]{1,20})*"),
                  st.integers(-(10**20), 10**20).map(str))  # fmt: skip


@given(st.dictionaries(NAMES, WORDS))
def test_no_header_makes_us_wait_longer_than_an_hour_or_believe_in_nothing(headers: dict[str, str]) -> None:
    heard = limits_heard(headers, NOW_MS)
    if heard is not None:
        assert heard.limit is None or 1 <= heard.limit <= 10**9
        assert heard.reset is None or 0 <= heard.reset <= 3600
        assert heard.remaining is None or heard.remaining >= 0
