"""The sink over the simulator: which calls a lane becomes, and what they leave in FolkForm."""

import json
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from connector.errors import (
    ConfigError,
    DoubtfulError,
    RateLimitedError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.folkform.bodies import Parcel, conversation_body
from connector.folkform.dialects import DIALECTS
from connector.folkform.sink import FolkFormSink
from connector.http.client import HttpClient
from connector.model import Kind, Origin
from connector.ports import Priority
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.faults import Rule
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.folkform.desk import (
    CONVERSATION,
    LARGE,
    MESSAGES,
    OPTIONS,
    Desk,
    desk,
    event,
    message,
    snapshot,
    thread,
)
from tests.unit.http.grants import Grants

FIRST = DIALECTS["generation1"]
TEN_MIB = 10 * 2**20


@pytest.fixture
async def counter() -> AsyncIterator[Desk]:
    async with desk() as found:
        yield found


async def test_a_snapshot_is_one_call_that_names_its_conversation(counter: Desk) -> None:
    await counter.write(snapshot())
    stored = counter.simulator.store.first("c1")
    assert stored is not None
    assert (stored.data, stored.page_id, stored.page_username) == (snapshot().payload, "1", "shop")
    assert counter.calls(CONVERSATION) == counter.calls() == 1


async def test_no_snapshot_ever_lands_in_another_conversation(counter: Desk) -> None:
    idents = ["c1", 'a"b', "tt_0:1:2", "wa_84@c.us", "a b&c=d+e%20#?", "Lê", "{}"]
    for ident in idents:
        payload = json.dumps({"id": ident, "customer_id": None}).encode()
        await counter.write(event(Kind.CONVERSATION, payload, conversation_id=ident))
    documents = counter.simulator.store.documents.values()
    assert [document.conversation_id for document in documents] == idents
    assert counter.simulator.store.notes.overwritten_documents == 0


async def test_a_snapshot_without_customer_is_written_all_the_same(counter: Desk) -> None:
    await counter.write(event(Kind.CONVERSATION, {"id": "c1"}, customer_id=""))
    assert counter.simulator.store.first("c1") is not None


async def test_a_conversation_that_vanished_at_the_source_stays_and_costs_no_call(counter: Desk) -> None:
    gone = event(Kind.VANISHED, {"vanished": True})
    await counter.write(gone, gone)
    assert counter.calls() == len(counter.grants.given) == 0
    await counter.write(snapshot(), gone)
    await counter.write(gone, snapshot("c1", {"snippet": "Lại"}))
    assert counter.document() == snapshot("c1", {"snippet": "Lại"}).payload
    assert counter.routes() == [CONVERSATION] * 2


async def test_a_lane_of_messages_and_their_thread_is_one_call(counter: Desk) -> None:
    await counter.write(thread({"can_inbox": True}), *(message(number) for number in range(30)))
    held = counter.simulator.store.threads["c1"]
    assert counter.calls(MESSAGES) == counter.calls() == 1
    assert (held.page_id, held.page_username, held.customer_id) == ("1", "shop", "k1")
    assert held.metadata["can_inbox"] == b"true"
    assert [counter.item(f"m{number}") for number in range(30)] == [message(n).payload for n in range(30)]


async def test_a_thread_alone_is_written_without_messages(counter: Desk) -> None:
    await counter.write(thread({"gender": None}))
    assert counter.simulator.store.threads["c1"].metadata["gender"] == b"null"
    assert counter.simulator.store.items == {}


async def test_the_newest_thread_of_a_lane_is_the_one_written(counter: Desk) -> None:
    await counter.write(thread({"n": 1}), message(1), thread({"n": 2}))
    assert counter.simulator.store.threads["c1"].metadata["n"] == b"2"


async def test_writing_the_same_again_changes_nothing(counter: Desk) -> None:
    for _ in range(3):
        await counter.write(snapshot())
        await counter.write(thread({"a": 1}), message(1), message(2))
    store = counter.simulator.store
    assert (len(store.documents), len(store.items)) == (1, 2)
    assert (counter.simulator.regressions, store.notes.moved_messages) == (0, 0)


@LARGE
async def test_a_lane_larger_than_a_body_becomes_several_calls_in_order(counter: Desk) -> None:
    large = "x" * (3 * 2**20)
    lane = [thread({"big": "y" * 2**20}), *(message(number, large) for number in range(7))]
    await counter.write(*lane)
    # Beside the thread there is room for two of them in a body, not for three.
    assert counter.calls(MESSAGES) == counter.calls() == 4
    assert len(counter.simulator.store.items) == 7
    assert set(counter.simulator.calls.statuses) == {200}
    assert len(counter.simulator.store.threads["c1"].metadata["big"]) == 2**20 + 2


@pytest.mark.parametrize("room", [300_000, 1_000_000, 10_000_000])
def test_no_body_is_larger_than_what_passes_and_none_is_smaller_than_it_must_be(room: int) -> None:
    lane = [message(number, "x" * (number * 7919 % 200_000)) for number in range(200)]
    parcel = Parcel.of([thread({"a": "y" * 1000}), *lane], FIRST.messages)
    start, bodies = 0, []
    while start < len(lane):
        end = parcel.end(start, room)
        bodies.append(parcel.body(start, end))
        # A call is closed only when the next message would not have fitted.
        assert end == len(lane) or len(parcel.body(start, end + 1)) > room
        start = end
    assert max(map(len, bodies)) <= room
    sent = [said["id"] for body in bodies for said in json.loads(body)["panCakeData"]["messages"]]
    assert sent == [one.message_id for one in lane]


@LARGE
async def test_one_message_larger_than_a_body_is_refused_by_name_before_any_call(counter: Desk) -> None:
    lane = [message(1), message(2, "x" * TEN_MIB), message(3)]
    with pytest.raises(RejectedError) as problem:
        await counter.write(*lane)
    assert (problem.value.reason, problem.value.status, problem.value.culprit) == ("body_too_large", None, 1)
    # What stood before it is written already; the rest goes without it.
    await counter.write(lane[0], lane[2])
    assert list(counter.simulator.store.items) == ["m1", "m3"]
    assert set(counter.simulator.calls.statuses) == {200}


async def test_a_thread_or_a_snapshot_larger_than_a_body_is_refused_by_name(counter: Desk) -> None:
    large = {"x": "y" * TEN_MIB}
    for lane, culprit in (((message(1), thread(large)), 1), ((snapshot("c1", large),), 0)):
        with pytest.raises(RejectedError) as problem:
            await counter.write(*lane)
        assert (problem.value.reason, problem.value.culprit) == ("body_too_large", culprit)
    assert counter.calls() == 0


@LARGE
async def test_what_is_larger_than_a_packed_body_still_goes_alone(counter: Desk) -> None:
    await counter.write(message(1, "x" * (TEN_MIB - 1000)))
    assert list(counter.simulator.store.items) == ["m1"]


async def test_a_proxy_that_takes_less_teaches_the_sink_to_send_less(counter: Desk) -> None:
    counter.simulator.options.body_limit = 300_000
    for first in (0, 100):
        await counter.write(*(message(number, "x" * 40_000) for number in range(first, first + 12)))
    assert len(counter.simulator.store.items) == 24
    # 480 kB is refused once; what fits into its half passes, and so does everything after it.
    assert counter.simulator.calls.statuses == {413: 1, 200: 6}
    assert [item.data for item in counter.simulator.store.items.values()][3] == message(
        3, "x" * 40_000
    ).payload


async def test_one_message_that_a_proxy_refuses_for_its_size_is_named_with_the_status(counter: Desk) -> None:
    counter.simulator.options.body_limit = 100_000
    with pytest.raises(RejectedError) as problem:
        await counter.write(message(1, "x" * 200_000))
    assert (problem.value.reason, problem.value.status) == ("body_too_large", 413)


async def test_messages_of_a_conversation_without_customer_are_refused_before_any_call(counter: Desk) -> None:
    with pytest.raises(RejectedError) as problem:
        await counter.write(message(1, customer_id=""), message(2, customer_id=""))
    assert (problem.value.reason, problem.value.status) == ("missing_customer_id", None)
    assert counter.calls() == 0
    assert counter.grants.given == []


async def test_the_newest_customer_that_a_lane_names_stands_for_all_of_it(counter: Desk) -> None:
    await counter.write(message(1, customer_id=""), message(2, customer_id="k2"), message(3, customer_id=""))
    assert counter.simulator.store.threads["c1"].customer_id == "k2"
    assert len(counter.simulator.store.items) == 3


async def test_a_page_without_user_name_is_written_under_its_id(counter: Desk) -> None:
    # The account gives such a page its id for a user name; FolkForm refuses an empty one.
    await counter.write(message(1, page_id="igo_1", page_username="igo_1"))
    assert counter.simulator.store.threads["c1"].page_username == "igo_1"
    with pytest.raises(RejectedError):
        await counter.write(message(1, page_username=""))


async def test_what_a_person_waits_for_goes_first_and_takes_the_rest_along(counter: Desk) -> None:
    await counter.write(message(1, origin=Origin.REPLAY), message(2, origin=Origin.BACKFILL))
    await counter.write(message(1, origin=Origin.REPLAY), message(2, origin=Origin.LIVE))
    await counter.write(snapshot(origin=Origin.RECONCILE))
    assert counter.grants.given == [
        ("folkform:main", Priority.BACKFILL),
        ("folkform:main", Priority.LIVE),
        ("folkform:main", Priority.VERIFY),
    ]


async def test_who_leaves_makes_no_call_any_more(counter: Desk) -> None:
    counter.leaving.set()
    with pytest.raises(UnavailableError):
        await counter.write(snapshot())
    assert counter.calls() == 0


async def test_a_call_that_was_applied_and_whose_answer_was_lost_is_simply_repeated(counter: Desk) -> None:
    counter.simulator.faults.add(Rule("reset", after=True, times=1))
    with pytest.raises(UnknownOutcomeError):
        await counter.write(message(1))
    await counter.write(message(1))
    assert counter.item("m1") == message(1).payload


async def test_a_write_that_was_half_applied_converges_when_it_is_repeated(counter: Desk) -> None:
    counter.simulator.faults.add(Rule("partial", times=1))
    with pytest.raises(DoubtfulError):
        await counter.write(thread({"a": 1}), message(1))
    assert counter.simulator.store.items == {}
    await counter.write(thread({"a": 1}), message(1))
    assert counter.item("m1") == message(1).payload


@pytest.mark.parametrize(
    "rule",
    [
        Rule("status", status=503),
        Rule("status", status=502),
        Rule("error", status=500, code="SYS_001"),
        Rule("reset"),
        Rule("truncate"),
        Rule("empty"),
        Rule("cut"),
        Rule("status", status=200, body="<html>welcome</html>"),
    ],
    ids=lambda rule: f"{rule.action} {rule.status}",
)
async def test_trouble_at_folkform_is_never_taken_for_refused_content(counter: Desk, rule: Rule) -> None:
    counter.simulator.faults.add(rule)
    with pytest.raises((UnavailableError, UnknownOutcomeError, DoubtfulError)):
        await counter.write(message(1))


async def test_a_500_is_doubtful_and_says_what_was_said(counter: Desk) -> None:
    counter.simulator.faults.add(Rule("error", status=500, code="DB", message="bulk write exception"))
    with pytest.raises(DoubtfulError) as problem:
        await counter.write(message(1))
    assert (problem.value.status, problem.value.answer) == (500, "DB: bulk write exception")
    assert "bulk" not in str(problem.value)


async def test_too_many_calls_are_told_to_the_budget_with_the_wait_asked_for(counter: Desk) -> None:
    counter.simulator.options.rate = (1, 60.0)
    await counter.write(snapshot())
    with pytest.raises(RateLimitedError) as problem:
        await counter.write(snapshot())
    assert counter.grants.told == [("folkform:main", problem.value.after)]
    assert problem.value.after == 60.0


async def test_a_second_login_elsewhere_ends_ours_with_advice(counter: Desk) -> None:
    counter.simulator.gate.login()
    with pytest.raises(UnauthorizedError) as problem:
        await counter.write(snapshot())
    assert "CONNECTOR_FOLKFORM__TOKEN" in problem.value.advice
    assert OPTIONS.token not in str(problem.value) + problem.value.advice


async def test_a_role_that_is_not_ours_ends_with_advice(counter: Desk) -> None:
    counter.simulator.options.role_id = "f" * 24
    with pytest.raises(UnauthorizedError) as problem:
        await counter.write(snapshot())
    assert "CONNECTOR_FOLKFORM__ROLE_ID" in problem.value.advice


@pytest.mark.parametrize(
    ("token", "role", "names"),
    [
        ("", OPTIONS.role_id, "CONNECTOR_FOLKFORM__TOKEN"),
        ("t", "", "CONNECTOR_FOLKFORM__ROLE_ID"),
        ("t", "6" * 23, "CONNECTOR_FOLKFORM__ROLE_ID"),
        ("t", "g" * 24, "CONNECTOR_FOLKFORM__ROLE_ID"),
    ],
)
async def test_credentials_that_cannot_be_right_are_refused_at_once(
    token: str, role: str, names: str
) -> None:
    metrics = Metrics()
    client = HttpClient(HttpSettings(), Grants(), FakeClock(), metrics)
    with pytest.raises(ConfigError, match=names):
        FolkFormSink(client, FolkFormSettings(token=SecretStr(token), role_id=role))
    await client.close()
    metrics.close()


def test_an_object_is_spliced_into_its_body_as_it_is() -> None:
    payload = b'{ "id":"c1" ,\n"x":1.0,"x":9007199254740993 }'
    assert conversation_body(event(Kind.CONVERSATION, payload), FIRST.conversations).endswith(
        b'"panCakeData":' + payload + b"}"
    )


@pytest.mark.parametrize("rest", [b"{}", b"{ }", b'{"a":1}', b' {"a" : {} } '])
def test_messages_join_whatever_the_thread_says(rest: bytes) -> None:
    parcel = Parcel.of([thread(rest), message(1)], FIRST.messages)
    assert json.loads(parcel.body(0, 1))["panCakeData"] == json.loads(rest) | {
        "messages": [json.loads(message(1).payload)]
    }
