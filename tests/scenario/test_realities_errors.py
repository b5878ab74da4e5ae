"""Pancake's realities 1 to 10, errors and tokens: what the connector does about each (docs/REALITIES.md)."""

from typing import Literal

import msgspec
import pytest

from connector.engine.parking import FIRST_SECONDS
from connector.pancake.steps import Pace
from connector.simulator.faults import Rule
from connector.simulator.options import PancakeOptions
from connector.simulator.world import WorldConfig
from tests.fakes.near import SMALL, Shop

Form = Literal["body", "http"]
THREE = WorldConfig(pages=3, conversations_per_page=4, messages_per_conversation=3, plain=True)
SELDOM = Pace(60.0, 120.0)


def unlimited(**given: object) -> PancakeOptions:
    options = PancakeOptions(rate=None)
    for name, value in given.items():
        setattr(options, name, value)
    return options


@pytest.mark.parametrize("codeless", [0.0, 1.0])
async def test_1_a_refusal_in_a_200_is_told_from_success_with_or_without_its_code(codeless: float) -> None:
    shop = Shop(options=unlimited(codeless=codeless))
    shop.simulator.faults.add(Rule("kill_token", route="messages", skip=2, times=1))
    await shop.once()
    assert shop.differs() == []
    assert shop.topic.shelved == []


@pytest.mark.parametrize("code", [107, 122])
@pytest.mark.parametrize("codeless", [0.0, 1.0])
async def test_1_what_needs_a_person_parks_the_page_whether_or_not_it_has_a_code(
    code: int, codeless: float
) -> None:
    shop = Shop(options=unlimited(codeless=codeless))
    shop.simulator.park(shop.page.id, code)
    await shop.once()
    assert shop.pollers[shop.page.id].parked
    assert shop.calls("conversations") == 1


@pytest.mark.parametrize("html", [False, True])
async def test_2_the_same_refusals_as_a_status_with_or_without_html_are_met_alike(*, html: bool) -> None:
    shop = Shop(options=unlimited(error_form="http", html_errors=html))
    shop.simulator.faults.add(Rule("kill_token", route="messages", skip=2, times=1))
    await shop.once()
    assert shop.differs() == []
    assert shop.simulator.regenerations(shop.page.id) == 0


@pytest.mark.parametrize("html", [False, True])
async def test_2_a_403_that_no_token_mends_parks_the_page(*, html: bool) -> None:
    shop = Shop(options=unlimited(error_form="http", html_errors=html))
    shop.simulator.park(shop.page.id, 122)
    await shop.once()
    assert shop.pollers[shop.page.id].parked
    assert shop.simulator.regenerations(shop.page.id) == 0


async def test_3_a_token_that_somebody_else_renewed_is_read_again_and_never_renewed_back() -> None:
    shop = Shop(THREE, unlimited())
    await shop.once()
    for page_id in shop.world.pages:
        shop.simulator.kill_token(page_id)
        for conversation in list(shop.world.pages[page_id].conversations.values()):
            shop.world.add_message(page_id, conversation.id)
    await shop.once()
    assert shop.differs() == []
    assert [shop.simulator.regenerations(page_id) for page_id in shop.world.pages] == [0, 0, 0]


@pytest.mark.parametrize("route", ["conversations", "messages"])
async def test_4_a_token_killed_in_the_middle_of_paging_loses_nothing(route: str) -> None:
    shop = Shop(
        WorldConfig(pages=1, conversations_per_page=9, messages_per_conversation=9, plain=True),
        unlimited(conversation_page=4, message_page=4),
    )
    for skip in (1, 12, 25):
        shop.simulator.faults.add(Rule("kill_token", route=route, skip=skip, times=1))
    await shop.once()
    assert shop.differs() == []
    assert shop.simulator.regenerations(shop.page.id) == 0


@pytest.mark.parametrize("refusal", ["http", "body", "mixed"])
@pytest.mark.parametrize("retry_after", ["none", "seconds", "date", "absurd"])
async def test_5_too_many_requests_in_either_form_ends_no_pass_and_no_header_stops_us_for_a_year(
    refusal: Literal["http", "body", "mixed"], retry_after: Literal["none", "seconds", "date", "absurd"]
) -> None:
    # The limit is hidden: a third of what the connector was told.
    shop = Shop(options=PancakeOptions(rate=2, refusal=refusal, retry_after=retry_after), rate="6/1s")
    began = shop.clock.monotonic()
    await shop.once()
    assert shop.differs() == []
    assert 0 < shop.simulator.calls.refused < 40
    longest = 300.0 * shop.simulator.calls.refused if retry_after == "absurd" else 120.0
    assert shop.clock.monotonic() - began < longest


async def test_6_a_budget_shared_with_somebody_else_slows_a_page_and_loses_nothing() -> None:
    config = WorldConfig(pages=1, conversations_per_page=60, messages_per_conversation=3, plain=True)
    shop = Shop(config, PancakeOptions(rate=5, foreign_rate=1.5), rate="5/1s")
    await shop.once()
    assert shop.differs() == []
    assert shop.simulator.max_in_any_second(shop.page.id) <= 5


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
@pytest.mark.parametrize("rates", [(8, 4), (2, 8)], ids=["halved", "quadrupled"])
async def test_6_a_limit_that_changes_and_tells_nobody_is_found_and_used(
    window: Literal["sliding", "fixed", "bucket"], rates: tuple[int, int]
) -> None:
    before, after = rates
    config = WorldConfig(pages=1, conversations_per_page=150, messages_per_conversation=3, plain=True)
    shop = Shop(config, PancakeOptions(rate=before, window=window), rate="8/1s")
    shop.simulator.faults.add(Rule("act", skip=40, times=1, verb="set", arguments={"rate": after}))
    began = shop.clock.monotonic()
    await shop.once()
    assert shop.differs() == []
    calls, seconds = shop.simulator.calls, shop.clock.monotonic() - began
    assert calls.refused < 0.15 * calls.calls
    # As if every call had been made at half the smaller limit.
    assert seconds < 2 * calls.calls / min(rates)


async def test_6_a_limit_that_nobody_shares_is_never_exceeded() -> None:
    shop = Shop(THREE, PancakeOptions(rate=5), rate="5/1s")
    await shop.once()
    assert shop.differs() == []
    assert shop.simulator.calls_over_limit == 0


async def test_7_no_call_ever_names_a_time_so_none_is_refused_for_half_a_window() -> None:
    shop = Shop(options=unlimited())
    await shop.once()
    await shop.for_seconds(30.0)
    asked = {name for request in shop.client.requests for name in request.params}
    assert asked <= {"order_by", "last_conversation_id", "current_count", "customer_id"}


async def test_7_a_request_refused_for_what_it_is_is_not_repeated() -> None:
    shop = Shop(options=unlimited())
    said = '{"success":false,"message":"Since must be provided with until"}'
    shop.simulator.faults.add(Rule("status", route="conversations", body=said))
    await shop.for_seconds(FIRST_SECONDS - 1)
    assert shop.calls("conversations") == 1


@pytest.mark.parametrize(
    "rule",
    [
        Rule("status", status=502),
        Rule("status", status=503),
        Rule("status", status=504),
        Rule("reset"),
        Rule("cut"),
        Rule("truncate"),
        Rule("empty"),
        Rule("error", status=500),
    ],
    ids=lambda rule: f"{rule.action}-{rule.status}",
)
async def test_8_whatever_breaks_now_and_then_is_asked_again_until_it_is_whole(rule: Rule) -> None:
    shop = Shop(options=unlimited())
    for seed, route in enumerate(("pages", "conversations", "messages")):
        sometimes = {"route": route, "probability": 0.4, "seed": seed}
        shop.simulator.faults.load(_also(rule, sometimes))
    await shop.once()
    assert shop.differs() == []
    assert shop.topic.shelved == []


async def test_8_a_permanent_500_of_one_conversation_is_a_hole_and_keeps_no_other_waiting() -> None:
    shop = Shop(options=unlimited(), pace=SELDOM)
    broken = shop.newest_first[0]
    shop.simulator.faults.add(Rule("error", status=500, where=broken.id))
    await shop.once()
    assert shop.pollers[shop.page.id].reader.holes == 1
    assert {line.split()[1] for line in shop.differs()} == {broken.id}
    # A permanent 500 is not hammered: the first pass with all its tries, and no more than that.
    assert shop.calls("messages") < 60
    shop.simulator.faults.clear()
    await shop.for_seconds(3 * 3600.0)
    assert shop.differs() == []
    assert shop.pollers[shop.page.id].reader.holes == 0


@pytest.mark.parametrize("code", [107, 122])
async def test_9_one_page_that_needs_a_person_stops_none_of_the_others_and_comes_back_by_itself(
    code: int,
) -> None:
    shop = Shop(THREE, unlimited(), pace=SELDOM)
    sick, *healthy = shop.world.pages
    shop.simulator.park(sick, code)
    await shop.once()
    assert [page_id for page_id in shop.world.pages if shop.topic.differs(shop.world, page_id)] == [sick]
    assert [page_id for page_id in shop.world.pages if shop.pollers[page_id].parked] == [sick]
    assert healthy
    shop.simulator.unpark(sick)
    await shop.for_seconds(2 * FIRST_SECONDS)
    assert shop.differs() == []


async def test_9_a_parked_page_is_probed_seldom() -> None:
    shop = Shop(SMALL, unlimited(), pace=SELDOM)
    shop.simulator.park(shop.page.id, 122)
    await shop.for_seconds(24 * 3600.0)
    assert 20 <= shop.calls("conversations") <= 40


def _also(rule: Rule, given: dict[str, object]) -> bytes:
    return msgspec.json.encode(msgspec.to_builtins(rule) | given)
