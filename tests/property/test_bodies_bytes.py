"""Whatever JSON object Pancake gives, the target gets those bytes: cut out, published, packed, stored."""

import asyncio
from urllib.parse import urlencode

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.codec import decode_event, encode_event
from connector.folkform.bodies import Parcel, conversation_body
from connector.folkform.dialects import DIALECTS
from connector.folkform.flaws import flaw_of
from connector.model import Event
from connector.pancake.wire import cut_conversations, cut_thread, mend
from connector.simulator.generations import CONVERSATION, MESSAGES
from connector.simulator.options import FolkFormOptions
from connector.simulator.store import Store
from connector.simulator.world import World, WorldConfig
from connector.simulator.writing import Writer
from tests.fakes.clock import FakeClock
from tests.unit.pancake.direct import DirectClient, Hand, Topic

FIRST = DIALECTS["generation1"]
SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
ESCAPES = st.sampled_from(
    [r"\n", r"\"", r"\\", r"\/", r"\u0000", r"\u0041", r"\u00e9", r"\ud83d\ude00", r"\ud83d", r"\uDE00"]
)
# Vietnamese in both normal forms, right to left, beyond the first plane, and everything else.
WORDS = st.sampled_from(
    ["Chốt đơn", "Cho\u0302\u0301t", "مرحبا", "\U0001f600", "\u2028", "\x7f", "</script>"]
)
LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"\\')
TEXTS = st.lists(st.one_of(LETTERS, WORDS, ESCAPES), max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
NUMBERS = st.one_of(
    st.integers().map(str),
    st.sampled_from(
        ["9007199254740993", "-0", "0.10", "1.0", "1e5", "1E+2", "-1.5e-7", "1" * 40, "0." + "1" * 30]
    ),
)
SCALARS = st.one_of(st.sampled_from(["null", "true", "false"]), NUMBERS, TEXTS)
# A NUL in a key is refused by the database behind FolkForm; so are numbers such as 1e999.
KEYS = st.one_of(
    st.sampled_from(
        ['"updated_at"', '"customer_id"', '"messages"', '"success"', '"a.b"', '"$at"', '""', '"inserted_at"']
    ),
    TEXTS.filter(lambda text: "u0000" not in text and "id" not in text),
)


@st.composite
def members(draw: st.DrawFn, values: st.SearchStrategy[str], first: str = "") -> str:
    """An object; ``first`` is a member that it has for certain, somewhere."""
    found = [
        f"{draw(SPACE)}{draw(KEYS)}{draw(SPACE)}:{draw(SPACE)}{draw(values)}{draw(SPACE)}"
        for _ in range(draw(st.integers(0, 4)))
    ]
    if first:
        found.insert(draw(st.integers(0, len(found))), f"{draw(SPACE)}{first}{draw(SPACE)}")
    return "{" + ",".join(found) + "}"


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(arrays(inner), members(inner)), max_leaves=12)


def objects(ident: str) -> st.SearchStrategy[bytes]:
    return members(VALUES, f'"id":"{ident}","customer_id":"k"').map(str.encode)


async def published(conversation: bytes, message: bytes) -> Topic:
    clock = FakeClock()
    world = World(WorldConfig(pages=1, conversations_per_page=0, plain=True))
    page_id = next(iter(world.pages))
    held = world.add_conversation(page_id, id="c1")
    held.data, held.messages[0].data, held.messages[0].id = conversation, message, "m1"
    topic = Topic(clock)
    await Hand(DirectClient(world, clock), topic, page_id).steps()
    return topic


def through_kafka(event: Event) -> Event:
    passed = decode_event(encode_event(event))
    assert passed == event
    return passed


@given(objects("c1"), objects("m1"))
@settings(max_examples=300, deadline=None)
def test_any_object_goes_through_byte_for_byte(conversation: bytes, message: bytes) -> None:
    topic = asyncio.run(published(conversation, message))
    assert topic.shelved == []
    snapshot = through_kafka(topic.conversations["c1"])
    said = through_kafka(topic.messages["c1", "m1"])
    assert (snapshot.payload, said.payload) == (conversation, message)
    assert (flaw_of(snapshot), flaw_of(said)) == (None, None)
    options = FolkFormOptions()
    store = Store(options)
    writer = Writer(store, options)
    wanted = urlencode({"filter": '{"conversationId":"c1"}'})
    assert (
        writer.prepare(CONVERSATION, wanted, conversation_body(snapshot, FIRST.conversations))
        .apply(0, "")
        .status
        == 200
    )
    stored = store.first("c1")
    assert stored is not None
    # Half a surrogate pair is stored as U+FFFD by the database; everything else as it came.
    assert stored.data == mend(conversation)
    if said.customer_id:
        body = Parcel.of([said], FIRST.messages).body(0, 1)
        assert writer.prepare(MESSAGES, "", body).apply(0, "").status == 200
        assert store.items["m1"].data == mend(message)


@given(st.lists(objects("x"), max_size=4), SPACE, objects("t"))
@settings(max_examples=200, deadline=None)
def test_a_list_is_cut_where_its_objects_begin_and_end(listed: list[bytes], space: str, rest: bytes) -> None:
    gap = space.encode()
    inside = (gap + b"," + gap).join(listed)
    body = b'{"success":true,"conversations":' + gap + b"[" + gap + inside + gap + b"]}"
    assert [cut.raw for cut in cut_conversations(body, "x")] == listed
    thread = cut_thread(b'{"post":' + rest + b',"messages":[' + inside + b"]}", "x")
    assert [cut.raw for cut in thread.messages] == listed
    assert thread.rest == b'{"post":' + mend(rest) + b"}"


@given(st.lists(st.one_of(LETTERS, ESCAPES), max_size=30).map("".join))
def test_mending_moves_no_byte_and_leaves_what_can_be_read(text: str) -> None:
    raw = f'"{text}"'.encode()
    mended = mend(raw)
    assert len(mended) == len(raw)
    assert mend(mended) == mended
    msgspec.json.decode(mended, type=str)


async def test_a_number_beyond_every_float_is_passed_on_as_it_came() -> None:
    conversation, message = b'{"id":"c1","x":1e999}', b'{"x":[-1e999],"id":"m1"}'
    topic = await published(conversation, message)
    assert through_kafka(topic.conversations["c1"]).payload == conversation
    assert through_kafka(topic.messages["c1", "m1"]).payload == message
