"""The page list in its shapes, users who see different pages, and verbs in the middle of paging."""

import json

from connector.simulator.faults import Rule
from tests.unit.simulator.rig import PancakeRig, listed


async def page_list(pancake: PancakeRig, token: str = "sim-user-token") -> dict[str, list[str]]:  # noqa: S107
    answer = (await pancake.get(f"/v1/pages?access_token={token}")).json
    found = answer.get("categorized", answer)
    return {
        name: [page["id"] for page in pages] for name, pages in found.items() if name != "activated_page_ids"
    }


async def test_the_documented_page_list_has_only_pages(pancake: PancakeRig) -> None:
    pancake.simulator.options.page_list = "pages"
    assert await page_list(pancake) == {"pages": list(pancake.world.pages)}


async def test_a_page_that_is_not_active_is_listed_where_it_belongs(pancake: PancakeRig) -> None:
    first, second = pancake.world.pages
    pancake.simulator.options.page_states[second] = "inactivated"
    assert await page_list(pancake) == {
        "activated": [first], "hidden": [], "inactivated": [second], "nopermission": [],
    }  # fmt: skip


async def test_each_user_sees_and_renews_only_their_own_pages(pancake: PancakeRig) -> None:
    first, second = pancake.world.pages
    pancake.simulator.options.user_tokens.add("other")
    pancake.simulator.options.user_pages = {"other": {second}}
    assert (await page_list(pancake, "other"))["activated"] == [second]
    path = "/v1/pages/{}/generate_page_access_token?access_token=other"
    refused = await pancake.client.call("POST", pancake.url + path.format(first))
    assert refused.json["error_code"] == 107
    assert (await pancake.client.call("POST", pancake.url + path.format(second))).json["success"] is True
    assert [pancake.simulator.regenerations(page) for page in (first, second)] == [0, 1]


async def test_a_verb_may_strike_in_the_middle_of_paging(pancake: PancakeRig) -> None:
    named = {"page_id": pancake.page_id, "conversation_id": pancake.conversation_id}
    rule = {
        "action": "act",
        "verb": "add_message",
        "arguments": named,
        "route": "messages",
        "skip": 1,
        "times": 1,
    }
    await pancake.control("POST", "faults", rule)
    counts = [len(listed(await pancake.messages(), "messages")) for _ in range(3)]
    assert counts == [4, 5, 5]


async def test_an_error_may_come_rarely_as_a_status_and_mostly_in_a_body(pancake: PancakeRig) -> None:
    pancake.simulator.options.error_form, pancake.simulator.options.http_share = "mixed", 0.1
    statuses = [(await pancake.conversations(token="wrong")).status for _ in range(200)]
    assert 5 < statuses.count(401) < 40
    assert set(statuses) == {200, 401}


async def test_a_permanent_500_stays_one(pancake: PancakeRig) -> None:
    pancake.simulator.faults.add(Rule("error", status=500, where=pancake.conversation_id))
    answers = [await pancake.messages() for _ in range(3)]
    assert [answer.status for answer in answers] == [500] * 3
    assert json.loads(answers[0].body)["success"] is False
