"""What an API's headers say of its limit, in the forms that are in use; what is absurd is not believed."""

import re
from collections.abc import Mapping
from typing import TypeVar

from connector.model import LimitsHeard

Number = TypeVar("Number", int, float)

# The plain form (Fiber, express, GitHub), and the drafts of RateLimit: three fields (06 and before), one
# (07), one with a policy beside it (08 and after). draft-ietf-httpapi-ratelimit-headers.
PREFIXES = ("x-ratelimit-", "ratelimit-")
NUMBER = re.compile(r"\s*(\d{1,15})(?:\s*[,;].*)?", re.DOTALL)
PARAMETER = re.compile(r"\b(limit|remaining|reset|q|w|r|t)\s*=\s*(\d{1,15})\b")
MOST_CALLS = 10**9
LONGEST_RESET = 3600.0
EPOCH = 10**9  # a reset this large is a date: seconds since 1970, or milliseconds
EPOCH_MS = 10**12


def limits_heard(headers: Mapping[str, str], epoch_ms: int) -> LimitsHeard | None:
    """
    Return what the headers say of the limit; None when they say nothing that can be used.

    ``headers``: found by any case. A reset is seconds, or a date in seconds or milliseconds since 1970.
    """
    # Most answers say nothing, and each look into httpx's headers walks all of them.
    if not any("ratelimit" in name.lower() for name in headers):
        return None
    told = _one_field(headers) or _three_fields(headers)
    if not told:
        return None
    heard = LimitsHeard(
        limit=_between(told.get("limit"), 1, MOST_CALLS),
        period=_between(told.get("window"), 1, LONGEST_RESET),
        remaining=_between(told.get("remaining"), 0, MOST_CALLS),
        reset=_between(_seconds(told.get("reset"), epoch_ms), 0, LONGEST_RESET),
    )
    return None if heard == LimitsHeard() else heard


def _three_fields(headers: Mapping[str, str]) -> dict[str, int]:
    for prefix in PREFIXES:
        if prefix + "remaining" in headers or prefix + "limit" in headers:
            found = {
                name: NUMBER.fullmatch(headers.get(prefix + name, ""))
                for name in ("limit", "remaining", "reset")
            }
            return {name: int(match[1]) for name, match in found.items() if match}
    return {}


def _one_field(headers: Mapping[str, str]) -> dict[str, int]:
    text = headers.get("ratelimit", "")
    if not text:
        return {}
    # The first policy counts when there are several: which of them is ours the name alone would not tell.
    policy = dict(reversed(PARAMETER.findall(headers.get("ratelimit-policy", ""))))
    told = {**policy, **dict(reversed(PARAMETER.findall(text)))}
    names = {
        "limit": ("limit", "q"),
        "remaining": ("remaining", "r"),
        "reset": ("reset", "t"),
        "window": ("w",),
    }
    found = {name: next((told[key] for key in keys if key in told), None) for name, keys in names.items()}
    return {name: int(value) for name, value in found.items() if value is not None}


def _seconds(reset: int | None, epoch_ms: int) -> float | None:
    if reset is None or reset < EPOCH:
        return None if reset is None else float(reset)
    return (reset if reset >= EPOCH_MS else reset * 1000) / 1000 - epoch_ms / 1000


def _between(value: Number | None, least: float, most: float) -> Number | None:
    return value if value is not None and least <= value <= most else None
