"""Pancake's answers at the door: objects cut out as they are, and the few fields that we act on."""

import pytest

from connector.errors import UnknownOutcomeError
from connector.pancake.wire import (
    content_hash,
    cut_conversations,
    cut_thread,
    fingerprint,
    mend,
    milliseconds,
    number,
    text_id,
)

AT = 1_772_510_602_263  # 2026-03-03T04:03:22.263


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-03-03T04:03:22.263935", AT),
        ("2026-03-03T04:03:22", AT - 263),
        ("2026-03-03T04:03:22.263Z", AT),
        ("2026-03-03T11:03:22.263935+07:00", AT),
        (1_772_510_602, AT - 263),
        (1_772_510_602.263, AT),
        (AT, AT),
        ("", 0),
        ("yesterday", 0),
        ("2026-13-03T04:03:22", 0),
        (None, 0),
        (True, 0),
        ({"at": 1}, 0),
        (0, 0),
        # What no clock shows is no time: it could not be stored, and must not become a watermark.
        (10**30, 0),
        (-(10**30), 0),
        (1e300, 0),
        (-5, 0),
        ("1969-12-31T23:59:59", 0),
    ],
)
def test_a_time_is_utc_milliseconds_or_none(value: object, moment: int) -> None:
    assert milliseconds(value) == moment


@pytest.mark.parametrize(
    ("value", "count"), [(7, 7), (0, 0), (-1, 0), (True, 0), ("7", 0), (None, 0), (1.5, 0), (10**30, 0)]
)
def test_a_count_is_a_small_whole_number_or_none(value: object, count: int) -> None:
    assert number(value) == count


@pytest.mark.parametrize("value", ["1", "t_0:1:2", "a@b.c", " x", "\ufffd"])
def test_a_string_with_something_in_it_is_an_id(value: str) -> None:
    assert text_id(value) == value


@pytest.mark.parametrize("value", ["", "  ", "\n", "a\0b", None, 17, 1.0, True, [], {"id": "1"}])
def test_what_cannot_be_a_key_is_no_id(value: object) -> None:
    assert text_id(value) == ""


@pytest.mark.parametrize(
    ("body", "readable"),
    [
        (rb'"plain \ud83d\ude00"', rb'"plain \ud83d\ude00"'),
        (rb'"cut \ud83d"', rb'"cut \ufffd"'),
        (rb'"tail \ude00"', rb'"tail \ufffd"'),
        (rb'"\uD83D\uD83D\uDE00"', rb'"\ufffd\uD83D\uDE00"'),
        (rb'"not an escape \\ud83d"', rb'"not an escape \\ud83d"'),
        (rb'"an escape \\\ud83d"', rb'"an escape \\\ufffd"'),
    ],
)
def test_only_half_a_pair_is_mended_and_no_byte_moves(body: bytes, readable: bytes) -> None:
    assert mend(body) == readable
    assert len(mend(body)) == len(body)


def test_half_a_pair_stays_in_the_object_that_is_passed_on() -> None:
    first, second = rb'{"id":"1","snippet":"\ud83d"}', rb'{ "id" : "2" }'
    cuts = cut_conversations(b'{"conversations":[' + first + b" ,\n" + second + b"]}", "x")
    assert [cut.raw for cut in cuts] == [first, second]


def test_a_thread_is_everything_beside_its_messages() -> None:
    thread = cut_thread(rb'{"success":true,"a":1.0,"messages":[],"b":{"x":1e5}}', "x")
    assert thread.rest == b'{"a":1.0,"b":{"x":1e5}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"success":true}',
        b'{"conversations":{}}',
        b'{"conversations":[}',
        b"[" * 9999,
    ],
)
def test_a_list_that_is_none_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        cut_conversations(body, "x")


@pytest.mark.parametrize(
    "body", [b"", b"null", b'{"success":true}', b'{"messages":null}', b'{"messages":[1,']
)
def test_a_thread_that_is_none_is_asked_for_again(body: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        cut_thread(body, "x")


def test_every_byte_counts_as_content() -> None:
    assert content_hash(b'{"a":1}') != content_hash(b'{"a": 1}')
    assert fingerprint("m1", b"x") != fingerprint("m2", b"x")
    assert fingerprint("m1", b"x") != fingerprint("m1", b"y")
