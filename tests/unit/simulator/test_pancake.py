"""The Pancake simulator, as a client meets it."""

import json
from typing import Literal

import pytest

from connector.simulator.world import World, WorldConfig
from tests.unit.simulator.rig import PancakeRig, listed


def grown(pancake: PancakeRig, conversations: int) -> World:
    """Give the rig's first page so many conversations, all with different times."""
    while len(pancake.world.pages[pancake.page_id].conversations) < conversations:
        pancake.world.add_conversation(pancake.page_id, messages=0)
    return pancake.world


def ids(pancake_list: list[bytes]) -> list[str]:
    return [json.loads(data)["id"] for data in pancake_list]


async def test_the_page_list_is_categorized_and_holds_the_token_that_works(pancake: PancakeRig) -> None:
    answer = await pancake.get("/v1/pages?access_token=sim-user-token")
    pages = answer.json["categorized"]["activated"]
    assert answer.json["categorized"]["activated_page_ids"] == list(pancake.world.pages)
    assert pages[1]["id"].startswith("igo_")
    token = pages[0]["settings"]["page_access_token"]
    assert token.count(".") == 2
    assert (await pancake.conversations(token=token)).json["success"] is True


async def test_a_wrong_a_dead_and_a_renewed_token_get_their_own_codes(pancake: PancakeRig) -> None:
    pancake.simulator.options.dead_user_tokens.add("old")
    old = pancake.simulator.token(pancake.page_id)
    assert (await pancake.get("/v1/pages?access_token=nobody")).json["error_code"] == 102
    assert (await pancake.get("/v1/pages?access_token=old")).json["error_code"] == 103
    path = f"/v1/pages/{pancake.page_id}/generate_page_access_token?access_token=sim-user-token"
    made = await pancake.client.call("POST", pancake.url + path)
    refused = await pancake.conversations(token=old)
    assert (refused.status, refused.json["success"], refused.json["error_code"]) == (200, False, 105)
    assert (await pancake.conversations(token="wrong")).json["error_code"] == 102
    assert (await pancake.conversations(token=made.json["page_access_token"])).json["success"] is True


async def test_errors_come_as_http_statuses_and_html_when_asked_for(pancake: PancakeRig) -> None:
    pancake.simulator.options.error_form = "http"
    assert (await pancake.conversations(token="wrong")).status == 401
    pancake.simulator.options.html_errors = True
    answer = await pancake.conversations(token="wrong")
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_parked_page_does_not_touch_the_others(pancake: PancakeRig) -> None:
    other = list(pancake.world.pages)[1]
    pancake.simulator.park(other, 122)
    token = pancake.simulator.token(other)
    path = f"/public_api/v2/pages/{other}/conversations?page_access_token={token}"
    assert (await pancake.get(path)).json["error_code"] == 122
    assert (await pancake.conversations()).json["success"] is True
    pancake.simulator.unpark(other)
    assert (await pancake.get(path)).json["success"] is True


async def test_conversations_come_newest_first_sixty_at_a_time_until_nothing(pancake: PancakeRig) -> None:
    grown(pancake, 120)
    seen: list[str] = []
    sizes = []
    while True:
        cursor = f"&last_conversation_id={seen[-1]}" if seen else ""
        block = listed(await pancake.conversations(f"&order_by=updated_at{cursor}"), "conversations")
        sizes.append(len(block))
        if not block:
            break
        seen += ids(block)
    assert sizes == [60, 60, 0]
    assert len(set(seen)) == 120
    times = [pancake.world.conversation(pancake.page_id, ident).updated_us for ident in seen]
    assert times == sorted(times, reverse=True)


async def test_the_bytes_of_a_list_are_the_bytes_of_the_world(pancake: PancakeRig) -> None:
    held = pancake.world.conversation(pancake.page_id, pancake.conversation_id)
    assert held.data in listed(await pancake.conversations(), "conversations")
    assert {m.data for m in held.messages} == set(listed(await pancake.messages(), "messages"))


async def test_a_conversation_that_moves_while_paging_is_missed_further_down(pancake: PancakeRig) -> None:
    grown(pancake, 70)
    first = ids(listed(await pancake.conversations(), "conversations"))
    moved = pancake.world.pages[pancake.page_id].by_updated[0][2]
    pancake.world.add_message(pancake.page_id, moved)
    rest = ids(listed(await pancake.conversations(f"&last_conversation_id={first[-1]}"), "conversations"))
    assert moved not in first + rest


@pytest.mark.parametrize("mode", ["empty", "restart", "error"])
async def test_a_cursor_that_is_gone_ends_restarts_or_fails(
    pancake: PancakeRig, mode: Literal["empty", "restart", "error"]
) -> None:
    pancake.simulator.options.cursor_missing = mode
    answer = await pancake.conversations("&last_conversation_id=gone")
    if mode == "error":
        assert answer.json["success"] is False
    else:
        assert len(answer.json["conversations"]) == (3 if mode == "restart" else 0)


async def test_an_ignored_cursor_repeats_the_first_page(pancake: PancakeRig) -> None:
    pancake.simulator.options.cursor_ignored = True
    again = await pancake.conversations(f"&last_conversation_id={pancake.conversation_id}")
    assert again.body == (await pancake.conversations()).body


async def test_inserted_at_is_an_order_that_activity_does_not_disturb(pancake: PancakeRig) -> None:
    before = ids(listed(await pancake.conversations("&order_by=inserted_at"), "conversations"))
    pancake.world.add_message(pancake.page_id, before[-1])
    assert ids(listed(await pancake.conversations("&order_by=inserted_at"), "conversations")) == before


async def test_unread_conversations_come_first_when_asked_for(pancake: PancakeRig) -> None:
    oldest = pancake.world.pages[pancake.page_id].by_updated[0][2]
    for conversation in pancake.world.pages[pancake.page_id].conversations.values():
        pancake.world.touch(pancake.page_id, conversation.id, seen=conversation.id != oldest)
    answer = await pancake.conversations("&unread_first=true")
    assert ids(listed(answer, "conversations"))[0] == oldest


async def test_a_window_needs_both_ends_and_may_leave_conversations_out(pancake: PancakeRig) -> None:
    refused = await pancake.conversations("&since=1")
    assert refused.json["message"] == "Since must be provided with until"
    both = "&since=1&until=1893456000"
    assert len((await pancake.conversations(both)).json["conversations"]) == 3
    assert (await pancake.conversations("&since=1&until=2")).json["conversations"] == []
    pancake.simulator.options.window_leaves_out = 1.0
    assert (await pancake.conversations(both)).json["conversations"] == []


async def test_current_count_walks_back_through_the_messages_to_an_empty_page(pancake: PancakeRig) -> None:
    for _ in range(61):
        pancake.world.add_message(pancake.page_id, pancake.conversation_id)
    seen: list[bytes] = []
    while block := listed(await pancake.messages(more=f"&current_count={len(seen)}"), "messages"):
        seen += block
    held = pancake.world.conversation(pancake.page_id, pancake.conversation_id).messages
    assert seen == [m.data for m in reversed(held)]


async def test_the_order_within_a_page_of_messages_can_turn_round(pancake: PancakeRig) -> None:
    newest = listed(await pancake.messages(), "messages")
    pancake.simulator.options.message_order = "oldest_first"
    assert listed(await pancake.messages(), "messages") == newest[::-1]


async def test_an_ignored_current_count_repeats_the_newest_page(pancake: PancakeRig) -> None:
    pancake.simulator.options.current_count_ignored = True
    assert (await pancake.messages(more="&current_count=4")).body == (await pancake.messages()).body


async def test_the_old_behaviour_wants_a_customer_id(pancake: PancakeRig) -> None:
    pancake.simulator.options.customer_id_required = True
    assert (await pancake.messages()).json["success"] is False
    assert (await pancake.messages(more="&customer_id=k")).json["success"] is True


async def test_ids_with_colons_at_signs_and_dots_find_their_conversation(pancake: PancakeRig) -> None:
    odd = pancake.world.add_conversation(pancake.page_id, id="wa_1:2@c.us_a.b/c?d")
    assert (await pancake.messages(odd.id)).json["conversation_id"] == odd.id


async def test_a_message_may_be_listed_later_than_its_conversation_counts_it(pancake: PancakeRig) -> None:
    pancake.simulator.options.read_lag = 5.0
    await pancake.conversations()
    pancake.world.add_message(pancake.page_id, pancake.conversation_id)
    assert len((await pancake.messages()).json["messages"]) == 4
    pancake.clock.now += 6
    assert len((await pancake.messages()).json["messages"]) == 5


async def test_signed_urls_differ_on_each_read_only_when_asked_for(pancake: PancakeRig) -> None:
    page = pancake.world.pages[pancake.page_id]
    signed = next(c.id for c in page.conversations.values() if any(b"sig=" in m.data for m in c.messages))
    assert (await pancake.messages(signed)).body == (await pancake.messages(signed)).body
    pancake.simulator.options.signed_urls_change = True
    assert (await pancake.messages(signed)).body != (await pancake.messages(signed)).body


async def test_the_sixth_call_of_a_second_is_refused_and_still_counts(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 5
    pancake.simulator.options.refusal = "http"
    statuses = [(await pancake.conversations()).status for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    pancake.clock.now += 0.999
    assert (await pancake.conversations()).status == 429
    pancake.clock.now += 1.0
    assert (await pancake.conversations()).status == 200
    assert pancake.simulator.calls_over_limit == 3
    assert pancake.simulator.max_in_any_second(pancake.page_id) == 8
    assert pancake.simulator.calls.of(pancake.page_id, "conversations").refused == 3


async def test_a_refusal_comes_as_http_429_or_as_http_200_with_a_body(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 0
    pancake.simulator.options.retry_after = "seconds"
    answers = [await pancake.conversations() for _ in range(20)]
    assert {a.status for a in answers} == {200, 429}
    assert all(a.json["error_code"] == 429 and a.headers["Retry-After"] == "1" for a in answers)


async def test_each_page_has_a_limit_of_its_own_and_account_calls_have_none(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 1
    assert (await pancake.conversations()).json["success"] is True
    other = list(pancake.world.pages)[1]
    token = pancake.simulator.token(other)
    path = f"/public_api/v2/pages/{other}/conversations?page_access_token={token}"
    assert (await pancake.get(path)).json["success"] is True
    for _ in range(3):
        assert (await pancake.get("/v1/pages?access_token=sim-user-token")).json["success"] is True


async def test_a_foreign_consumer_eats_of_the_same_budget(pancake: PancakeRig) -> None:
    pancake.simulator.options.rate = 5
    pancake.simulator.options.foreign_rate = 50.0
    await pancake.conversations()
    assert pancake.simulator.calls_over_limit == 1
    assert pancake.simulator.max_in_any_second(pancake.page_id) == 1


async def test_activity_happens_while_the_clock_moves(pancake: PancakeRig) -> None:
    await pancake.control("POST", "activity", {"rate": 5})
    before = pancake.world.changes
    await pancake.conversations()
    pancake.clock.now += 20
    status = (await pancake.control("GET", "status")).json
    assert status["world"]["changes"] > before + 50


async def test_verbs_act_over_http_and_unknown_ones_are_explained(pancake: PancakeRig) -> None:
    named = {"page_id": pancake.page_id, "conversation_id": pancake.conversation_id}
    done = await pancake.control("POST", "act", {"verb": "add_message", "text": "chào", **named})
    held = pancake.world.conversation(pancake.page_id, pancake.conversation_id).messages
    assert done.json["id"] == held[-1].id
    assert (await pancake.control("POST", "act", {"verb": "explode"})).status == 400
    assert (await pancake.control("POST", "act", {"verb": "touch", "page_id": "no"})).status == 400
    assert (await pancake.control("GET", "nothing")).status == 404


async def test_an_unknown_route_is_not_found(pancake: PancakeRig) -> None:
    assert (await pancake.get("/v1/pages/")).status == 404


def test_a_page_of_sixty_conversations_is_above_64_kilobytes() -> None:
    world = World(WorldConfig(pages=1, conversations_per_page=60))
    assert sum(len(c.data) for c in world.conversations()) > 64 * 1024
