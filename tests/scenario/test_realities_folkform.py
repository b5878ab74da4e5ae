"""FolkForm's realities 42 to 60: what the connector does about each (docs/REALITIES_FOLKFORM.md)."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any, Literal
from urllib.parse import quote

import msgspec
import pytest
from pydantic import SecretStr

from connector.errors import ContractError, UnauthorizedError
from connector.model import Event
from connector.simulator.arrival import Handed
from connector.simulator.faults import Rule
from connector.simulator.options import FolkFormOptions
from tests.fakes.counter import Counter
from tests.unit.folkform.desk import BATCH, CONVERSATION, GUARDED, MESSAGES, event, message, snapshot, thread

Generation = Literal[1, 2, 3]


@asynccontextmanager
async def opened(**given: Any) -> AsyncIterator[Counter]:
    """A counter whose FolkForm has the options among ``given``; the rest is the sink's."""
    options = FolkFormOptions(rate=None)
    known = {field.name for field in fields(FolkFormOptions)}
    for name in known & given.keys():
        setattr(options, name, given.pop(name))
    counter = Counter(options, **given)
    try:
        yield counter
    finally:
        await counter.close()


def at(second: int) -> dict[str, object]:
    return {"updated_at": f"2026-03-03T04:03:{second:02}.000000"}


def dated(ident: str, second: int, observed_at: int, **fields: object) -> Event:
    return snapshot(ident, {**at(second), **fields}, updated_at=second * 1000, observed_at=observed_at)


def said(number: int, ident: str, text: str = "xin chào") -> Event:
    return message(number, text, conversation_id=ident)


async def read(counter: Counter, path: str) -> Any:
    options = counter.folkform.options
    headers = {"Authorization": f"Bearer {options.token}", "X-Active-Role-ID": options.role_id}
    return msgspec.json.decode(
        (await counter.folkform.respond(Handed("GET", f"/api/v1{path}", headers))).body
    )


# 42


@pytest.mark.parametrize("generation", [1, 2])
async def test_42_an_older_snapshot_that_is_published_late_never_goes_over_the_newer_one(
    generation: Generation,
) -> None:
    async with opened(generation=generation) as counter:
        newer, older = dated("c1", 9, observed_at=10), dated("c1", 5, observed_at=20)
        process = counter.start()
        counter.publish(newer)
        await counter.until(lambda: "c1" in counter.folkform.store.by_conversation)
        counter.publish(older)
        counter.publish(dated("c2", 1, observed_at=30))
        await counter.until(lambda: "c2" in counter.folkform.store.by_conversation)
        assert counter.stored("c1") == newer.payload
        assert counter.folkform.regressions == 0
        assert not process.task.done()


async def test_42_where_folkform_checks_skipping_what_is_stale_is_success() -> None:
    async with opened(generation=2) as counter:
        counter.folkform.agent(page_id="1", data={"id": "c1", **at(30)})
        await counter.deliver(dated("c1", 5, observed_at=5))
        assert json.loads(counter.stored("c1"))["updated_at"] == at(30)["updated_at"]
        assert (counter.shelved, counter.folkform.store.notes.skipped_snapshots) == ([], 1)


async def test_42_a_change_that_does_not_move_its_time_passes_the_check_all_the_same() -> None:
    async with opened(generation=2) as counter:
        await counter.deliver(dated("c1", 5, observed_at=5))
        await counter.deliver(dated("c1", 5, observed_at=6, tags=["VIP"]))
        assert counter.differs() == []


# 43


@pytest.mark.parametrize("generation", [1, 2])
async def test_43_a_repeated_write_moves_only_what_nobody_compares(generation: Generation) -> None:
    async with opened(generation=generation) as counter:
        await counter.deliver(dated("c1", 5, observed_at=5), said(1, "c1"))
        before = list(counter.folkform.dump(ignore_signatures=False))
        created = counter.folkform.store.documents[1].created_ms
        again = Counter(counter.folkform.options)
        await again.clock.advance(60)
        again.folkform.store.__dict__.update(vars(counter.folkform.store))
        await again.deliver(dated("c1", 5, observed_at=5), said(1, "c1"))
        assert list(again.folkform.dump(ignore_signatures=False)) == before
        assert (again.folkform.store.documents[1].created_ms == created) == (generation == 2)
        await again.close()


# 44


@pytest.mark.parametrize("generation", [1, 2, 3])
async def test_44_no_snapshot_ever_lands_in_another_conversations_document(generation: Generation) -> None:
    idents = ["victim", 'a"b', "tt_0:1:2", "wa_84@c.us", "a b&c=d+e%20#?", "Lê", "{}", "null", "$ne"]
    async with opened(generation=generation) as counter:
        await counter.deliver(*(snapshot(ident) for ident in idents))
        assert counter.differs() == []
        assert counter.folkform.store.notes.overwritten_documents == 0
        assert counter.calls("conversation/upsert-many") == 0


async def test_44_a_snapshot_whose_own_id_is_another_is_shelved_and_renames_nothing() -> None:
    async with opened() as counter:
        await counter.deliver(snapshot("c1"))
        await counter.deliver(replace(snapshot("c1"), payload=b'{"id":"c2"}', observed_at=6))
        assert counter.reasons == ["id_mismatch"]
        assert list(counter.folkform.store.by_conversation) == ["c1"]


# 45


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ([replace(said(number, "c1"), customer_id="") for number in range(3)], "missing_customer_id"),
        ([replace(said(number, "c1"), page_username="") for number in range(3)], "missing_page_username"),
    ],
    ids=["customer", "user name"],
)
async def test_45_what_messages_lack_keeps_only_their_own_conversation_back(
    lacking: list[Event], reason: str
) -> None:
    async with opened() as counter:
        await counter.deliver(snapshot("c1"), *lacking, said(7, "c2"))
        assert counter.reasons == [reason] * 3
        assert list(counter.folkform.store.items) == ["m7"]
        assert "c1" in counter.folkform.store.by_conversation
        assert 400 not in counter.folkform.calls.statuses


# 46


@pytest.mark.parametrize("ident", [17, "", None, 1.5, True, {"a": 1}])
async def test_46_an_element_that_would_be_dropped_in_silence_is_shelved_by_name(ident: object) -> None:
    async with opened() as counter:
        odd = event(said(2, "c1").kind, {"id": ident, "message": "?"}, "m2")
        await counter.deliver(said(1, "c1"), odd, said(3, "c1"))
        assert counter.reasons == ["id_mismatch"]
        assert list(counter.folkform.store.items) == ["m1", "m3"]
        assert counter.folkform.store.notes.skipped_elements == 0
        # Its neighbours needed no second call.
        assert counter.calls(MESSAGES) == 1


# 47


@pytest.mark.parametrize(
    ("generation", "seconds"), [(1, [1772510602, 0, 0]), (3, [1772510602000, 1772510602000, 1772510602000])]
)
async def test_47_whatever_folkform_makes_of_a_messages_time_the_message_is_stored_as_it_is(
    generation: Generation, seconds: list[int]
) -> None:
    times = ["2026-03-03T04:03:22.000000", "2026-03-03T04:03:22", "2026-03-03T04:03:22.000Z"]
    async with opened(generation=generation) as counter:
        lane = [
            event(said(0, "c1").kind, {"id": f"m{number}", "inserted_at": moment}, f"m{number}")
            for number, moment in enumerate(times)
        ]
        await counter.deliver(*lane)
        assert counter.differs() == []
        assert [item.inserted_at for item in counter.folkform.store.items.values()] == seconds


# 48


async def test_48_a_call_that_was_half_applied_converges_without_a_dead_letter() -> None:
    async with opened() as counter:
        counter.folkform.faults.add(Rule("partial", times=5))
        await counter.deliver(thread({"a": 1}), *(said(number, "c1") for number in range(5)))
        assert counter.differs() == []
        assert counter.shelved == []


# 49


@pytest.mark.parametrize(
    "rule",
    [Rule("reset", after=True, times=4), Rule("hang", after=True, seconds=40, times=2), Rule("cut", times=4)],
    ids=lambda rule: rule.action,
)
async def test_49_what_was_applied_and_not_answered_is_simply_sent_again(rule: Rule) -> None:
    async with opened() as counter:
        counter.folkform.faults.add(rule)
        await counter.deliver(dated("c1", 5, observed_at=5), said(1, "c1"), said(2, "c2"))
        assert counter.differs() == []
        assert (counter.shelved, counter.folkform.regressions, len(counter.folkform.store.documents)) == (
            [],
            0,
            1,
        )


# 50


async def test_50_a_limit_of_calls_delays_and_neither_loses_nor_shelves() -> None:
    async with opened(rate=(10, 60.0)) as counter:
        await counter.deliver(*(said(number, f"c{number}") for number in range(30)))
        assert counter.differs() == []
        assert counter.shelved == []
        # The limit is configured: it is met exactly, and nothing is refused.
        assert (counter.folkform.calls.refused, counter.calls(MESSAGES)) == (0, 30)


async def test_50_a_limit_that_is_lower_than_told_refuses_a_few_and_loses_nothing() -> None:
    async with opened(rate=(10, 60.0)) as counter:
        counter.folkform.options.rate = (5, 60.0)
        await counter.deliver(*(said(number, f"c{number}") for number in range(20)))
        assert counter.differs() == []
        assert counter.shelved == []
        assert counter.folkform.calls.refused < 10


# 51


@pytest.mark.parametrize(("limit", "refused"), [(100_000, 3), (25_000, 30)])
async def test_51_a_call_over_the_limit_of_its_body_is_split_and_arrives_whole(
    limit: int, refused: int
) -> None:
    async with opened(body_limit=limit) as counter:
        await counter.deliver(*(said(number, "c1", "x" * 20_000) for number in range(20)))
        assert counter.differs() == []
        assert counter.shelved == []
        # Below 64 kB the room shrinks no more, and it is halves that find what passes.
        assert counter.folkform.calls.statuses[413] <= refused


async def test_51_one_object_that_is_too_large_for_any_body_is_shelved_alone() -> None:
    async with opened(body_limit=100_000) as counter:
        large = said(5, "c1", "x" * 150_000)
        await counter.deliver(said(4, "c1"), large, said(6, "c1"))
        assert counter.reasons == ["body_too_large"]
        assert list(counter.folkform.store.items) == ["m4", "m6"]
        assert counter.shelved[0].problem.answer.startswith("SYS_001")


async def test_51_an_id_too_long_for_a_request_line_is_shelved_before_it_is_sent() -> None:
    async with opened(dialect="generation1") as counter:
        await counter.deliver(snapshot("x" * 4000), snapshot("c1"))
        assert counter.reasons == ["headers_too_large"]
        assert set(counter.folkform.calls.statuses) == {200}


# 52


async def test_52_a_second_login_ends_the_sink_with_advice_and_moves_no_offset() -> None:
    async with opened() as counter:
        counter.folkform.gate.login()
        with pytest.raises(UnauthorizedError) as problem:
            await counter.deliver(said(1, "c1"))
        assert "second login" in problem.value.advice
        assert (counter.committed(number=0), counter.committed(number=1), counter.shelved) == (0, 0, [])


async def test_52_a_token_that_was_exchanged_in_time_goes_on_without_a_restart() -> None:
    async with opened(reread=lambda: SecretStr("sim-session-1")) as counter:
        counter.folkform.gate.login()
        await counter.deliver(*(said(number, f"c{number}") for number in range(20)))
        assert counter.differs() == []


@pytest.mark.parametrize(
    "rule",
    [
        Rule("error", status=400, code="AUTH_003", message="Thiếu X-Active-Role-ID"),
        Rule("error", status=403, code="AUTH_003"),
        Rule("error", status=403, code="AUTH_002"),
    ],
    ids=lambda rule: f"{rule.status} {rule.code}",
)
async def test_52_what_is_wrong_with_the_role_is_never_taken_for_the_content(rule: Rule) -> None:
    async with opened() as counter:
        counter.folkform.faults.add(rule)
        with pytest.raises(UnauthorizedError) as problem:
            await counter.deliver(said(1, "c1"))
        assert "ROLE_ID" in problem.value.advice
        assert counter.shelved == []


# 53


@pytest.mark.parametrize("generation", [1, 2])
async def test_53_a_client_fault_dressed_as_a_500_is_shelved_while_others_pass(
    generation: Generation,
) -> None:
    async with opened(generation=generation) as counter:
        code = "SYS_001" if generation == 2 else "DB"
        counter.folkform.faults.add(Rule("error", status=500, code=code, where="/bad"))
        process = counter.start()
        counter.publish(dated("bad", 1, observed_at=5))
        for number in range(20):
            counter.publish(dated(f"c{number}", 1, observed_at=5))
            await counter.clock.advance(30)
        await counter.until(lambda: counter.shelved, within=3600)
        assert counter.reasons == ["refused_by_server"]
        (letter,) = counter.shelved
        assert (letter.problem.status, letter.problem.answer) == (500, f"{code}: Internal Server Error")
        assert letter.problem.dialect == f"generation{generation}"
        assert letter.problem.tries > 1
        assert counter.differs() == ["bad"]
        assert not process.task.done()


async def test_53_a_500_for_everybody_is_an_outage_and_shelves_nothing() -> None:
    async with opened() as counter:
        counter.folkform.faults.add(Rule("error", status=500, code="DB"))
        counter.publish(*(said(number, f"c{number}") for number in range(10)))
        process = counter.start()
        await counter.clock.advance(1800)
        assert counter.shelved == []
        counter.folkform.faults.clear()
        await counter.until(lambda: not counter.differs(), within=3600)
        assert (counter.shelved, process.task.done()) == ([], False)


# 54


@pytest.mark.parametrize("race", ["duplicate", "error"])
async def test_54_with_or_without_a_unique_index_there_is_one_document(
    race: Literal["duplicate", "error"],
) -> None:
    async with opened(first_upsert_race=race, latency=(0.0, 2.0)) as counter:
        process = counter.start()
        for second in range(10):
            counter.publish(*(dated(f"c{number}", second, observed_at=second + 5) for number in range(5)))
            await counter.clock.advance(0.5)
        await counter.until(lambda: not counter.differs())
        assert counter.folkform.overlaps == 0
        assert len(counter.folkform.store.documents) == 5
        assert not process.task.done()


async def test_54_an_id_that_would_be_inserted_each_time_is_shelved() -> None:
    async with opened() as counter:
        await counter.deliver(snapshot("65a0000000000000000000ff"))
        assert counter.reasons == ["id_like_object_id"]
        assert counter.folkform.store.documents == {}


# 55


async def test_55_a_server_that_grows_slow_and_is_away_for_a_moment_delays_only() -> None:
    async with opened(latency_per_million=1_000_000.0) as counter:
        counter.folkform.faults.add(Rule("error", status=503, code="DB_001", skip=3, times=6))
        counter.publish(*(said(number, f"c{number % 4}") for number in range(40)))
        process = counter.start()
        await counter.until(lambda: not counter.differs(), within=3600)
        assert counter.shelved == []
        assert not process.task.done()


# 56


@pytest.mark.parametrize("data", ["null", "[]", '{"items":null,"total":0}', '{"data":null}', '"x"'])
async def test_56_a_list_in_another_shape_is_no_reason_to_overwrite_anything(data: str) -> None:
    async with opened(generation=2) as counter:
        await counter.deliver(dated("c1", 5, observed_at=5))
        body = '{"code":200,"message":"ok","data":' + data + ',"status":"success"}'
        counter.folkform.faults.add(Rule("status", status=200, body=body, route="conversation/find"))
        await counter.deliver(dated("c1", 5, observed_at=6, tags=[1]))
        assert counter.shelved == []
        assert counter.stored("c1") == dated("c1", 5, observed_at=5).payload


# 57


async def test_57_what_no_list_shows_is_there_under_its_own_name() -> None:
    async with opened() as counter:
        await counter.deliver(said(1, "c1"))
        wanted = quote('{"conversationId":"c1"}')
        assert (await read(counter, f"/facebook/message-item/find?filter={wanted}"))["data"] == []
        one = await read(counter, "/facebook/message-item/find-by-message-id/m1")
        assert one["data"]["messageData"] == json.loads(said(1, "c1").payload)


# 58


async def test_58_a_batch_that_nobody_has_built_falls_back_to_one_by_one() -> None:
    async with opened() as counter:
        await counter.deliver(snapshot("first"))
        await counter.deliver(*(snapshot(f"c{number}") for number in range(30)))
        assert counter.differs() == []
        assert counter.calls(BATCH) == 0
        # Asked for once: the guard of generation 2, and the batch.
        assert counter.folkform.calls.statuses[404] == 2


async def test_58_a_batch_that_is_there_takes_a_fraction_of_the_calls() -> None:
    async with opened(batch_upsert=20, batch=20) as counter:
        await counter.deliver(snapshot("first"))
        await counter.deliver(*(snapshot(f"c{number}") for number in range(60)))
        assert counter.differs() == []
        assert counter.calls(BATCH) + counter.calls(CONVERSATION) <= 10


async def test_58_where_messages_have_another_route_it_is_found() -> None:
    async with opened(generation=3) as counter:
        await counter.deliver(snapshot("c1"), said(1, "c1"))
        assert counter.differs() == []


async def test_58_a_generation_that_takes_no_second_call_is_named_and_nothing_is_shelved() -> None:
    async with opened(generation=3) as counter:
        await counter.deliver(said(1, "c1"))
        with pytest.raises(ContractError) as problem:
            await counter.deliver(said(2, "c1"))
        assert "generation 3" in problem.value.advice
        assert counter.shelved == []


# 59

PANIC = '{"success":false,"code":500,"message":"runtime error","error":"nil map","time":"2026-03-03"}'


@pytest.mark.parametrize(
    "rule",
    [
        Rule("error", status=500, code="DB", times=3),
        Rule("status", status=500, body=PANIC, times=3),
        Rule("status", status=500, body='{"code":"SYS_001","message":"x","status":"error"}', times=3),
        Rule("status", status=500, times=3),
        Rule("empty", status=500, times=3),
    ],
    ids=["string", "panic", "framework", "html", "empty"],
)
async def test_59_an_error_is_the_same_error_in_each_of_its_bodies(rule: Rule) -> None:
    async with opened() as counter:
        counter.folkform.faults.add(rule)
        await counter.deliver(said(1, "c1"), said(2, "c2"))
        assert counter.differs() == []
        assert counter.shelved == []


# 60


@pytest.mark.parametrize("generation", [1, 2])
async def test_60_what_the_old_agent_overwrites_is_put_right_by_the_next_change(
    generation: Generation,
) -> None:
    async with opened(generation=generation) as counter:
        process = counter.start()
        counter.publish(dated("c1", 5, observed_at=5))
        await counter.until(lambda: not counter.differs())
        # It writes an older snapshot than ours, as generation 1 lets it and generation 2's plain route too.
        counter.folkform.agent(page_id="1", data={"id": "c1", **at(1)})
        assert counter.differs() == ["c1"]
        counter.publish(dated("c1", 9, observed_at=9))
        await counter.until(lambda: not counter.differs())
        assert counter.calls(GUARDED if generation == 2 else CONVERSATION) == 2
        assert not process.task.done()
