"""The FolkForm simulator, generation 1, as a client meets it."""

import asyncio
import json
from typing import Literal
from urllib.parse import quote

import pytest

from tests.unit.simulator.rig import FolkFormRig

OLD = b'{"id":"c1","customer_id":"k1","updated_at":"2026-03-03T04:03:22.000000","n":9007199254740993,"f":1.0}'
C1 = quote('{"conversationId":"c1"}')
NEW = b'{"id":"c1","customer_id":"k1","updated_at":"2026-03-03T04:03:23","n":1e5}'


def message(ident: str, text: str = "x", at: str = "2026-03-03T04:03:22.000000") -> bytes:
    return json.dumps({"id": ident, "message": text, "inserted_at": at}).encode()


async def test_a_conversation_is_kept_as_the_bytes_that_arrived(folkform: FolkFormRig) -> None:
    answer = await folkform.upsert(OLD)
    assert OLD in answer.body
    assert answer.json["data"]["customerId"] == "k1"
    assert answer.json["data"]["panCakeUpdatedAt"] == 1_772_510_602_000
    assert (answer.json["code"], answer.json["status"]) == (200, "success")
    assert folkform.simulator.store.by_conversation["c1"][0].data == OLD


async def test_the_last_arrival_wins_and_going_back_is_noted(folkform: FolkFormRig) -> None:
    await folkform.upsert(NEW)
    assert folkform.simulator.regressions == 0
    await folkform.upsert(OLD)
    assert folkform.simulator.store.by_conversation["c1"][0].data == OLD
    assert folkform.simulator.regressions == 1
    await folkform.upsert(OLD)
    assert folkform.simulator.upserts_of_unchanged == 1


async def test_another_content_of_the_same_moment_is_no_step_back(folkform: FolkFormRig) -> None:
    await folkform.upsert(OLD)
    await folkform.upsert(OLD.replace(b"1.0", b"2.0"))
    assert (folkform.simulator.regressions, folkform.simulator.upserts_of_unchanged) == (0, 0)


async def test_created_at_is_written_anew_each_time(folkform: FolkFormRig) -> None:
    first = (await folkform.upsert(OLD)).json["data"]["createdAt"]
    folkform.clock.now += 60
    assert (await folkform.upsert(OLD)).json["data"]["createdAt"] == first + 60_000


async def test_an_empty_filter_overwrites_the_first_document(folkform: FolkFormRig) -> None:
    await folkform.upsert(b'{"id":"victim"}')
    await folkform.upsert(OLD, conversation_id="")
    assert list(folkform.simulator.store.documents.values())[0].conversation_id == "c1"  # noqa: RUF015
    assert folkform.simulator.store.notes.overwritten_documents == 1
    assert len(folkform.simulator.store.documents) == 1


@pytest.mark.parametrize(
    "data", [b"{}", b'{"id":null}', b"[]", b"7", b'{"id":"c","x":1e999}', b'{"id":"c","a\\u0000":1}']
)
async def test_a_conversation_without_id_or_with_poison_is_refused(
    folkform: FolkFormRig, data: bytes
) -> None:
    answer = await folkform.upsert(data, "c")
    assert (answer.status, answer.json["code"]) == (400, "VAL_002")
    assert not folkform.simulator.store.documents


async def test_an_id_that_looks_like_an_object_id_is_inserted_each_time(folkform: FolkFormRig) -> None:
    data = b'{"id":"65a0000000000000000000ff"}'
    await folkform.upsert(data)
    await folkform.upsert(data)
    assert len(folkform.simulator.store.documents) == 2


@pytest.mark.parametrize(
    "filter_", ["nonsense", '{"c":{"$where":1}}', '{"token":"x"}', json.dumps({str(n): n for n in range(11)})]
)
async def test_a_filter_that_the_backend_refuses(folkform: FolkFormRig, filter_: str) -> None:
    answer = await folkform.get(f"/facebook/conversation/find?filter={quote(filter_)}")
    assert (answer.status, answer.json["code"]) == (400, "VAL_002")


async def test_messages_are_kept_as_the_bytes_that_arrived(folkform: FolkFormRig) -> None:
    odd = b'{"id" : "m1", "inserted_at":"2026-03-03T04:03:22.000000","n":9007199254740993,"s":"\\u00e9\\/"}'
    answer = await folkform.upsert_messages(odd, message("m2"))
    assert answer.json["data"]["totalMessages"] == 2
    read = await folkform.get("/facebook/message-item/find-by-message-id/m1")
    assert odd in read.body
    assert read.json["data"]["insertedAt"] == 1_772_510_602


@pytest.mark.parametrize("name", ["pageId", "pageUsername", "conversationId", "customerId"])
@pytest.mark.parametrize("value", ["", None, 7])
async def test_every_name_is_required_for_messages(folkform: FolkFormRig, name: str, value: object) -> None:
    answer = await folkform.upsert_messages(message("m1"), **{name: value})
    assert (answer.status, answer.json["code"]) == (400, "VAL_002")
    assert not folkform.simulator.store.items


async def test_elements_without_a_string_id_are_silently_skipped(folkform: FolkFormRig) -> None:
    answer = await folkform.upsert_messages(b'{"id":7}', b"{}", b'"m"', b"null", b'{"id":""}', message("m1"))
    assert answer.status == 200
    assert list(folkform.simulator.store.items) == ["m1"]
    assert folkform.simulator.store.notes.skipped_elements == 5


@pytest.mark.parametrize(
    "at", ["2026-03-03T04:03:22", "2026-03-03T04:03:22.000", "2026-03-03T04:03:22.000000Z", "?"]
)
async def test_inserted_at_is_zero_unless_it_has_six_digits_and_no_zone(
    folkform: FolkFormRig, at: str
) -> None:
    await folkform.upsert_messages(message("m1", at=at))
    assert folkform.simulator.store.items["m1"].inserted_at == 0


async def test_thread_metadata_is_merged_one_level_deep_and_never_disappears(folkform: FolkFormRig) -> None:
    await folkform.upsert_messages(metadata=b'{"a":1,"nested":{"x":{"deep":1},"y":1}}')
    answer = await folkform.upsert_messages(metadata=b'{"b":2,"nested":{"x":{"other":2}}}')
    stored = answer.json["data"]["panCakeData"]
    assert stored == {"a": 1, "b": 2, "conversation_id": "c1", "nested": {"x": {"other": 2}, "y": 1}}


@pytest.mark.parametrize(
    "poison", [b'{"id":"m2","n":1e999}', b'{"id":"m2","a\\u0000b":1}', b'{"id":"m2","d":[{"\\u0000":1}]}']
)
async def test_one_poison_element_fails_the_whole_call(folkform: FolkFormRig, poison: bytes) -> None:
    answer = await folkform.upsert_messages(message("m1"), poison)
    assert (answer.status, answer.json["code"]) == (500, "DB")
    assert not folkform.simulator.store.items
    assert not folkform.simulator.store.threads


async def test_half_a_surrogate_pair_is_stored_as_the_replacement_character(folkform: FolkFormRig) -> None:
    assert (await folkform.upsert_messages(b'{"id":"m1","t":"\\ud83d"}')).status == 200
    assert folkform.simulator.store.items["m1"].data == b'{"id":"m1","t":"\\ufffd"}'


async def test_an_older_content_of_a_message_is_a_regression_and_the_same_is_unchanged(
    folkform: FolkFormRig,
) -> None:
    for text in ("one", "two", "two"):
        await folkform.upsert_messages(message("m1", text))
    assert (folkform.simulator.regressions, folkform.simulator.upserts_of_unchanged) == (0, 1)
    await folkform.upsert_messages(message("m1", "one"))
    assert folkform.simulator.regressions == 1


async def test_a_message_moves_with_its_last_conversation(folkform: FolkFormRig) -> None:
    await folkform.upsert_messages(message("m1"))
    await folkform.upsert_messages(message("m1"), conversationId="c2")
    assert (await folkform.get("/facebook/message-item/find-by-conversation/c1")).json["data"]["data"] is None
    assert (await folkform.get("/facebook/message-item/find-by-conversation/c2")).json["data"]["pagination"][
        "total"
    ] == 1


async def test_ten_mebibytes_pass_and_one_byte_more_does_not(folkform: FolkFormRig) -> None:
    frame = (
        b'{"pageId":"1","pageUsername":"s","conversationId":"c1","customerId":"k","panCakeData":{"x":"%s"}}'
    )
    room = 10 * 1024 * 1024 - len(frame) + 2
    path = "/facebook/message/upsert-messages"
    assert (await folkform.post(path, frame % (b"a" * room))).status == 200
    answer = await folkform.post(path, frame % (b"a" * (room + 1)))
    assert (answer.status, answer.json["code"]) == (413, "SYS_001")


async def test_a_filter_of_3700_characters_passes_and_one_above_4096_does_not(folkform: FolkFormRig) -> None:
    assert (
        await folkform.get(f"/facebook/conversation/count?filter=%7B%7D{' ' * 0}{'%20' * 1200}")
    ).status == 200
    answer = await folkform.get(f"/facebook/conversation/count?filter=%7B%7D{'%20' * 1350}")
    assert (answer.status, answer.json["code"]) == (431, "SYS_001")


async def test_sign_in_is_refused_with_the_statuses_of_the_backend(folkform: FolkFormRig) -> None:
    url = folkform.url + "/v1/facebook/conversation/count"
    good = folkform.headers

    async def refused(headers: dict[str, str]) -> tuple[int, str]:
        answer = await folkform.client.call("GET", url, headers=headers)
        return answer.status, answer.json["code"]

    assert await refused({}) == (401, "AUTH_001")
    assert await refused(good | {"Authorization": "Bearer other"}) == (401, "AUTH_001")
    assert await refused({"Authorization": good["Authorization"]}) == (400, "AUTH_003")
    assert await refused(good | {"X-Active-Role-ID": "short"}) == (400, "VAL_002")
    assert await refused(good | {"X-Active-Role-ID": "f" * 24}) == (403, "AUTH_003")


async def test_a_second_login_ends_the_first_session(folkform: FolkFormRig) -> None:
    body = b'{"idToken":"t","hwid":"h"}'
    made = await folkform.post("/auth/login/firebase", body)
    assert (await folkform.get("/facebook/conversation/count")).status == 401
    headers = folkform.headers | {"Authorization": "Bearer " + made.json["data"]["token"]}
    answer = await folkform.client.call("GET", folkform.url + "/v1/auth/roles", headers=headers)
    assert answer.json["data"][0]["roleId"] == folkform.simulator.options.role_id
    assert (await folkform.post("/auth/login/firebase", b"{}")).status == 400


async def test_the_window_is_fixed_and_everything_but_health_counts(folkform: FolkFormRig) -> None:
    folkform.simulator.options.rate = (3, 60.0)
    first = await folkform.upsert(OLD)
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("3", "2")
    assert (await folkform.get("/nowhere")).status == 404
    assert (await folkform.client.call("GET", folkform.url + "/v1/facebook/conversation/count")).status == 401
    folkform.clock.now += 59.5
    refused = await folkform.upsert(OLD)
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (429, "BIZ_002", "1")
    assert "X-RateLimit-Limit" not in refused.headers
    assert (await folkform.client.call("GET", folkform.url + "/v1/system/health")).status == 200
    folkform.clock.now += 0.5
    assert (await folkform.upsert(OLD)).status == 200
    assert folkform.simulator.calls.refused == 1


async def test_unknown_routes_and_methods_have_the_envelope_of_the_framework(folkform: FolkFormRig) -> None:
    batch = await folkform.post("/facebook/conversation/batch-upsert", b"{}")
    path = "/api/v1/facebook/conversation/batch-upsert"
    assert (batch.status, batch.json) == (
        404,
        {"code": "DB_002", "message": f"Cannot POST {path}", "status": "error"},
    )
    assert (await folkform.get("/facebook/message/upsert-messages")).json["code"] == "SYS_001"
    assert (await folkform.get("/facebook/conversation/count/")).status == 404
    assert (await folkform.post("/facebook/conversation/upsert-many", b"[]")).json["code"] == "VAL_001"


async def test_each_way_to_read_back_has_its_own_shape(folkform: FolkFormRig) -> None:
    assert (await folkform.get("/facebook/conversation/find")).json["data"] == []
    assert (await folkform.get("/facebook/conversation/find-with-pagination")).json["data"]["items"] is None
    for number in range(12):
        data = {"id": f"c{number}", "updated_at": f"2026-03-03T04:03:{number:02}"}
        await folkform.upsert(json.dumps(data).encode())
    await folkform.upsert_messages(*[message(f"m{n}") for n in range(60)])
    newest = (await folkform.get("/facebook/conversation/sort-by-api-update?page=2&limit=50")).json["data"]
    assert [row["conversationId"] for row in newest["items"]] == [f"c{n}" for n in range(11, 1, -1)]
    assert (
        len((await folkform.get("/facebook/conversation/find-with-pagination?page=2")).json["data"]["items"])
        == 2
    )
    assert (await folkform.get("/facebook/message-item/count")).json["data"] == 60
    assert (await folkform.get("/facebook/message-item/find")).json["data"] == []
    assert (await folkform.get("/facebook/message-item/find-by-message-id/no")).status == 404
    items = (await folkform.get("/facebook/message-item/find-by-conversation/c1?limit=101")).json["data"]
    assert (len(items["data"]), items["pagination"]["total"]) == (50, 60)
    some = quote('{"panCakeUpdatedAt":{"$gte":1772510590000}}')
    assert (await folkform.get(f"/facebook/conversation/count?filter={some}")).json["data"] == 2


async def test_two_calls_for_one_conversation_at_once_are_counted(folkform: FolkFormRig) -> None:
    folkform.simulator.options.latency = 0.1
    folkform.clock.gate = asyncio.Event()
    calls = [folkform.upsert_messages(message("m1")), folkform.upsert_messages(message("m1"))]
    others = [folkform.upsert_messages(message("m2"), conversationId="c2"), folkform.upsert(OLD)]
    at_once = asyncio.gather(*calls, *others)
    await folkform.clock.until_waiting(4)
    folkform.clock.gate.set()
    assert {answer.status for answer in await at_once} == {200}
    assert folkform.simulator.overlaps == 1
    await folkform.upsert_messages(message("m1"))
    assert folkform.simulator.overlaps == 1


@pytest.mark.parametrize(("race", "statuses", "documents"), [
    ("one", {200}, 1), ("duplicate", {200}, 2), ("error", {200, 500}, 1),
])  # fmt: skip
async def test_two_first_upserts_at_once_race(
    folkform: FolkFormRig, race: Literal["one", "duplicate", "error"], statuses: set[int], documents: int
) -> None:
    folkform.simulator.options.latency = 0.1
    folkform.simulator.options.first_upsert_race = race
    folkform.clock.gate = asyncio.Event()
    at_once = asyncio.gather(folkform.upsert(OLD), folkform.upsert(OLD))
    await folkform.clock.until_waiting(2)
    folkform.clock.gate.set()
    assert {answer.status for answer in await at_once} == statuses
    found = (await folkform.get(f"/facebook/conversation/find?filter={C1}")).json
    assert len(found["data"]) == documents


async def test_status_and_clear_are_there_for_people(folkform: FolkFormRig) -> None:
    await folkform.upsert(OLD)
    status = (await folkform.control("GET", "status")).json
    assert status["routes"]["conversation/upsert-one"]["calls"] == 1
    assert (status["writes"], status["conversations"]) == (1, 1)
    await folkform.control("POST", "act", {"verb": "clear"})
    assert (await folkform.control("GET", "dump")).body == b""
