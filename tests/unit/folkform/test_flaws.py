"""What must not be sent is found before any call, alone; everything else is left in peace."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.errors import RejectedError
from connector.folkform.bodies import Parcel, conversation_body
from connector.folkform.dialects import DIALECTS
from connector.folkform.flaws import CHECKS, MOST_LEVELS, flaw_of
from connector.model import Kind
from connector.simulator.options import FolkFormOptions
from connector.simulator.store import Store
from connector.simulator.writing import Writer
from tests.unit.folkform.desk import CONVERSATION, MESSAGES, desk, event, message, snapshot, thread

FIRST = DIALECTS["generation1"]


def nested(levels: int) -> bytes:
    inner = levels - 1
    return b'{"id":"m1","d":' + b"[" * inner + b"]" * inner + b"}"


ROWS: list[tuple[bytes, str]] = [
    (b'{"id":"m1","n":1e999}', "number_out_of_range"),
    (b'{"id":"m1","n":[{"x":-1E+309}]}', "number_out_of_range"),
    (b'{"id":"m1","n":' + b"9" * 310 + b"}", "number_out_of_range"),
    (b'{"id":"m1","n":' + b"9" * 250 + b"e99}", "number_out_of_range"),
    (b'{"id":"m1","n":1.8e308}', "number_out_of_range"),
    (b'{"id":"m1","n":0.' + b"1" * 60 + b"E+400}", "number_out_of_range"),
    (b'{"id":"m1","n":[1, 2e999]}', "number_out_of_range"),
    (b'{"id":"m1","hex":"9e999","n":-2e999}', "number_out_of_range"),
    (b'{"id":"m1","a\\u0000b":1}', "nul_in_name"),
    (b'{"id":"m1","d":[{"\\u0000" : 1}]}', "nul_in_name"),
    (b'{"id":"m1","d":{"\\\\\\u0000":1}}', "nul_in_name"),
    (nested(MOST_LEVELS + 1), "nested_too_deep"),
    (b'{"id":17}', "id_mismatch"),
    (b'{"id":""}', "id_mismatch"),
    (b'{"id":null}', "id_mismatch"),
    (b"{}", "id_mismatch"),
    (b'{"id":"other"}', "id_mismatch"),
    (b'["m1"]', "not_an_object"),
    (b"null", "not_an_object"),
]
SOUND: list[bytes] = [
    b'{"id":"m1"}',
    b' { "id" : "m1" } ',
    b'{"\\u0069d":"m\\u0031"}',
    b'{"id":"m1","n":1.7e308,"m":-1e308,"z":1e-999,"y":0e999}',
    b'{"id":"m1","n":' + b"9" * 300 + b"}",
    b'{"id":"m1","uid":"999e999","color":"#9e9999","at":"1e9999"}',
    b'{"id":"m1","t":"1e999 and ' + b"9" * 400 + b'"}',
    b'{"id":"m1","t":"a\\u0000b","e\\\\u0000":1}',
    b'{"id":"m1","t":"\\"a\\u0000\\":"}',
    b'{"id":"m1","t":"' + b"[{" * 300 + b'"}',
    b'{"id":"m1","d":[' + b"{}," * 300 + b"{}]}",
    b'{"id":"m1","t":"\\ud83d"}',
    nested(MOST_LEVELS),
]


@pytest.mark.parametrize(
    ("payload", "reason"), ROWS, ids=[f"{reason} {at}" for at, (_, reason) in enumerate(ROWS)]
)
async def test_each_flaw_is_named_before_any_call_and_its_neighbours_pass(
    payload: bytes, reason: str
) -> None:
    async with desk() as counter:
        lane = [message(7), event(Kind.MESSAGE, payload, "m1"), message(9)]
        with pytest.raises(RejectedError) as problem:
            await counter.write(*lane)
        assert (problem.value.reason, problem.value.culprit, problem.value.status) == (reason, 1, None)
        assert counter.calls() == 0
        await counter.write(lane[0], lane[2])
        assert list(counter.simulator.store.items) == ["m7", "m9"]


@pytest.mark.parametrize("payload", SOUND, ids=range(len(SOUND)))
async def test_what_only_looks_suspicious_passes(payload: bytes) -> None:
    async with desk() as counter:
        await counter.write(event(Kind.MESSAGE, payload, "m1"))
        assert list(counter.simulator.store.items) == ["m1"]


@pytest.mark.parametrize(
    ("ident", "payload", "reason"),
    [
        ("65a0000000000000000000ff", b'{"id":"65a0000000000000000000ff"}', "id_like_object_id"),
        ("65A0000000000000000000FF", b'{"id":"65A0000000000000000000FF"}', "id_like_object_id"),
        ("c1", b'{"id":"c2"}', "id_mismatch"),
        ("c1", b'{"id":"c1","x":1e999}', "number_out_of_range"),
    ],
)
async def test_a_snapshot_that_would_be_stored_in_the_wrong_place_is_not_sent(
    ident: str, payload: bytes, reason: str
) -> None:
    async with desk() as counter:
        with pytest.raises(RejectedError) as problem:
            await counter.write(event(Kind.CONVERSATION, payload, conversation_id=ident))
        assert problem.value.reason == reason
        assert counter.calls() == 0


async def test_messages_of_a_conversation_whose_id_looks_like_an_object_id_are_written() -> None:
    # Their route matches by the text in the body, and turns nothing into an id of its own.
    async with desk() as counter:
        for _ in range(2):
            await counter.write(message(1, conversation_id="65a0000000000000000000ff"))
        assert len(counter.simulator.store.threads) == 1


@pytest.mark.parametrize("length", [100, 3000, 3300, 3400, 3500, 5000])
@pytest.mark.parametrize("letter", ["x", "ễ"])
async def test_an_id_too_long_for_a_request_line_is_found_before_the_server_closes_the_door(
    length: int, letter: str
) -> None:
    ident = letter * (length // len(letter.encode() * 3 if letter == "ễ" else b"x"))
    async with desk() as counter:
        refused = None
        try:
            await counter.write(snapshot(ident))
        except RejectedError as problem:
            refused = problem.reason
        assert refused in (None, "headers_too_large")
        # Either it passes or it is never sent: the server's own 431 would come by a broken connection.
        assert 431 not in counter.simulator.calls.statuses
        assert (refused is None) == (len(counter.simulator.store.documents) == 1)
        assert refused or length <= 3500


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"page_id": ""}, "missing_page_id"),
        ({"page_username": ""}, "missing_page_username"),
        ({"customer_id": ""}, "missing_customer_id"),
        ({"conversation_id": ""}, "missing_conversation_id"),
    ],
)
async def test_names_that_messages_require_are_missed_before_any_call(
    names: dict[str, str], reason: str
) -> None:
    async with desk() as counter:
        for lane in ((message(1, **names),), (thread({}, **names),)):
            with pytest.raises(RejectedError) as problem:
                await counter.write(*lane)
            assert (problem.value.reason, problem.value.status) == (reason, None)
        assert counter.calls() == 0


def test_no_flaw_says_what_is_in_the_event() -> None:
    for payload, _ in ROWS:
        flaw = flaw_of(event(Kind.MESSAGE, payload[:-1] + b',"message":"Chi Lan 0901234567"}', "m1"))
        assert flaw is None or "Lan" not in flaw.message
    assert len({flaw.reason for _, flaw in CHECKS}) == len(CHECKS)


TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        [r'"\u0000"', r'"\\u0000"', r'"\\\u0000"', r'"a\"\u0000"', '"1e999"', '"{[{["', r'"\ud83d"']
    ),
)
NUMBERS = st.sampled_from(
    [
        "0",
        "-1",
        "1.5",
        "1e5",
        "1e308",
        "1E+308",
        "2e308",
        "1e999",
        "-1e999",
        "1e-999",
        "0e999",
        "9" * 200,
        "9" * 309,
    ]
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.just("null")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ", ".join(parts) + "]"),
        # Of two members of one name only the last is there: nothing that we could, or should, know.
        st.lists(st.tuples(TEXTS, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ",".join(f"{name} :{value}" for name, value in pairs) + "}"
        ),
        st.tuples(inner, st.integers(1, 110)).map(lambda pair: "[" * pair[1] + pair[0] + "]" * pair[1]),
    ),
    max_leaves=8,
)


@given(VALUES)
@example("9" * 309)
@example("[" * 97 + "{" + '"a":1' + "}" + "]" * 97)
@example("[" * 98 + "{}" + "]" * 98)
def test_the_simulated_database_agrees_about_every_object(value: str) -> None:
    payload = b'{"id":"m1","v":' + value.encode() + b"}"
    sound = flaw_of(event(Kind.MESSAGE, payload, "m1")) is None
    writer = Writer(Store(FolkFormOptions()), FolkFormOptions())
    body = Parcel.of([event(Kind.MESSAGE, payload, "m1")], FIRST.messages).body(0, 1)
    query = 'filter={"conversationId":"m1"}'
    snap = event(Kind.CONVERSATION, payload, conversation_id="m1")
    assert accepted(writer, MESSAGES, "", body) == sound
    assert accepted(writer, CONVERSATION, query, conversation_body(snap, FIRST.conversations)) == sound


def accepted(writer: Writer, route: str, query: str, body: bytes) -> bool:
    from connector.simulator.envelopes import Failure  # noqa: PLC0415

    try:
        return writer.prepare(route, query, body).apply(1, "").status == 200
    except Failure:
        return False
