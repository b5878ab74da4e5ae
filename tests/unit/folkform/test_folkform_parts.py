"""The small parts: room for bodies, what a guard keeps, second calls, and the token."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

from connector.errors import ConfigError, ContractError, UnauthorizedError, UnknownOutcomeError
from connector.folkform.access import Access
from connector.folkform.answers import StrangeAnswerError
from connector.folkform.caller import STRANGE_LIMIT
from connector.folkform.kept import keeps_rightly
from connector.folkform.repeats import REFUSED, Repeats
from connector.folkform.room import LARGE, LOST_IN_A_ROW, SMALLEST, Room
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.faults import Rule
from tests.unit.folkform import desk as desks
from tests.unit.folkform.desk import AT, OPTIONS, desk, message, snapshot

TEN = 10_000_000


# Room


def test_a_413_halves_the_room_and_calls_under_way_do_not_halve_it_again() -> None:
    room = Room(TEN)
    for size in (8_000_000, 7_000_000, 9_000_000):
        room.refused(size)
    assert room.limit == 3_500_000


def test_a_few_large_bodies_lost_in_a_row_shrink_the_room_and_small_ones_say_nothing() -> None:
    room = Room(TEN)
    for _ in range(LOST_IN_A_ROW - 1):
        room.lost(8_000_000)
        room.lost(LARGE)
    room.passed(LARGE)
    assert room.limit == TEN
    room.lost(8_000_000)
    assert room.limit == 4_000_000


def test_a_large_body_that_passes_shows_that_size_was_not_the_reason() -> None:
    room = Room(TEN)
    for _ in range(5):
        for _ in range(LOST_IN_A_ROW - 1):
            room.lost(8_000_000)
        room.passed(8_000_000)
    assert room.limit == TEN


@given(st.lists(st.tuples(st.sampled_from(["refused", "lost", "passed"]), st.integers(1, 2 * TEN))))
def test_room_only_shrinks_and_never_below_its_floor(history: list[tuple[str, int]]) -> None:
    room = Room(TEN)
    for what, size in history:
        before = room.limit
        getattr(room, what)(size)
        assert SMALLEST <= room.limit <= before


@desks.LARGE
async def test_over_a_line_too_slow_for_large_bodies_smaller_ones_arrive() -> None:
    async with desk(body_bytes=4 * 2**20) as counter:
        lane = [message(number, "x" * 1_000_000) for number in range(4)]
        counter.simulator.faults.add(Rule("reset", times=LOST_IN_A_ROW))
        with capture_logs() as logs:
            for _ in range(LOST_IN_A_ROW):
                with pytest.raises(UnknownOutcomeError):
                    await counter.write(*lane)
        assert [line["event"] for line in logs] == ["smaller bodies"]
        await counter.write(*lane)
        assert len(counter.simulator.store.items) == 4
        assert counter.calls() == LOST_IN_A_ROW + 2 + 2


# What a guard keeps


def held(**fields: object) -> bytes:
    return json.dumps([{"conversationId": "c1", "panCakeData": {"id": "c1", **fields}}]).encode()


def ours(**fields: object) -> bytes:
    return json.dumps({"id": "c1", **fields}).encode()


@pytest.mark.parametrize(
    ("there", "here", "rightly"),
    [
        ({"updated_at": AT}, {"updated_at": AT}, True),
        ({"updated_at": AT, "n": 1.0}, {"updated_at": AT, "n": 1}, True),
        ({"updated_at": AT}, {"updated_at": AT, "tags": [1]}, False),
        ({"updated_at": AT, "tags": [2]}, {"updated_at": AT, "tags": [1]}, False),
        # Newer there, by a microsecond even: FolkForm was right.
        ({"updated_at": "2026-03-03T04:03:22.000001"}, {"updated_at": AT, "tags": [1]}, True),
        # Older there, which it can have become only after the skip.
        ({"updated_at": "2026-03-03T04:03:21"}, {"updated_at": AT}, False),
        # The same moment written in other ways.
        ({"updated_at": "2026-03-03T04:03:22"}, {"updated_at": AT, "a": 1}, False),
        ({"updated_at": "2026-03-03T04:03:22Z"}, {"updated_at": AT, "a": 1}, False),
        # What cannot be compared is left to FolkForm.
        ({}, {"updated_at": AT}, True),
        ({"updated_at": 7}, {"updated_at": AT}, True),
        ({"updated_at": AT}, {"updated_at": "soon"}, True),
    ],
)
def test_a_skip_was_right_when_what_is_there_is_newer_or_the_same(
    there: dict[str, object],
    here: dict[str, object],
    rightly: bool,  # noqa: FBT001
) -> None:
    assert keeps_rightly(held(**there), ours(**here)) is rightly


@pytest.mark.parametrize(
    "data", [b"[]", b"null", b"{}", b'[{"panCakeData":null}]', b'[{"panCakeData":7}]', b"["]
)
def test_an_answer_that_shows_no_document_leaves_the_skip_as_it_is(data: bytes) -> None:
    assert keeps_rightly(data, ours(updated_at=AT))


# Second message calls


def test_two_conversations_whose_messages_alone_fail_are_the_servers_fault() -> None:
    repeats = Repeats()
    assert repeats.in_question("c1", "SYS_001: Internal Server Error")
    repeats.refused("c1")
    assert not repeats.in_question("c1", "")
    for number in range(1, REFUSED - 1):
        repeats.refused(f"c{number}")
    with pytest.raises(ContractError):
        repeats.refused("another")


def test_where_a_second_call_has_passed_nothing_is_in_question() -> None:
    repeats = Repeats()
    for ident in ("c1", "c2", "c1"):
        assert repeats.in_question(ident, "")
        repeats.passed(ident)
    assert not repeats.in_question("c3", "")


# The token


async def test_a_token_that_was_exchanged_in_its_file_is_read_again_once() -> None:
    async with desk(reread=SecretStr("sim-session-1")) as counter:
        counter.simulator.gate.login()
        with capture_logs() as logs:
            await counter.write(snapshot())
            await counter.write(message(1))
        assert counter.simulator.calls.statuses == {401: 1, 200: 2}
        assert [line["event"] for line in logs] == ["token read again"]
        assert "sim-session" not in repr(logs)


async def test_a_token_whose_successor_is_refused_too_ends_the_process() -> None:
    async with desk(reread=SecretStr("no-better")) as counter:
        counter.simulator.gate.login()
        with pytest.raises(UnauthorizedError):
            await counter.write(snapshot())
        assert counter.simulator.calls.statuses == {401: 2}


async def test_a_token_that_is_the_same_in_its_file_is_not_tried_again() -> None:
    async with desk(reread=SecretStr(OPTIONS.token)) as counter:
        counter.simulator.gate.login()
        with pytest.raises(UnauthorizedError):
            await counter.write(snapshot())
        assert counter.calls() == 1


def test_many_calls_refused_at_once_read_the_file_once() -> None:
    read: list[int] = []

    def reread() -> SecretStr:
        read.append(1)
        return SecretStr("new")

    access = Access(FolkFormSettings(token=SecretStr("old"), role_id="a" * 24), reread)
    refused = access.token
    assert all(access.renewed(refused) for _ in range(64))
    assert (len(read), access.token.get_secret_value()) == (1, "new")


def test_without_a_file_there_is_no_other_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    settings = FolkFormSettings(token=SecretStr("old"), role_id="a" * 24)
    assert not Access(settings).renewed(SecretStr("old"))
    file = tmp_path / "token"
    monkeypatch.setenv("CONNECTOR_FOLKFORM__TOKEN_FILE", str(file))
    with pytest.raises(ConfigError):
        Access(settings).renewed(SecretStr("old"))
    file.write_text("two words\n")
    with pytest.raises(ConfigError) as problem:
        Access(settings).renewed(SecretStr("old"))
    assert "two words" not in str(problem.value)
    file.write_text("new\n")
    access = Access(settings)
    assert access.renewed(SecretStr("old"))
    assert access.token.get_secret_value() == "new"


# Answers that are not FolkForm's


async def test_a_page_that_is_not_folkforms_is_tried_again_and_then_ends_with_advice() -> None:
    async with desk() as counter:
        counter.simulator.faults.add(Rule("status", status=200, body="<html>wartung</html>"))
        for _ in range(STRANGE_LIMIT - 1):
            with pytest.raises(StrangeAnswerError):
                await counter.write(message(1))
        with pytest.raises(ContractError) as problem:
            await counter.write(message(1))
        assert "CONNECTOR_FOLKFORM__BASE_URL" in problem.value.advice


async def test_strange_answers_between_which_others_come_through_are_no_contract() -> None:
    async with desk() as counter:
        counter.simulator.faults.add(Rule("truncate", where="1/c1"))
        for _ in range(2 * STRANGE_LIMIT):
            with pytest.raises(StrangeAnswerError):
                await counter.write(message(1))
            await counter.write(message(2, conversation_id="c2"))


async def test_an_answer_without_end_is_cut_off_and_the_call_repeated() -> None:
    async with desk(http=HttpSettings(max_answer_bytes=2000)) as counter:
        with pytest.raises(UnknownOutcomeError):
            await counter.write(snapshot("c1", {"x": "y" * 5000}))
        assert len(counter.simulator.store.documents) == 1
