"""The account over the simulator: which pages there are, and who may make a new token when."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from pydantic import SecretStr

from connector.errors import ConfigError, ParkedError, UnauthorizedError, UnknownOutcomeError
from connector.http.client import HttpClient
from connector.model import Page
from connector.pancake.account import Account, parse_pages
from connector.pancake.source import PancakePage
from connector.pancake.steps import ListStep, Pace
from connector.settings import HttpSettings, PancakeSettings
from connector.simulator.faults import Rule
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.http.grants import Grants

SMALL = WorldConfig(pages=2, conversations_per_page=3, messages_per_conversation=4, plain=True)


@dataclass
class Office:
    """One account, its pages, and the simulator behind them."""

    simulator: PancakeSimulator
    client: HttpClient
    settings: PancakeSettings
    account: Account
    clock: FakeClock = field(default_factory=lambda: FakeClock(auto=True))

    @property
    def page_ids(self) -> Sequence[str]:
        return list(self.simulator.world.pages)

    def page(self, number: int = 0) -> PancakePage:
        page = Page(self.page_ids[number], "shop")
        return PancakePage(page, self.account, self.client, self.settings, self.clock).resume(
            (), Pace(2.0, 60.0)
        )

    def calls(self, route: str) -> int:
        return self.simulator.calls.of(route=route).calls


@asynccontextmanager
async def opened(page_ids: tuple[str, ...] = (), config: WorldConfig = SMALL) -> AsyncIterator[Office]:
    clock = FakeClock(auto=True)
    simulator = PancakeSimulator(World(config), options=PancakeOptions(rate=None), clock=clock)
    url = await simulator.start()
    metrics = Metrics()
    client = HttpClient(HttpSettings(), Grants(), clock, metrics)
    settings = PancakeSettings(
        base_url=url, access_token=SecretStr("sim-user-token"), page_ids=page_ids, rate="off"
    )
    try:
        yield Office(simulator, client, settings, Account(client, settings, clock), clock)
    finally:
        await client.close()
        await simulator.stop()
        metrics.close()


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with opened() as one:
        yield one


async def list_once(page: PancakePage) -> None:
    step = page.next_step(0.0)
    assert isinstance(step, ListStep)
    try:
        await page.read(step)
    except ParkedError:
        page.failed(step, 0.0)
        raise


async def test_the_list_names_every_activated_page_and_its_token(office: Office) -> None:
    assert [page.id for page in await office.account.pages()] == office.page_ids
    for page_id in office.page_ids:
        token = await office.account.token(page_id)
        assert token.get_secret_value() == office.simulator.token(page_id)
    assert office.calls("pages") == 1
    assert office.calls("generate") == 0


async def test_only_the_pages_asked_for_are_read_and_a_missing_one_is_said() -> None:
    wanted = next(iter(World(SMALL).pages))
    async with opened((wanted, "77")) as office:
        with structlog.testing.capture_logs() as lines:
            assert [page.id for page in await office.account.pages()] == [wanted]
    assert [line["pages"] for line in lines if line["event"] == "pages not in the list"] == [["77"]]


async def test_a_token_that_somebody_else_renewed_is_read_again_and_not_made_again(office: Office) -> None:
    page = office.page()
    await office.account.pages()
    office.simulator.kill_token(page.page.id)
    await list_once(page)
    assert office.calls("pages") == 2
    assert office.calls("generate") == 0


async def test_a_token_killed_in_the_middle_of_paging_stops_nothing(office: Office) -> None:
    office.simulator.faults.add(Rule("kill_token", route="messages", skip=1, times=1))
    page = office.page()
    read = 0
    while (step := page.next_step(0.0)) is not None:
        await page.read(step)
        page.saved(step)
        read += 1
    assert page.caught_up
    assert read > 4
    assert office.calls("generate") == 0


async def test_a_token_that_the_list_does_not_show_is_made_once_for_all_who_wait(office: Office) -> None:
    page_id = office.page_ids[0]
    hidden = json.dumps({"pages": [{"id": page_id, "username": "shop"}]})
    office.simulator.faults.add(Rule("status", route="pages", body=hidden))
    tokens = await asyncio.gather(*(office.account.token(page_id) for _ in range(20)))
    assert {token.get_secret_value() for token in tokens} == {office.simulator.token(page_id)}
    assert office.calls("generate") == 1


async def test_a_refused_token_that_the_list_still_shows_is_made_anew_once_for_all(office: Office) -> None:
    await office.account.pages()
    page_id = office.page_ids[0]
    dead = await office.account.token(page_id)
    renewed = await asyncio.gather(
        *(office.account.renew(page_id, refused=dead) for _ in range(20)), office.account.token(page_id)
    )
    assert office.calls("generate") == 1
    assert {token.get_secret_value() for token in renewed[:-1]} == {office.simulator.token(page_id)}


async def test_pages_do_not_wait_for_each_others_tokens(office: Office) -> None:
    await office.account.pages()
    dead = [await office.account.token(page_id) for page_id in office.page_ids]
    await asyncio.gather(
        *(
            office.account.renew(page_id, refused=token)
            for page_id, token in zip(office.page_ids, dead, strict=True)
        )
    )
    assert office.calls("generate") == 2


async def test_a_token_that_works_is_not_thrown_away_for_the_one_that_the_list_shows(office: Office) -> None:
    await office.account.pages()
    page_id = office.page_ids[0]
    made = await office.account.renew(page_id, refused=await office.account.token(page_id))
    old = json.dumps({"pages": [{"id": page_id, "settings": {"page_access_token": "older"}}]})
    office.simulator.faults.add(Rule("status", route="pages", body=old))
    await office.account.pages()
    assert await office.account.token(page_id) == made


@pytest.mark.parametrize("form", ["body", "http", "mixed"])
async def test_a_dead_user_token_ends_the_process_with_advice(office: Office, form: str) -> None:
    office.simulator.options.dead_user_tokens.add("sim-user-token")
    office.simulator.options.error_form = "http" if form == "http" else "mixed" if form == "mixed" else "body"
    office.simulator.options.html_errors = form == "http"
    with pytest.raises(UnauthorizedError) as problem:
        await office.account.pages()
    assert "CONNECTOR_PANCAKE__ACCESS_TOKEN" in problem.value.advice
    assert "sim-user-token" not in str(problem.value) + problem.value.advice


async def test_without_a_user_token_nothing_is_tried() -> None:
    clock, metrics = FakeClock(), Metrics()
    client = HttpClient(HttpSettings(), Grants(), clock, metrics)
    with pytest.raises(ConfigError, match="CONNECTOR_PANCAKE__ACCESS_TOKEN"):
        Account(client, PancakeSettings(), clock)
    await client.close()
    metrics.close()


@pytest.mark.parametrize("code", [107, 122])
@pytest.mark.parametrize("form", ["body", "mixed"])
async def test_a_page_that_needs_a_person_is_parked_alone(office: Office, code: int, form: str) -> None:
    office.simulator.park(office.page_ids[0], code)
    if form == "mixed":
        office.simulator.options.error_form = "mixed"
    with pytest.raises(ParkedError) as problem:
        await list_once(office.page(0))
    assert problem.value.action
    await list_once(office.page(1))
    office.simulator.unpark(office.page_ids[0])
    await list_once(office.page(0))


async def test_a_page_whose_token_cannot_be_made_is_parked_and_not_the_process(office: Office) -> None:
    office.simulator.faults.add(Rule("error", route="conversations", code=102))
    office.simulator.faults.add(Rule("error", route="generate", code=102))
    with pytest.raises(ParkedError) as problem:
        await list_once(office.page())
    assert "CONNECTOR_PANCAKE__ACCESS_TOKEN" in problem.value.action


async def test_a_new_token_that_is_refused_too_is_not_renewed_for_ever(office: Office) -> None:
    office.simulator.faults.add(Rule("error", route="conversations", code=105))
    with pytest.raises(ParkedError):
        await list_once(office.page())
    assert office.calls("conversations") == 2
    assert office.calls("generate") == 1


async def test_a_list_that_fails_for_a_while_is_asked_for_again(office: Office) -> None:
    for rule in (Rule("truncate", times=1), Rule("status", status=503, times=1), Rule("empty", times=1)):
        office.simulator.faults.add(rule)
    assert len(await office.account.pages()) == 2


PAGE = {"id": "1", "name": "Cửa hàng", "username": "shop", "platform": "facebook", "nobody": {"knows": 1}}


def pages_of(body: object) -> list[Page]:
    return [entry.page for entry in parse_pages(json.dumps(body).encode())]


@pytest.mark.parametrize(
    "body",
    [
        {"pages": [PAGE]},
        {
            "success": True,
            "categorized": {"activated": [PAGE], "hidden": [{"id": "2"}], "nopermission": None},
        },
        {"pages": None, "categorized": {"activated": [PAGE]}},
    ],
)
def test_the_list_is_read_in_either_shape(body: object) -> None:
    assert pages_of(body) == [Page("1", "shop", "Cửa hàng", "facebook")]


@pytest.mark.parametrize("body", [{"pages": []}, {"categorized": {"activated": []}}])
def test_an_account_without_pages_has_none(body: object) -> None:
    assert pages_of(body) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"success": True}, {"pages": None}, {"categorized": {}}, {"categorized": {"activated": None}}, []],
)
def test_an_answer_without_any_list_is_not_an_account_without_pages(body: object) -> None:
    # It would close every page that is being read.
    with pytest.raises(UnknownOutcomeError):
        pages_of(body)


@pytest.mark.parametrize("username", [None, "", 17, ...])
def test_the_id_stands_in_for_a_user_name_that_a_page_has_not(username: object) -> None:
    page = {"id": "igo_17", "username": username}
    if username is ...:
        del page["username"]
    assert pages_of({"pages": [page]}) == [Page("igo_17", "igo_17")]


@pytest.mark.parametrize("page_id", ["igo_1", "pzl_84", "zl_1", "ttm_1", "waba_1", "web_a.b", "tl_1", "In_1"])
def test_an_id_may_have_any_prefix(page_id: str) -> None:
    assert pages_of({"pages": [{"id": page_id}]})[0].id == page_id


def test_a_page_without_an_id_is_left_out_and_the_others_stay() -> None:
    assert [page.id for page in pages_of({"pages": [{"id": None}, {"name": "x"}, {"id": 5}, PAGE]})] == ["1"]


@pytest.mark.parametrize(
    "settings", [None, [], "x", {"page_access_token": None}, {"page_access_token": 7}, {}]
)
def test_a_page_whose_token_is_not_shown_has_an_empty_one(settings: object) -> None:
    body = json.dumps({"pages": [{"id": "1", "settings": settings}]}).encode()
    assert parse_pages(body)[0].token.get_secret_value() == ""


def test_a_name_that_was_cut_in_an_emoji_does_not_hide_the_pages() -> None:
    body = rb'{"categorized":{"activated":[{"id":"1","name":"shop \ud83d"}]}}'
    assert [entry.page.id for entry in parse_pages(body)] == ["1"]


def test_a_listed_token_is_never_shown() -> None:
    body = json.dumps({"pages": [{"id": "1", "settings": {"page_access_token": "CANARY"}}]}).encode()
    assert "CANARY" not in repr(parse_pages(body))
