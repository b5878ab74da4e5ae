"""The sink over the simulator: which calls a lane becomes, and what they leave in FolkForm."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import SecretStr

from connector.errors import (
    ConfigError,
    RateLimitedError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.folkform.bodies import MAX_BODY_BYTES, conversation_body, message_bodies
from connector.folkform.sink import FolkFormSink
from connector.http.client import HttpClient
from connector.model import Event, Kind, Origin
from connector.ports import Priority
from connector.settings import FolkFormSettings, HttpSettings
from connector.simulator.faults import Rule
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.http.grants import Grants

OPTIONS = FolkFormOptions()
CONVERSATION, MESSAGES = "conversation/upsert-one", "message/upsert-messages"

# aiohttp would rather stream what is over 1 MiB; copying 10 MiB into a socket takes milliseconds.
LARGE = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


def event(kind: Kind, payload: object, message_id: str = "", **given: Any) -> Event:
    data = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
    made = Event(kind, "1", "shop", "c1", "k1", message_id, 0, 0, 5, b"12345678", Origin.LIVE, data)
    return replace(made, **given)


def snapshot(**given: Any) -> Event:
    return event(Kind.CONVERSATION, {"id": "c1", "customer_id": "k1", "snippet": "Chốt đơn"}, **given)


def message(number: int, text: str = "xin chào", **given: Any) -> Event:
    ident = f"m{number}"
    return event(Kind.MESSAGE, {"id": ident, "message": text}, ident, **given)


def thread(payload: object, **given: Any) -> Event:
    return event(Kind.THREAD, payload, **given)


@dataclass
class Counter:
    """FolkForm, and the sink that writes to it."""

    simulator: FolkFormSimulator
    sink: FolkFormSink
    grants: Grants
    leaving: asyncio.Event

    async def write(self, *lane: Event) -> None:
        await self.sink.write(lane, self.leaving)

    def calls(self, route: str | None = None) -> int:
        return self.simulator.calls.of(route=route).calls

    def item(self, message_id: str) -> bytes:
        return self.simulator.store.items[message_id].data


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    clock, metrics, grants = FakeClock(auto=True), Metrics(), Grants()
    simulator = FolkFormSimulator(options=FolkFormOptions(rate=None), clock=clock)
    url = await simulator.start()
    client = HttpClient(HttpSettings(), grants, clock, metrics)
    settings = FolkFormSettings(
        base_url=url, token=SecretStr(OPTIONS.token), role_id=OPTIONS.role_id, rate="off", account="main"
    )
    yield Counter(simulator, FolkFormSink(client, settings), grants, asyncio.Event())
    await client.close()
    await simulator.stop()
    metrics.close()


async def test_a_snapshot_is_one_call_that_names_its_conversation(counter: Counter) -> None:
    await counter.write(snapshot())
    stored = counter.simulator.store.first("c1")
    assert stored is not None
    assert (stored.data, stored.page_id, stored.page_username) == (snapshot().payload, "1", "shop")
    assert counter.calls(CONVERSATION) == counter.calls() == 1


async def test_no_snapshot_ever_lands_in_another_conversation(counter: Counter) -> None:
    idents = ["c1", 'a"b', "tt_0:1:2", "wa_84@c.us", "a b&c=d+e%20#?", "Lê", "{}"]
    for ident in idents:
        payload = json.dumps({"id": ident, "customer_id": None}).encode()
        await counter.write(event(Kind.CONVERSATION, payload, conversation_id=ident))
    documents = counter.simulator.store.documents.values()
    assert [document.conversation_id for document in documents] == idents
    assert counter.simulator.store.notes.overwritten_documents == 0


async def test_a_snapshot_without_customer_is_written_all_the_same(counter: Counter) -> None:
    await counter.write(event(Kind.CONVERSATION, {"id": "c1"}, customer_id=""))
    assert counter.simulator.store.first("c1") is not None


async def test_a_lane_of_messages_and_their_thread_is_one_call(counter: Counter) -> None:
    await counter.write(thread({"can_inbox": True}), *(message(number) for number in range(30)))
    held = counter.simulator.store.threads["c1"]
    assert counter.calls(MESSAGES) == counter.calls() == 1
    assert (held.page_id, held.page_username, held.customer_id) == ("1", "shop", "k1")
    assert held.metadata["can_inbox"] == b"true"
    assert [counter.item(f"m{number}") for number in range(30)] == [message(n).payload for n in range(30)]


async def test_a_thread_alone_is_written_without_messages(counter: Counter) -> None:
    await counter.write(thread({"gender": None}))
    assert counter.simulator.store.threads["c1"].metadata["gender"] == b"null"
    assert counter.simulator.store.items == {}


async def test_the_newest_thread_of_a_lane_is_the_one_written(counter: Counter) -> None:
    await counter.write(thread({"n": 1}), message(1), thread({"n": 2}))
    assert counter.simulator.store.threads["c1"].metadata["n"] == b"2"


async def test_writing_the_same_again_changes_nothing(counter: Counter) -> None:
    for _ in range(3):
        await counter.write(snapshot())
        await counter.write(thread({"a": 1}), message(1), message(2))
    store = counter.simulator.store
    assert (len(store.documents), len(store.items)) == (1, 2)
    assert (counter.simulator.regressions, store.notes.moved_messages) == (0, 0)


@LARGE
async def test_a_lane_larger_than_a_body_becomes_several_calls_in_order(counter: Counter) -> None:
    large = "x" * (3 * 2**20)
    lane = [thread({"big": "y" * 2**20}), *(message(number, large) for number in range(7))]
    await counter.write(*lane)
    # Beside the thread there is room for two of them in a body, not quite for three.
    assert counter.calls(MESSAGES) == counter.calls() == 4
    assert len(counter.simulator.store.items) == 7
    assert set(counter.simulator.calls.statuses) == {200}
    assert len(counter.simulator.store.threads["c1"].metadata["big"]) == 2**20 + 2


def test_no_body_is_larger_than_what_passes_and_none_is_smaller_than_it_must_be() -> None:
    lane = [message(number, "x" * (number * 7919 % 400_000)) for number in range(200)]
    bodies = list(message_bodies(lane))
    assert max(map(len, bodies)) <= MAX_BODY_BYTES
    # A call is closed only when the next message would not have fitted.
    assert len(bodies) <= sum(len(one.payload) for one in lane) // (MAX_BODY_BYTES - 401_000) + 1
    sent = [said["id"] for body in bodies for said in json.loads(body)["panCakeData"]["messages"]]
    assert sent == [one.message_id for one in lane]


@LARGE
async def test_one_message_larger_than_a_body_is_refused_by_name(counter: Counter) -> None:
    with pytest.raises((RejectedError, UnknownOutcomeError)) as problem:
        await counter.write(message(1, "x" * MAX_BODY_BYTES))
    assert isinstance(problem.value, RejectedError)
    assert (problem.value.reason, problem.value.status) == ("body_too_large", 413)


async def test_messages_of_a_conversation_without_customer_are_refused_before_any_call(
    counter: Counter,
) -> None:
    with pytest.raises(RejectedError) as problem:
        await counter.write(message(1, customer_id=""), message(2, customer_id=""))
    assert (problem.value.reason, problem.value.status) == ("missing_customer_id", None)
    assert counter.calls() == 0
    assert counter.grants.given == []


async def test_the_newest_customer_that_a_lane_names_stands_for_all_of_it(counter: Counter) -> None:
    await counter.write(message(1, customer_id=""), message(2, customer_id="k2"), message(3, customer_id=""))
    assert counter.simulator.store.threads["c1"].customer_id == "k2"
    assert len(counter.simulator.store.items) == 3


async def test_a_page_without_user_name_is_written_under_its_id(counter: Counter) -> None:
    # The account gives such a page its id for a user name; FolkForm refuses an empty one.
    await counter.write(message(1, page_id="igo_1", page_username="igo_1"))
    assert counter.simulator.store.threads["c1"].page_username == "igo_1"
    with pytest.raises(RejectedError):
        await counter.write(message(1, page_username=""))


async def test_what_a_person_waits_for_goes_first_and_takes_the_rest_along(counter: Counter) -> None:
    await counter.write(message(1, origin=Origin.REPLAY), message(2, origin=Origin.BACKFILL))
    await counter.write(message(1, origin=Origin.REPLAY), message(2, origin=Origin.LIVE))
    await counter.write(snapshot(origin=Origin.RECONCILE))
    assert counter.grants.given == [
        ("folkform:main", Priority.BACKFILL),
        ("folkform:main", Priority.LIVE),
        ("folkform:main", Priority.VERIFY),
    ]


async def test_who_leaves_makes_no_call_any_more(counter: Counter) -> None:
    counter.leaving.set()
    with pytest.raises(UnavailableError):
        await counter.write(snapshot())
    assert counter.calls() == 0


async def test_a_call_that_was_applied_and_whose_answer_was_lost_is_simply_repeated(counter: Counter) -> None:
    counter.simulator.faults.add(Rule("reset", after=True, times=1))
    with pytest.raises(UnknownOutcomeError):
        await counter.write(message(1))
    await counter.write(message(1))
    assert counter.item("m1") == message(1).payload


async def test_a_write_that_was_half_applied_converges_when_it_is_repeated(counter: Counter) -> None:
    counter.simulator.faults.add(Rule("partial", times=1))
    with pytest.raises(UnknownOutcomeError):
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
async def test_trouble_at_folkform_is_never_taken_for_refused_content(counter: Counter, rule: Rule) -> None:
    counter.simulator.faults.add(rule)
    with pytest.raises((UnavailableError, UnknownOutcomeError)):
        await counter.write(message(1))


async def test_a_poison_number_in_a_message_is_repeated_for_now_because_it_looks_like_an_outage(
    counter: Counter,
) -> None:
    # FolkForm answers 500 for ever; a sink that told it from an outage would shelve it.
    poison = event(Kind.MESSAGE, b'{"id":"m1","x":1e999}', "m1")
    with pytest.raises(UnknownOutcomeError):
        await counter.write(poison, message(2))
    assert counter.simulator.store.items == {}


async def test_a_poison_number_in_a_snapshot_is_refused(counter: Counter) -> None:
    with pytest.raises(RejectedError) as problem:
        await counter.write(event(Kind.CONVERSATION, b'{"id":"c1","x":1e999}'))
    assert problem.value.status == 400


async def test_too_many_calls_are_told_to_the_budget_with_the_wait_asked_for(counter: Counter) -> None:
    counter.simulator.options.rate = (1, 60.0)
    await counter.write(snapshot())
    with pytest.raises(RateLimitedError) as problem:
        await counter.write(snapshot())
    assert counter.grants.told == [("folkform:main", problem.value.after)]
    assert problem.value.after == 60.0


async def test_a_second_login_elsewhere_ends_ours_with_advice(counter: Counter) -> None:
    counter.simulator.gate.login()
    with pytest.raises(UnauthorizedError) as problem:
        await counter.write(snapshot())
    assert "CONNECTOR_FOLKFORM__TOKEN" in problem.value.advice
    assert OPTIONS.token not in str(problem.value) + problem.value.advice


async def test_a_role_that_is_not_ours_ends_with_advice(counter: Counter) -> None:
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
    assert conversation_body(event(Kind.CONVERSATION, payload)).endswith(b'"panCakeData":' + payload + b"}")


@pytest.mark.parametrize("rest", [b"{}", b"{ }", b'{"a":1}', b' {"a" : {} } '])
def test_messages_join_whatever_the_thread_says(rest: bytes) -> None:
    (body,) = message_bodies([thread(rest), message(1)])
    assert json.loads(body)["panCakeData"] == json.loads(rest) | {
        "messages": [json.loads(message(1).payload)]
    }
