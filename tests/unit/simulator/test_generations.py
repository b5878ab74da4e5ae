"""FolkForm's three generations and the proposed batch, as a client meets them (contracts B0, B12)."""

import json
from urllib.parse import quote

import pytest

from tests.unit.simulator.rig import Answer, FolkFormRig

GUARDED, INGEST, BATCH = (
    "/facebook/conversation/sync-upsert-one",
    "/cio/ingest",
    "/facebook/conversation/batch-upsert",
)
AT = "2026-03-03T04:03:22.000000"


def snapshot(ident: str = "c1", at: str | None = AT, **fields: object) -> dict[str, object]:
    return {"id": ident, "customer_id": "k1", **({"updated_at": at} if at else {}), **fields}


def message(ident: str, at: str = AT, **fields: object) -> dict[str, object]:
    return {"id": ident, "inserted_at": at, **fields}


async def sync(folkform: FolkFormRig, data: object, page_id: str = "1") -> Answer:
    wanted = quote(json.dumps({"conversationId": "c1"}))
    body = json.dumps({"pageId": page_id, "pageUsername": "shop", "panCakeData": data}).encode()
    return await folkform.post(f"{GUARDED}?filter={wanted}", body)


async def ingest(folkform: FolkFormRig, *messages: object, ident: str = "c1") -> Answer:
    data = {"pageId": "1", "pageUsername": "shop", "conversationId": ident, "customerId": "k"}
    body = {"domain": "interaction_message", "data": data | {"panCakeData": {"messages": messages}}}
    return await folkform.post(INGEST, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("generation", "there"),
    [
        (1, {"/facebook/conversation/upsert-one", "/facebook/message/upsert-messages"}),
        (2, {"/facebook/conversation/upsert-one", "/facebook/message/upsert-messages", GUARDED}),
        (3, {INGEST}),
    ],
)
async def test_each_generation_has_its_own_routes(
    folkform: FolkFormRig, generation: int, there: set[str]
) -> None:
    folkform.simulator.options.generation = generation  # type: ignore[assignment]
    every = ("/facebook/conversation/upsert-one", "/facebook/message/upsert-messages", GUARDED, INGEST, BATCH)
    answers = {path: await folkform.post(path, b"{}") for path in every}
    assert {path for path, answer in answers.items() if answer.status != 404} == there
    assert {a.json["code"] for a in answers.values() if a.status == 404} == {"DB_002"}


async def test_a_snapshot_that_is_not_newer_is_skipped_in_the_second_generation(
    folkform: FolkFormRig,
) -> None:
    folkform.simulator.options.generation = 2
    first = await sync(folkform, snapshot())
    for late in (snapshot(tags=[1]), snapshot(at="2026-03-03T04:03:21.999999")):
        answer = await sync(folkform, late)
        assert (answer.status, answer.json["status"], answer.json["skipped"]) == (200, "success", True)
        assert answer.json["data"] is None
    assert json.loads(folkform.simulator.store.documents[1].data) == snapshot()
    folkform.clock.now += 60
    newer = await sync(folkform, snapshot(at="2026-03-03T04:03:22.000001"))
    # Here createdAt is that of the first write.
    assert newer.json["data"]["createdAt"] == first.json["data"]["createdAt"]
    assert (await sync(folkform, snapshot(at=None))).json["data"] is not None
    assert folkform.simulator.store.notes.skipped_snapshots == 2


@pytest.mark.parametrize("data", [{}, {"id": None}, [], 7])
async def test_a_client_fault_is_dressed_as_a_server_fault_in_the_second_generation(
    folkform: FolkFormRig, data: object
) -> None:
    folkform.simulator.options.generation = 2
    answer = await sync(folkform, data)
    assert (answer.status, answer.json) == (
        500,
        {"code": "SYS_001", "message": "Internal Server Error", "status": "error"},
    )
    assert (await folkform.post(GUARDED, b"{")).status == 500


async def test_an_empty_page_is_refused_from_the_second_generation_on(folkform: FolkFormRig) -> None:
    folkform.simulator.options.generation = 2
    assert (await sync(folkform, snapshot(), page_id="")).status == 400


async def test_a_later_generation_takes_eleven_mebibytes(folkform: FolkFormRig) -> None:
    large = {"id": "c1", "x": "a" * (11 * 1024 * 1024)}
    assert (await folkform.upsert(json.dumps(large).encode())).status == 413
    folkform.simulator.options.generation = 2
    assert (await folkform.upsert(json.dumps(large).encode())).status == 200


async def test_a_login_ends_no_session_from_the_second_generation_on(folkform: FolkFormRig) -> None:
    folkform.simulator.options.generation = 2
    await folkform.post("/auth/login/firebase", b'{"idToken":"t","hwid":"h"}')
    assert (await folkform.get("/facebook/conversation/count")).status == 200


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", b'{"domain":"interaction_message"}', b'{"domain":"other","data":{}}', b'{"data":{}}'],
)
async def test_an_ingest_that_names_nothing_known_is_refused(folkform: FolkFormRig, body: bytes) -> None:
    folkform.simulator.options.generation = 3
    answer = await folkform.post(INGEST, body)
    assert (answer.status, answer.json["code"]) == (400, "VAL_002")


async def test_the_third_generation_takes_snapshots_by_ingest_and_checks_them(folkform: FolkFormRig) -> None:
    folkform.simulator.options.generation = 3
    data = {"pageId": "1", "pageUsername": "shop", "panCakeData": snapshot()}
    wanted = {"conversationId": "c1"}
    body = json.dumps({"domain": "interaction_conversation", "filter": wanted, "data": data}).encode()
    assert (await folkform.post(INGEST, body)).json["data"]["conversationId"] == "c1"
    assert (await folkform.post(INGEST, body)).json["skipped"]


async def test_an_ingest_without_filter_overwrites_the_first_document(folkform: FolkFormRig) -> None:
    folkform.simulator.options.generation = 3
    for ident, at in (("victim", AT), ("c1", "2026-03-03T05:00:00.000000")):
        data = {"pageId": "1", "pageUsername": "shop", "panCakeData": snapshot(ident, at)}
        await folkform.post(INGEST, json.dumps({"domain": "interaction_conversation", "data": data}).encode())
    assert [document.conversation_id for document in folkform.simulator.store.documents.values()] == ["c1"]
    assert folkform.simulator.store.notes.overwritten_documents == 1


@pytest.mark.parametrize(
    ("words", "code", "says"), [("raw", "DB", "createdAt"), ("plain", "SYS_001", "Intern")]
)
async def test_the_third_generation_fails_every_later_message_call_of_a_conversation(
    folkform: FolkFormRig, words: str, code: str, says: str
) -> None:
    folkform.simulator.options.generation = 3
    folkform.simulator.options.second_ingest = words  # type: ignore[assignment]
    assert (await ingest(folkform, message("m1"))).status == 200
    answer = await ingest(folkform, message("m2"))
    assert (answer.status, answer.json["code"]) == (500, code)
    assert says in answer.json["message"]
    # Without messages it works, and so does another conversation.
    assert (await ingest(folkform)).status == 200
    assert (await ingest(folkform, message("m3"), ident="c2")).status == 200
    assert list(folkform.simulator.store.items) == ["m1", "m3"]


async def test_the_third_generation_drops_an_edit_that_keeps_its_time(folkform: FolkFormRig) -> None:
    folkform.simulator.options.generation = 3
    folkform.simulator.options.second_ingest = "works"
    await ingest(folkform, message("m1", text="old"))
    await ingest(folkform, message("m1", text="edited"))
    assert b"old" in folkform.simulator.store.items["m1"].data
    await ingest(folkform, message("m1", text="edited", updated_at="2026-03-03T05:00:00"))
    assert b"edited" in folkform.simulator.store.items["m1"].data
    assert folkform.simulator.store.items["m1"].inserted_at == 1_772_510_602_000
    assert folkform.simulator.store.notes.skipped_items == 1


def batch(*data: object) -> bytes:
    return json.dumps({"pageId": "1", "pageUsername": "shop", "conversations": data}).encode()


async def test_a_batch_writes_every_conversation_or_none(folkform: FolkFormRig) -> None:
    folkform.simulator.options.batch_upsert = 3
    assert (await folkform.post(BATCH, batch(snapshot("c1"), snapshot("c2")))).status == 200
    assert (await folkform.post(BATCH, batch(snapshot("c3"), {}))).status == 400
    assert (await folkform.post(BATCH, batch())).status == 400
    assert (await folkform.post(BATCH, batch(*(snapshot(f"d{n}") for n in range(4))))).status == 400
    assert list(folkform.simulator.store.by_conversation) == ["c1", "c2"]
    assert folkform.simulator.store.documents[1].page_username == "shop"


async def test_the_old_agent_writes_beside_us(folkform: FolkFormRig) -> None:
    await folkform.upsert(json.dumps(snapshot()).encode())
    older = snapshot(at="2026-01-01T00:00:00.000000")
    await folkform.control("POST", "act", {"verb": "agent", "page_id": "1", "data": older})
    assert json.loads(folkform.simulator.store.documents[1].data) == older
    assert folkform.simulator.regressions == 1


@pytest.mark.parametrize(("depth", "status"), [(99, 200), (100, 500)])
async def test_what_nests_deeper_than_a_document_may_fails_its_call(
    folkform: FolkFormRig, depth: int, status: int
) -> None:
    # The object itself is one level, and brackets inside a text are none.
    nested = b'{"id":"m1","t":"[[[\\"{","d":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    assert (await folkform.upsert_messages(nested)).status == status
    assert (await folkform.upsert(nested.replace(b"m1", b"c1"))).status == status
