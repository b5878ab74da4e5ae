"""One exam for every dialect, and how the sink finds out which one is spoken."""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from structlog.testing import capture_logs

from connector.errors import (
    ContractError,
    DoubtfulError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
)
from connector.folkform.answers import NoRouteError
from connector.folkform.dialects import DIALECTS, Dialects
from connector.simulator.faults import Rule
from connector.simulator.options import FolkFormOptions
from tests.unit.folkform.desk import (
    AT,
    BATCH,
    CONVERSATION,
    GUARDED,
    INGEST,
    MESSAGES,
    desk,
    message,
    snapshot,
    thread,
)

LATER = {"updated_at": "2026-03-03T05:00:00.000000"}
NOW = {"updated_at": AT}


@dataclass(frozen=True)
class Spoken:
    """A server, and how the sink is told of it."""

    generation: Literal[1, 2, 3]
    setting: str
    batch: int = 0

    @property
    def options(self) -> FolkFormOptions:
        # The exam is of what is common: that generation 3 refuses second calls has stories of its own.
        return FolkFormOptions(generation=self.generation, batch_upsert=self.batch, second_ingest="works")

    @property
    def name(self) -> str:
        return f"generation{self.generation}"


EVERY = [
    *(Spoken(generation, f"generation{generation}") for generation in (1, 2, 3)),
    *(Spoken(generation, "auto") for generation in (1, 2, 3)),
    Spoken(1, "auto", batch=20),
    Spoken(1, "generation1", batch=20),
]
exam = pytest.mark.parametrize("spoken", EVERY, ids=str)


@exam
async def test_snapshots_and_messages_arrive_byte_for_byte(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        await counter.write(snapshot())
        await counter.write(thread({"can_inbox": True}), message(1), message(2))
        store = counter.simulator.store
        assert counter.document() == snapshot().payload
        assert [counter.item("m1"), counter.item("m2")] == [message(1).payload, message(2).payload]
        held = store.threads["c1"]
        assert (held.page_id, held.page_username, held.customer_id) == ("1", "shop", "k1")
        assert (store.documents[1].page_id, store.documents[1].page_username) == ("1", "shop")
        assert store.notes.overwritten_documents == store.notes.skipped_elements == 0
        assert counter.sink.dialect == spoken.name


@exam
async def test_writing_the_same_again_changes_nothing(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        for _ in range(3):
            await counter.write(snapshot("c1", NOW))
            await counter.write(thread({"a": 1}), message(1), message(2))
        store = counter.simulator.store
        assert (len(store.documents), len(store.items)) == (1, 2)
        assert (counter.simulator.regressions, store.notes.moved_messages) == (0, 0)


@exam
async def test_several_snapshots_arrive_each_with_its_own_verdict(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        await counter.write(snapshot("c0"))
        unsound = replace(snapshot("c3"), payload=b'{"id":"c3","x":1e999}')
        verdicts = await counter.write_many(
            snapshot("c1"), snapshot("c2"), unsound, snapshot("c4"), snapshot("c5")
        )
        assert [type(verdict) for verdict in verdicts] == [type(None)] * 2 + [RejectedError] + [
            type(None)
        ] * 2
        assert list(counter.simulator.store.by_conversation) == ["c0", "c1", "c2", "c4", "c5"]
        assert counter.sink.width == (15 if spoken.batch else 1)


@exam
async def test_a_lost_answer_and_a_half_applied_call_converge(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        counter.simulator.faults.add(Rule("reset", after=True, times=1))
        with pytest.raises(UnknownOutcomeError):
            await counter.write(snapshot())
        await counter.write(snapshot())
        counter.simulator.faults.add(Rule("partial", times=1))
        with pytest.raises(DoubtfulError):
            await counter.write(thread({"a": 1}), message(1))
        await counter.write(thread({"a": 1}), message(1))
        assert (counter.document(), counter.item("m1")) == (snapshot().payload, message(1).payload)


@exam
async def test_who_leaves_makes_no_call_any_more(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        counter.leaving.set()
        for lane in ((snapshot(),), (message(1),)):
            with pytest.raises(UnavailableError):
                await counter.write(*lane)
        assert counter.calls() == 0


@exam
async def test_an_outage_is_doubtful_or_away_but_never_another_dialect(spoken: Spoken) -> None:
    async with desk(spoken.options, dialect=spoken.setting) as counter:
        await counter.write(snapshot())
        for rule in (
            Rule("error", status=500),
            Rule("error", status=503, code="DB_001"),
            Rule("status", status=502),
        ):
            counter.simulator.faults.add(rule)
            with pytest.raises((DoubtfulError, UnavailableError, UnknownOutcomeError)):
                await counter.write(snapshot())
            counter.simulator.faults.clear()
        assert counter.sink.dialect == spoken.name


# Finding out


@pytest.mark.parametrize(
    ("generation", "routes"),
    [
        # A missing route costs one call that answers 404; the guard is looked for before the route without.
        (1, ["unknown", CONVERSATION, CONVERSATION, MESSAGES]),
        (2, [GUARDED, GUARDED, MESSAGES]),
        (3, ["unknown", "unknown", INGEST, INGEST, INGEST]),
    ],
)
async def test_the_first_calls_find_out_and_the_next_ones_know(
    generation: Literal[1, 2, 3], routes: list[str]
) -> None:
    async with desk(FolkFormOptions(generation=generation), dialect="auto") as counter:
        with capture_logs() as logs:
            await counter.write(snapshot("c1", NOW))
            await counter.write(snapshot("c2", NOW))
            await counter.write(message(1))
        assert counter.routes() == routes
        assert [(line["event"], line["dialect"]) for line in logs] == [("dialect", f"generation{generation}")]


async def test_messages_alone_leave_open_which_of_two_it_is_and_nothing_is_asked_for_it() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="auto") as counter:
        await counter.write(message(1))
        await counter.write(message(2))
        assert counter.routes() == [MESSAGES, MESSAGES]
        await counter.write(snapshot("c1", NOW))
        assert counter.routes() == [MESSAGES, MESSAGES, GUARDED]


async def test_of_many_conversations_that_begin_at_once_only_one_finds_out() -> None:
    async with desk(dialect="auto") as counter:
        await asyncio.gather(*(counter.write(snapshot(f"c{number}")) for number in range(20)))
        assert counter.routes().count("unknown") == 1
        assert len(counter.simulator.store.documents) == 20


async def test_who_waits_for_somebody_else_to_find_out_leaves_when_told() -> None:
    async with desk(dialect="auto") as counter:
        counter.grants.opened.clear()
        both = [asyncio.create_task(counter.write(snapshot(f"c{number}"))) for number in range(2)]
        await asyncio.sleep(0)
        counter.leaving.set()
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 2
        assert counter.calls() == 0


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 1), (3, 1), (3, 2), (2, 3)])
async def test_a_server_that_is_exchanged_while_we_run_is_noticed_by_what_is_missing(
    before: Literal[1, 2, 3], after: Literal[1, 2, 3]
) -> None:
    async with desk(FolkFormOptions(generation=before), dialect="auto") as counter:
        await counter.write(snapshot("c1", NOW))
        await counter.write(message(1))
        counter.simulator.options.generation = after
        await counter.write(snapshot("c2", NOW))
        await counter.write(message(2, conversation_id="c2"))
        assert counter.sink.dialect == f"generation{after}"
        assert counter.document("c2") == snapshot("c2", NOW).payload
        assert counter.item("m2") == message(2).payload
        assert counter.routes().count("unknown") <= 4


@pytest.mark.parametrize("setting", ["auto", "generation1", "generation2", "generation3"])
async def test_a_server_without_any_of_the_routes_ends_with_advice_after_a_few_calls(setting: str) -> None:
    async with desk(dialect=setting) as counter:
        counter.simulator.faults.add(Rule("status", status=404))
        counter.simulator.options.generation = 3 if setting != "generation3" else 1
        for lane in ((snapshot(),), (message(1),)):
            with pytest.raises(NoRouteError) as problem:
                await counter.write(*lane)
            assert "CONNECTOR_FOLKFORM__DIALECT" in problem.value.advice
        assert counter.calls() <= 6


async def test_a_dialect_that_is_set_is_not_doubted() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="generation1") as counter:
        await counter.write(snapshot())
        assert counter.routes() == [CONVERSATION]


def test_every_dialect_is_tried_in_the_order_of_the_table_and_left_for_good_reasons_only() -> None:
    dialects = Dialects("auto")
    assert dialects.current is DIALECTS["generation2"]
    assert dialects.body_limit == DIALECTS["generation1"].body_limit
    dialects.missing({DIALECTS["generation2"].conversations})
    assert (dialects.current.name, dialects.certain) == ("generation1", False)
    dialects.arrived(DIALECTS["generation1"].conversations)
    assert dialects.certain
    # The batch belongs to no generation, so that it is there says nothing about which one it is.
    batch = DIALECTS["generation1"].batch
    assert batch
    dialects.arrived(batch)
    assert dialects.current.name == "generation1"


# What generation 2 keeps out


async def test_a_late_older_snapshot_is_kept_out_by_the_guard() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="auto") as counter:
        await counter.write(snapshot("c1", LATER))
        await counter.write(snapshot("c1", NOW))
        assert counter.document() == snapshot("c1", LATER).payload
        assert counter.simulator.regressions == 0


async def test_a_change_that_does_not_move_its_time_is_written_past_the_guard() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="auto") as counter:
        await counter.write(snapshot("c1", NOW))
        tagged = snapshot("c1", {**NOW, "tags": ["VIP"]})
        await counter.write(tagged)
        assert counter.document() == tagged.payload
        # Skipped, looked at, written: three calls, only where FolkForm's check would lose a change.
        assert counter.routes() == [GUARDED, GUARDED, "conversation/find", CONVERSATION]


async def test_the_same_snapshot_again_is_looked_at_but_not_written_past_the_guard() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="auto") as counter:
        await counter.write(snapshot("c1", NOW))
        await counter.write(snapshot("c1", NOW))
        assert counter.routes() == [GUARDED, GUARDED, "conversation/find"]


async def test_where_the_guard_cannot_be_checked_its_judgement_stands() -> None:
    async with desk(FolkFormOptions(generation=2), dialect="auto") as counter:
        await counter.write(snapshot("c1", NOW))
        counter.simulator.faults.add(Rule("status", status=404, route="conversation/find"))
        await counter.write(snapshot("c1", {**NOW, "tags": ["VIP"]}))
        assert counter.document() == snapshot("c1", NOW).payload
        assert counter.sink.dialect == "generation2"


# What generation 3 refuses


@pytest.mark.parametrize("setting", ["auto", "generation3"])
async def test_a_third_generation_that_tells_is_believed_at_once(setting: str) -> None:
    async with desk(FolkFormOptions(generation=3), dialect=setting) as counter:
        await counter.write(message(1))
        with pytest.raises(ContractError) as problem:
            await counter.write(message(2))
        assert "generation 1 or 2" in problem.value.advice


async def test_a_third_generation_that_does_not_tell_is_known_by_two_conversations() -> None:
    async with desk(FolkFormOptions(generation=3, second_ingest="plain"), dialect="auto") as counter:
        await counter.write(message(1))
        await counter.write(message(2, conversation_id="c2"))
        for _ in range(3):
            with pytest.raises(DoubtfulError):
                await counter.write(message(3))
        with pytest.raises(ContractError):
            await counter.write(message(4, conversation_id="c2"))


async def test_an_outage_of_a_third_generation_is_an_outage() -> None:
    async with desk(FolkFormOptions(generation=3, second_ingest="plain"), dialect="auto") as counter:
        counter.simulator.faults.add(Rule("error", status=500, code="SYS_001"))
        for number in range(6):
            with pytest.raises(DoubtfulError):
                await counter.write(message(number, conversation_id=f"c{number}"))
        counter.simulator.faults.clear()
        await counter.write(message(1))


async def test_a_third_generation_that_was_mended_is_not_suspected() -> None:
    async with desk(FolkFormOptions(generation=3, second_ingest="works"), dialect="auto") as counter:
        await counter.write(message(1))
        await counter.write(message(2))
        for ident in ("c2", "c3", "c4"):
            counter.simulator.faults.add(Rule("error", status=500, code="DB", where=ident, times=1))
            with pytest.raises(DoubtfulError):
                await counter.write(message(5, conversation_id=ident))


# The batch


async def test_a_batch_carries_many_conversations_in_one_call() -> None:
    async with desk(FolkFormOptions(batch_upsert=20), dialect="auto", batch=20) as counter:
        await counter.write(snapshot("c0"))
        verdicts = await counter.write_many(*(snapshot(f"c{number}") for number in range(1, 21)))
        assert verdicts == [None] * 20
        assert counter.routes() == ["unknown", CONVERSATION, BATCH]
        assert len(counter.simulator.store.documents) == 21


async def test_a_batch_that_is_not_there_is_asked_for_once() -> None:
    async with desk(dialect="auto") as counter:
        await counter.write(snapshot("c0"))
        for first in (1, 4):
            assert await counter.write_many(*(snapshot(f"c{first + n}") for n in range(3))) == [None] * 3
        assert counter.routes() == ["unknown", CONVERSATION, "unknown", *[CONVERSATION] * 6]
        assert (counter.sink.width, counter.sink.dialect) == (1, "generation1")


async def test_a_batch_is_never_used_where_it_would_go_past_a_guard() -> None:
    async with desk(FolkFormOptions(generation=2, batch_upsert=20), dialect="auto") as counter:
        await counter.write(snapshot("c0"))
        await counter.write_many(snapshot("c1"), snapshot("c2"))
        assert counter.routes() == [GUARDED] * 3


async def test_one_that_a_batch_refuses_is_found_and_its_neighbours_pass() -> None:
    async with desk(FolkFormOptions(batch_upsert=20)) as counter:
        # Sound for all that we know, but FolkForm refuses it.
        rule = Rule("error", status=400, code="VAL_002", message="không", where="/c5")
        counter.simulator.faults.add(rule)
        verdicts = await counter.write_many(*(snapshot(f"c{number}") for number in range(8)))
        assert [number for number, verdict in enumerate(verdicts) if verdict] == [5]
        assert isinstance(verdicts[5], RejectedError)
        assert (verdicts[5].reason, verdicts[5].status) == ("refused", 400)
        assert len(counter.simulator.store.documents) == 7


@pytest.mark.parametrize("status", [500, 503, 502])
async def test_an_outage_of_a_batch_is_told_to_each_of_its_conversations(status: int) -> None:
    async with desk(FolkFormOptions(batch_upsert=20)) as counter:
        counter.simulator.faults.add(Rule("error", status=status, times=1))
        verdicts = await counter.write_many(*(snapshot(f"c{number}") for number in range(8)))
        assert len(verdicts) == 8
        assert len({id(verdict) for verdict in verdicts}) == counter.calls() == 1


async def test_a_batch_larger_than_a_body_becomes_several() -> None:
    async with desk(FolkFormOptions(batch_upsert=20), body_bytes=300_000) as counter:
        large = [snapshot(f"c{number}", {"x": "y" * 100_000}) for number in range(6)]
        assert await counter.write_many(*large) == [None] * 6
        assert counter.calls(BATCH) == counter.calls() - counter.calls(CONVERSATION) >= 2
        assert len(counter.simulator.store.documents) == 6


async def test_a_batch_never_stores_one_pages_name_for_another() -> None:
    async with desk(FolkFormOptions(batch_upsert=20)) as counter:
        renamed = [
            replace(snapshot(f"c{number}"), page_username="shop" if number < 2 else "new")
            for number in range(4)
        ]
        assert await counter.write_many(*renamed) == [None] * 4
        assert counter.routes() == [BATCH] * 2
        stored = counter.simulator.store.documents.values()
        assert [document.page_username for document in stored] == ["shop", "shop", "new", "new"]


async def test_a_setting_of_one_never_asks_for_a_batch() -> None:
    async with desk(FolkFormOptions(batch_upsert=20), batch=1) as counter:
        await counter.write_many(snapshot("c1"), snapshot("c2"))
        assert counter.routes() == [CONVERSATION] * 2


async def test_an_ingested_snapshot_names_its_conversation_in_a_filter() -> None:
    # Without one FolkForm would overwrite the first document that it has (B5.6).
    async with desk(FolkFormOptions(generation=3), dialect="generation3") as counter:
        for ident in ("c1", 'a"b', "Lê"):
            payload = json.dumps({"id": ident}).encode()
            await counter.write(replace(snapshot(ident), payload=payload))
        stored = counter.simulator.store.documents.values()
        assert [document.conversation_id for document in stored] == ["c1", 'a"b', "Lê"]
