"""What goes into a topic comes out the same, and junk comes out as a reason, never as a surprise."""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from connector.codec import (
    UndecodableError,
    cursor_key,
    decode_cursor,
    decode_dead_letter,
    decode_event,
    decode_hint,
    decode_page,
    decode_status,
    encode_cursor,
    encode_dead_letter,
    encode_event,
    encode_hint,
    encode_page,
    encode_status,
    event_key,
    hint_key,
    schema_folder,
    schema_ids,
    status_key,
)
from connector.model import (
    Backfill,
    Completeness,
    CursorRecord,
    DeadLetter,
    Event,
    Hole,
    Kind,
    Origin,
    Page,
    PageStatus,
    Partition,
    Problem,
    Reconciled,
)

REASONS = {"bad_frame", "unknown_schema", "bad_avro"}
LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
ID = TEXT.filter(bool)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event: what its kind does not have is empty."""
    kind = draw(st.sampled_from(Kind))
    return Event(
        kind,
        draw(ID),
        draw(ID),
        draw(ID),
        draw(TEXT),
        draw(ID) if kind is Kind.MESSAGE else "",
        0 if kind in {Kind.THREAD, Kind.VANISHED} else draw(LONG),
        draw(LONG) if kind is Kind.CONVERSATION else 0,
        draw(LONG),
        draw(st.binary(max_size=8)),
        draw(st.sampled_from(Origin)),
        draw(st.binary(max_size=200)),
    )


@st.composite
def letters(draw: st.DrawFn) -> DeadLetter:
    place = draw(st.none() | st.builds(Partition, ID, st.integers(0, 9_999)))
    return DeadLetter(
        draw(st.binary(max_size=20)),
        draw(st.binary(max_size=100)),
        Problem(
            draw(ID),
            draw(TEXT),
            draw(st.none() | st.integers(100, 599)),
            draw(st.integers(1, 99)),
            draw(TEXT),
            draw(TEXT),
        ),
        draw(LONG),
        place,
        None if place is None else draw(st.integers(0, 2**62)),
        None if place is None else draw(LONG),
        tuple(draw(st.lists(st.tuples(TEXT, st.binary(max_size=9)), max_size=3))),
        draw(LONG),
        draw(TEXT),
    )


COUNT = st.integers(0, 2**63 - 1)
STATUSES = st.builds(
    PageStatus,
    st.builds(
        Completeness,
        ID,
        COUNT,
        COUNT,
        st.lists(st.builds(Hole, TEXT, ID, COUNT), max_size=3).map(tuple),
        COUNT,
        COUNT,
        st.builds(Backfill, COUNT, st.booleans(), COUNT, COUNT, COUNT, st.floats(0, 1e6)),
        st.builds(Reconciled, COUNT, COUNT, COUNT, COUNT, COUNT),
    ),
    COUNT,
    ID,
    TEXT,
    COUNT,
)
CURSORS = st.builds(CursorRecord, ID, TEXT, st.binary(max_size=100))
VALUES = st.one_of(
    events().map(encode_event),
    letters().map(encode_dead_letter),
    CURSORS.map(lambda cursor: encode_cursor(cursor, owner="me", saved_at=1)),
    st.builds(Page, ID, ID, TEXT, TEXT).map(lambda page: encode_page(page, observed_at=1)),
    ID.map(lambda page_id: encode_hint(page_id, hinted_at=1)),
    STATUSES.map(encode_status),
)
DECODERS: list[Callable[[bytes | None], object]] = [
    decode_event,
    decode_cursor,
    decode_dead_letter,
    decode_hint,
    decode_page,
    decode_status,
]


@given(events())
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(st.builds(Page, ID, ID, TEXT, TEXT))
def test_a_page_comes_back_as_it_was(page: Page) -> None:
    assert decode_page(encode_page(page, observed_at=1)) == page


@given(ID)
def test_a_hint_names_its_page_and_lies_beside_its_record(page_id: str) -> None:
    assert decode_hint(encode_hint(page_id, hinted_at=1)) == page_id
    assert hint_key(page_id) != page_id.encode()


@given(STATUSES)
def test_a_status_comes_back_as_it_was(status: PageStatus) -> None:
    assert decode_status(encode_status(status)) == status
    page_id = status.completeness.page_id
    assert len({status_key(page_id), hint_key(page_id), page_id.encode()}) == 3


@given(CURSORS)
def test_a_cursor_comes_back_as_it_was(cursor: CursorRecord) -> None:
    assert decode_cursor(encode_cursor(cursor, owner="me", saved_at=1)) == cursor


@given(letters())
def test_a_dead_letter_comes_back_as_it_was(letter: DeadLetter) -> None:
    assert decode_dead_letter(encode_dead_letter(letter)) == letter


FIRST = bytes.fromhex(  # as release 0.1.0 wrote it
    "00000dbba6022070616e63616b652e6d65737361676573020602540a6331006d310c0076616c75650e72656675736564"
    "2048545450203430302056414c5f30303202a0060680a0abfef9620a302e312e30"
)


def test_a_letter_of_the_first_version_is_still_read_and_says_nothing_that_it_did_not() -> None:
    assert decode_dead_letter(FIRST) == DeadLetter(
        b"c1\0m1",
        b"\0value",
        Problem("refused", "HTTP 400 VAL_002", 400, 3),
        1_700_000_000_000,
        Partition("pancake.messages", 3),
        42,
    )


def test_any_avro_reader_of_the_newer_letter_reads_the_older_one() -> None:
    # What a schema registry calls BACKWARD: every new field has a default.
    old, new = (
        fastavro.parse_schema(
            json.loads((schema_folder() / f"dead_letter.{version}.avsc").read_text("utf-8"))
        )
        for version in ("v1", "v2")
    )
    read: Any = fastavro.schemaless_reader(io.BytesIO(FIRST[5:]), old, new)
    assert (read["reason"], read["headers"], read["answer"]) == ("refused", [], None)


def reason(decode: Callable[[bytes | None], object], value: bytes | None) -> str | None:
    """Why it cannot be decoded; None when it can."""
    try:
        decode(value)
    except UndecodableError as problem:
        return problem.reason
    return None


def gives_a_value_or_a_reason(value: bytes | None) -> None:
    for decode in DECODERS:
        assert reason(decode, value) in {None, *REASONS}


@given(VALUES, st.data())
def test_a_value_cut_short_is_no_record(value: bytes, data: st.DataObject) -> None:
    cut = value[: data.draw(st.integers(0, len(value) - 1))]
    for decode in DECODERS:
        assert reason(decode, cut) in REASONS


@given(VALUES, st.data())
def test_a_value_with_a_wrong_byte_gives_a_value_or_a_reason(value: bytes, data: st.DataObject) -> None:
    broken = bytearray(value)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    gives_a_value_or_a_reason(bytes(broken))


@given(st.none() | st.binary(max_size=60), st.sampled_from([None, *sorted(schema_ids().values())]))
def test_junk_gives_a_value_or_a_reason(body: bytes | None, schema: int | None) -> None:
    head = b"" if schema is None else b"\0" + schema.to_bytes(4, "big")
    gives_a_value_or_a_reason(None if body is None else head + body)


@given(VALUES, st.binary(min_size=1, max_size=5))
def test_bytes_behind_a_record_make_it_none(value: bytes, more: bytes) -> None:
    for decode in DECODERS:
        assert reason(decode, value + more) in REASONS


@given(events(), events())
def test_keys_are_equal_only_for_the_same_thing(one: Event, other: Event) -> None:
    def thing(event: Event) -> tuple[str, str]:
        # In its topic beside the snapshot, which compaction must keep too.
        gone = event.kind is Kind.VANISHED
        return event.conversation_id, "vanished" if gone else event.message_id

    if "\0" not in one.conversation_id + other.conversation_id:
        assert (event_key(one) == event_key(other)) == (thing(one) == thing(other))


@given(CURSORS, CURSORS)
def test_cursor_keys_are_equal_only_for_the_same_place(one: CursorRecord, other: CursorRecord) -> None:
    def place(cursor: CursorRecord) -> tuple[str, str]:
        return cursor.page_id, cursor.conversation_id

    if "\0" not in one.page_id + other.page_id:
        assert (cursor_key(one) == cursor_key(other)) == (place(one) == place(other))


def test_a_claim_has_a_key_of_its_own() -> None:
    assert cursor_key(CursorRecord("", "", b"")) == b"claim"


def test_every_schema_that_is_shipped_has_an_id_and_the_other_way_round() -> None:
    assert {path.stem for path in schema_folder().glob("*.avsc")} == set(schema_ids())
    assert len(set(schema_ids().values())) == len(schema_ids())
    # Registries count from 1: embedded ids must never meet theirs.
    assert min(schema_ids().values()) > 900_000
    assert all(json.loads(path.read_text("utf-8"))["name"] for path in schema_folder().glob("*.avsc"))
