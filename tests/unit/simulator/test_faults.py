"""Faults by script: each does what it says, to the calls it names, and to no others."""

import json

import aiohttp
import pytest

from connector.errors import ConfigError
from connector.simulator.faults import Faults, Rule
from tests.unit.simulator.rig import FolkFormRig, PancakeRig

DATA = b'{"id":"c1","updated_at":"2026-03-03T04:03:22.000000"}'
STORED = {"c1": [DATA]}


def stored(folkform: FolkFormRig) -> dict[str, list[bytes]]:
    return {key: [d.data for d in found] for key, found in folkform.simulator.store.by_conversation.items()}


async def test_a_status_with_html_hits_as_often_as_it_says(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("status", status=502, times=2))
    answers = [await folkform.upsert(DATA) for _ in range(3)]
    assert [a.status for a in answers] == [502, 502, 200]
    assert answers[0].headers["Content-Type"].startswith("text/html")


async def test_a_body_may_be_given(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(
        Rule("status", status=503, body='{"code":"DB_001"}', headers={"Retry-After": "7"})
    )
    answer = await folkform.upsert(DATA)
    assert (answer.status, answer.json, answer.headers["Retry-After"]) == (503, {"code": "DB_001"}, "7")


async def test_an_error_is_in_the_service_s_own_words(folkform: FolkFormRig, pancake: PancakeRig) -> None:
    folkform.simulator.faults.add(Rule("error", status=409, code="DB_002", message="trùng"))
    answer = await folkform.upsert(DATA)
    assert (answer.status, answer.json) == (409, {"code": "DB_002", "message": "trùng", "status": "error"})
    pancake.simulator.faults.add(Rule("error", code=122))
    parked = await pancake.conversations()
    assert parked.json == {"success": False, "error_code": 122, "message": "Page subscription is expired"}


async def test_one_conversation_fails_for_ever_and_the_others_pass(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("error", status=500, where="c1"))
    for _ in range(3):
        assert (await folkform.upsert(DATA)).status == 500
    assert (await folkform.upsert(b'{"id":"c2"}')).status == 200


@pytest.mark.parametrize("after", [False, True])
async def test_a_reset_breaks_the_connection_before_or_after_applying(
    folkform: FolkFormRig, *, after: bool
) -> None:
    folkform.simulator.faults.add(Rule("reset", after=after, times=1))
    with pytest.raises(aiohttp.ClientError):
        await folkform.upsert(DATA)
    assert stored(folkform) == (STORED if after else {})
    assert (await folkform.upsert(DATA)).status == 200


async def test_a_swallowed_call_is_never_applied(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("swallow", seconds=30, times=1))
    with pytest.raises(aiohttp.ClientError):
        await folkform.upsert(DATA)
    assert stored(folkform) == {}
    assert folkform.clock.slept == [30]


@pytest.mark.parametrize("after", [False, True])
async def test_a_hang_waits_and_then_answers_truly(folkform: FolkFormRig, *, after: bool) -> None:
    folkform.simulator.faults.add(Rule("hang", seconds=30, after=after))
    answer = await folkform.upsert(DATA)
    assert folkform.clock.slept == [30]
    late = answer.json["data"]["updatedAt"] == folkform.clock.epoch_ms()
    assert late is not after


async def test_a_truncated_answer_is_no_json_and_the_call_was_applied(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("truncate"))
    answer = await folkform.upsert(DATA)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert stored(folkform) == STORED


async def test_a_cut_answer_ends_in_the_middle(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("cut"))
    with pytest.raises(aiohttp.ClientError):
        await folkform.upsert(DATA)
    assert stored(folkform) == STORED


async def test_an_empty_answer_a_slow_one_and_a_mislabelled_one(pancake: PancakeRig) -> None:
    for rule in (Rule("empty", times=1), Rule("slow", seconds=8, times=1), Rule("content_type", times=1)):
        pancake.simulator.faults.add(rule)
    empty, slow, mislabelled = [await pancake.conversations() for _ in range(3)]
    assert (empty.status, empty.body) == (200, b"")
    assert slow.body == mislabelled.body
    assert sum(pancake.clock.slept) == pytest.approx(8, abs=1.1)
    assert mislabelled.headers["Content-Type"].startswith("text/html")


async def test_a_token_dies_in_the_middle_of_paging(pancake: PancakeRig) -> None:
    token = pancake.simulator.token(pancake.page_id)
    pancake.simulator.faults.add(Rule("kill_token", route="conversations", skip=1, times=1))
    codes = [(await pancake.conversations(token=token)).json.get("error_code") for _ in range(3)]
    assert codes == [None, 105, 105]
    assert (await pancake.conversations()).json["success"] is True


async def test_a_partial_success_stores_the_thread_and_a_retry_converges(folkform: FolkFormRig) -> None:
    folkform.simulator.faults.add(Rule("partial", times=1))
    assert (await folkform.upsert_messages(b'{"id":"m1"}')).status == 500
    assert list(folkform.simulator.store.threads) == ["c1"]
    assert not folkform.simulator.store.items
    assert (await folkform.upsert_messages(b'{"id":"m1"}')).status == 200
    assert list(folkform.simulator.store.items) == ["m1"]


def test_a_rule_meets_only_its_route_and_its_subject() -> None:
    faults = Faults()
    faults.add(Rule("reset", route="message/*", where="c7"))
    assert faults.strike("conversation/upsert-one", "p/c7") is None
    assert faults.strike("message/upsert-messages", "p/c8") is None
    assert faults.strike("message/upsert-messages", "p/c7") is not None


def test_the_same_seed_strikes_the_same_calls() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(Rule("reset", probability=0.3, seed=seed))
        return [faults.strike("r", "s") is not None for _ in range(200)]

    assert struck(1) == struck(1) != struck(2)
    assert 30 < sum(struck(1)) < 90


async def test_rules_are_set_listed_and_cleared_over_http(folkform: FolkFormRig) -> None:
    rules = [{"action": "status", "status": 503, "times": 1}, {"action": "reset", "where": "nobody"}]
    assert (await folkform.control("POST", "faults", rules)).json == {"added": 2}
    assert (await folkform.upsert(DATA)).status == 503
    assert [rule["hits"] for rule in (await folkform.control("GET", "faults")).json] == [1, 0]
    await folkform.control("DELETE", "faults")
    assert (await folkform.control("GET", "faults")).json == []


async def test_a_misspelt_rule_is_refused_and_named(folkform: FolkFormRig) -> None:
    answer = await folkform.control("POST", "faults", {"action": "status", "staus": 1})
    assert answer.status == 400
    assert "staus" in answer.json["error"]
    with pytest.raises(ConfigError):
        Faults().load(b'[{"action":"reset"},{"action":"explode"}]')
