"""What MongoDB cannot take, so that a whole call fails for ever because of one element (B12)."""

import re
import sys
from collections.abc import Iterator

import msgspec

_ANY = msgspec.json.Decoder().decode
# Go takes a lone surrogate and stores U+FFFD; our decoder would refuse the whole body.
_LONE = re.compile(rb"(?<!\\)((?:\\\\)*)(?:(\\u[dD][89abAB]..\\u[dD][c-fC-F]..)|\\u[dD][89a-fA-F]..)")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
# A document may nest 100 levels (MongoDB's manual, limits); an object of Pancake stands one level down.
DEEPEST = 99
_ZEROS, _LONG = bytes.maketrans(b"123456789", b"000000000"), b"0" * 309


def checked(body: bytes) -> tuple[bytes, str]:
    """The body as the backend reads it, and why the database cannot take it at all, or an empty string."""
    try:
        return body, _poison(body)
    except msgspec.ValidationError as error:
        return body, str(error)
    except RecursionError:
        return body, "exceeded max depth"
    except msgspec.DecodeError:
        mended = _LONE.sub(lambda m: m[0] if m[2] else m[1] + b"\\ufffd", body)
        return (body, "") if mended == body else checked(mended)


def too_deep(element: bytes) -> bool:
    if element.count(b"{") + element.count(b"[") <= DEEPEST:
        return False
    return max(_depths(_TEXT.sub(b"", element)), default=0) > DEEPEST


def _depths(bare: bytes) -> Iterator[int]:
    depth = 0
    for byte in bare:
        depth += (byte in b"{[") - (byte in b"}]")
        yield depth


def _poison(body: bytes) -> str:
    parsed = _ANY(body)
    if b"\\u0000" in body and _has_nul_key(parsed):
        return "BSON key contains a NUL"
    # Our decoder makes whole numbers of any length; Go makes a float of what is beyond 64 bits.
    many = _LONG in body.translate(_ZEROS) and _has_infinite(parsed)
    return "value out of range" if many else ""


def _has_infinite(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_infinite, value.values()))
    if isinstance(value, list):
        return any(map(_has_infinite, value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


def _has_nul_key(value: object) -> bool:
    if isinstance(value, dict):
        return any("\0" in key or _has_nul_key(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_has_nul_key(inner) for inner in value)
