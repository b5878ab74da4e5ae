"""The account over the simulator: which pages there are, and who may make a new token when."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog
from pydantic import SecretStr

from connector.budget.leases import LeaseOptions, LocalLeases
from connector.errors import ConfigError, ParkedError, UnauthorizedError, UnavailableError
from connector.http.client import HttpClient
from connector.model import Claim, Verdict
from connector.pancake.account import Account
from connector.pancake.custody import FOUGHT, SPOILT
from connector.settings import HttpSettings, PancakeSettings
from connector.simulator.faults import Rule
from connector.simulator.world import World
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.http.grants import Grants
from tests.unit.pancake.office import SMALL, USER, Office, opened


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with opened() as one:
        yield one


def hidden(*page_ids: str, token: str = "") -> Rule:
    """A list that shows these pages with ``token``, or without any."""
    settings = {"page_access_token": token} if token else {}
    pages = [{"id": page_id, "username": "shop", "settings": settings} for page_id in page_ids]
    return Rule("status", route="pages", body=json.dumps({"pages": pages}))


async def test_the_list_names_every_activated_page_and_its_token(office: Office) -> None:
    assert [page.id for page in await office.account.pages()] == office.page_ids
    assert [await office.token(number) for number in (0, 1)] == [office.good(0), office.good(1)]
    assert office.calls("pages") == 1
    assert office.calls("generate") == 0


async def test_only_the_pages_asked_for_are_read_and_a_missing_one_is_said() -> None:
    wanted = next(iter(World(SMALL).pages))
    async with opened((wanted, "77")) as office:
        with structlog.testing.capture_logs() as lines:
            assert [page.id for page in await office.account.pages()] == [wanted]
    assert [line["pages"] for line in lines if line["event"] == "pages not in the list"] == [["77"]]


async def test_a_token_that_somebody_else_renewed_is_read_again_and_not_made_again(office: Office) -> None:
    await office.account.pages()
    office.simulator.kill_token(office.page_ids[0])
    await office.call()
    assert office.calls("pages") == 2
    assert office.calls("generate") == 0


async def test_a_token_that_somebody_renews_between_every_two_calls_stops_nothing(office: Office) -> None:
    office.simulator.faults.add(Rule("kill_token", route="conversations", times=2))
    await office.account.pages()
    await office.call()
    assert office.calls("generate") == 0


async def test_a_token_that_the_list_does_not_show_is_made_once_for_all_who_wait(office: Office) -> None:
    office.simulator.faults.add(hidden(office.page_ids[0]))
    tokens = await asyncio.gather(*(office.token() for _ in range(20)))
    assert set(tokens) == {office.good()}
    assert office.made() == 1


async def test_a_token_that_died_while_the_list_still_shows_it_is_made_anew_once(office: Office) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    await asyncio.gather(*(office.call() for _ in range(20)))
    assert office.made() == 1
    assert await office.token() == office.good()


async def test_many_pages_whose_tokens_die_at_once_share_the_readings_of_the_list(office: Office) -> None:
    await office.account.pages()
    for page_id in office.page_ids:
        office.simulator.kill_token(page_id)
    await asyncio.gather(*(office.call(number) for number in (0, 1) for _ in range(20)))
    assert office.calls("pages") <= 4


async def test_those_who_wait_for_a_renewal_share_its_failure_too(office: Office) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    office.simulator.faults.add(Rule("error", route="generate", code=107))
    ends = await asyncio.gather(*(office.call() for _ in range(20)), return_exceptions=True)
    assert {type(end) for end in ends} == {ParkedError}
    assert office.calls("generate") == 1
    with pytest.raises(ParkedError):
        await office.call()
    assert office.calls("generate") == 2


async def test_pages_do_not_wait_for_each_others_tokens(office: Office) -> None:
    await office.account.pages()
    for page_id in office.page_ids:
        office.simulator.expire_token(page_id)
    await asyncio.gather(office.call(0), office.call(1))
    assert [office.made(0), office.made(1)] == [1, 1]


async def test_a_token_that_works_is_not_thrown_away_for_the_one_that_the_list_shows(office: Office) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    await office.call()
    office.simulator.faults.add(hidden(office.page_ids[0], token="older"))
    await office.account.pages()
    assert await office.token() == office.good()


@pytest.mark.parametrize("form", ["body", "http", "mixed"])
async def test_without_any_user_token_that_works_the_process_ends_with_advice(
    office: Office, form: str
) -> None:
    office.simulator.options.dead_user_tokens.add(USER)
    office.simulator.options.error_form = "http" if form == "http" else "mixed" if form == "mixed" else "body"
    office.simulator.options.html_errors = form == "http"
    with pytest.raises(UnauthorizedError) as problem:
        await office.account.pages()
    assert "CONNECTOR_PANCAKE__ACCESS_TOKEN" in problem.value.advice
    assert USER not in str(problem.value) + problem.value.advice


async def test_without_a_user_token_nothing_is_tried() -> None:
    clock, metrics = FakeClock(), Metrics()
    client = HttpClient(HttpSettings(), Grants(), clock, metrics)
    with pytest.raises(ConfigError, match="CONNECTOR_PANCAKE__ACCESS_TOKEN"):
        Account(client, PancakeSettings(), LocalLeases(clock, LeaseOptions(5.0)), clock)
    await client.close()
    metrics.close()


@pytest.mark.parametrize("code", [107, 122])
@pytest.mark.parametrize("form", ["body", "http", "html"])
async def test_a_page_that_needs_a_person_is_parked_alone_and_ends_nobodys_token(
    office: Office, code: int, form: str
) -> None:
    office.simulator.park(office.page_ids[0], code)
    office.simulator.options.error_form = "body" if form == "body" else "http"
    office.simulator.options.html_errors = form == "html"
    with pytest.raises(ParkedError) as problem:
        await office.call(0)
    assert problem.value.action
    await office.call(1)
    assert office.made() == 0
    office.simulator.unpark(office.page_ids[0])
    await office.call(0)


@pytest.mark.parametrize("code", [100, 101, 103])
async def test_a_code_that_may_mean_anything_is_met_by_one_look_at_the_list(
    office: Office, code: int
) -> None:
    await office.account.pages()
    office.simulator.faults.add(Rule("error", route="conversations", code=code))
    with pytest.raises(ParkedError) as problem:
        await office.call()
    assert str(code) in str(problem.value)
    assert office.calls("pages") == 2
    assert office.made() == 0


async def test_a_page_whose_token_cannot_be_made_is_parked_and_not_the_process(office: Office) -> None:
    office.simulator.expire_token(office.page_ids[0])
    office.simulator.faults.add(Rule("error", route="generate", code=107))
    with pytest.raises(ParkedError) as problem:
        await office.call()
    assert "CONNECTOR_PANCAKE__ACCESS_TOKEN" in problem.value.action
    await office.call(1)


async def test_a_new_token_that_is_refused_too_is_not_renewed_for_ever(office: Office) -> None:
    office.simulator.faults.add(Rule("error", route="conversations", code=105))
    with pytest.raises(ParkedError) as problem:
        await office.call()
    assert problem.value.action == SPOILT
    assert office.made() == 1
    with pytest.raises(ParkedError):
        await office.call()
    assert office.made() == 1


async def test_two_programs_do_not_knock_each_other_out(office: Office) -> None:
    page_id = office.page_ids[0]
    office.simulator.faults.add(hidden(page_id))  # so nobody can read what the other has made
    await office.call()
    office.simulator.kill_token(page_id)
    with pytest.raises(ParkedError) as problem:
        await office.call()
    assert problem.value.action in (FOUGHT, SPOILT)
    assert office.made() == 1
    assert isinstance(office.clock, FakeClock)
    await office.clock.advance(601.0)
    await office.call()
    assert office.made() == 2


@pytest.mark.parametrize("rule", [
    Rule("reset", route="generate", after=True, times=1),
    Rule("empty", route="generate", after=True, times=1),
    Rule("status", route="generate", after=True, times=1, status=502),
    Rule("truncate", route="generate", times=1),
])  # fmt: skip
async def test_a_token_that_was_made_is_found_though_nobody_was_told(office: Office, rule: Rule) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    office.simulator.faults.add(rule)
    await office.call()
    assert office.made() == 1


async def test_a_call_that_may_still_be_applied_is_not_made_a_second_time_beside_it(office: Office) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    office.simulator.faults.add(Rule("reset", route="generate", times=1))
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await office.call()
    assert office.calls("generate") == 1
    assert isinstance(office.clock, FakeClock)
    await office.clock.advance(60.0)
    await office.call()
    assert office.made() == 1


async def test_a_limit_on_the_account_is_no_outcome_to_doubt(office: Office) -> None:
    await office.account.pages()
    office.simulator.expire_token(office.page_ids[0])
    office.simulator.faults.add(Rule("status", route="generate", times=1, status=429))
    with pytest.raises(UnavailableError):
        await office.call()
    await office.call()
    assert office.made() == 1


class NoLeases(LocalLeases):
    """Redis does not answer."""

    async def claim(self, page_id: str, nonce: str, refused: str) -> Claim:
        del page_id, nonce, refused
        return Claim(Verdict.AWAY)


async def test_while_nobody_can_tell_who_else_does_it_nothing_is_made() -> None:
    async with opened(leases=NoLeases(FakeClock(), LeaseOptions(5.0))) as office:
        await office.account.pages()
        office.simulator.kill_token(office.page_ids[1])
        await office.call(1)
        office.simulator.expire_token(office.page_ids[0])
        with pytest.raises(UnavailableError, match="Redis"):
            await office.call(0)
        assert office.calls("generate") == 0


async def test_a_list_that_fails_for_a_while_is_asked_for_again(office: Office) -> None:
    for rule in (Rule("truncate", times=1), Rule("status", status=503, times=1), Rule("empty", times=1)):
        office.simulator.faults.add(rule)
    assert len(await office.account.pages()) == 2


async def test_a_list_that_cannot_be_had_is_no_account_without_pages(office: Office) -> None:
    office.simulator.faults.add(Rule("status", route="pages", status=503))
    with pytest.raises(UnavailableError):
        await office.account.pages()


# Several users


@pytest.fixture
async def two_users() -> AsyncIterator[Office]:
    """The first sees the first page, the second both."""
    async with opened(users=("user-a", "user-b")) as office:
        office.simulator.options.user_pages["user-a"] = {office.page_ids[0]}
        yield office


async def test_the_pages_of_all_users_are_read_each_once(two_users: Office) -> None:
    assert [page.id for page in await two_users.account.pages()] == two_users.page_ids
    await asyncio.gather(two_users.call(0), two_users.call(1))


async def test_a_page_whose_user_token_dies_goes_to_another_who_sees_it(two_users: Office) -> None:
    two_users.simulator.options.dead_user_tokens.add("user-a")
    with structlog.testing.capture_logs() as lines:
        assert [page.id for page in await two_users.account.pages()] == two_users.page_ids
        two_users.simulator.expire_token(two_users.page_ids[0])
        await two_users.call(0)
    assert two_users.made(0) == 1
    assert [line["user"] for line in lines if line["event"] == "user token refused"] == [1]


async def test_a_dead_user_token_parks_only_what_nobody_else_can_see_and_says_so(two_users: Office) -> None:
    assert len(await two_users.account.pages()) == 2
    two_users.simulator.options.dead_user_tokens.add("user-b")
    assert [page.id for page in await two_users.account.pages()] == two_users.page_ids
    await two_users.call(1)  # its own token lives on
    for page_id in two_users.page_ids:
        two_users.simulator.expire_token(page_id)
    with pytest.raises(ParkedError) as problem:
        await two_users.call(1)
    assert "user token 2" in problem.value.action
    assert "user-b" not in problem.value.action
    await two_users.call(0)
    assert (two_users.made(0), two_users.made(1)) == (1, 0)


async def test_a_user_who_may_not_make_a_token_is_followed_by_one_who_may(two_users: Office) -> None:
    await two_users.account.pages()
    two_users.simulator.expire_token(two_users.page_ids[0])
    two_users.simulator.faults.add(Rule("error", route="generate", code=107, times=1))
    await two_users.call(0)
    assert two_users.calls("generate") == 2
    assert two_users.made(0) == 1


async def test_a_refused_user_token_is_tried_again_seldom_and_noticed_when_it_works(
    two_users: Office,
) -> None:
    options = two_users.simulator.options
    options.dead_user_tokens.add("user-a")
    for _ in range(5):
        await two_users.account.pages()
    assert two_users.calls("pages") == 6
    options.dead_user_tokens.clear()
    assert isinstance(two_users.clock, FakeClock)
    await two_users.clock.advance(301.0)
    with structlog.testing.capture_logs() as lines:
        await two_users.account.pages()
    assert [line["user"] for line in lines if line["event"] == "user token works again"] == [1]


async def test_the_list_of_one_user_that_cannot_be_had_hides_no_pages(two_users: Office) -> None:
    await two_users.account.pages()
    # Each asks four times: one of them gets its list with the last of all their calls.
    two_users.simulator.faults.add(Rule("status", route="pages", status=503, times=7))
    with structlog.testing.capture_logs() as lines:
        assert [page.id for page in await two_users.account.pages()] == two_users.page_ids
    assert [line["event"] for line in lines] == ["list of pages of one user missing"]


async def test_a_user_token_that_was_exchanged_is_taken_over_while_running() -> None:
    held: Sequence[SecretStr] = [SecretStr("old")]
    async with opened(users=("old",), tokens=lambda: held) as office:
        await office.account.pages()
        office.simulator.options.dead_user_tokens.add("old")
        office.simulator.options.user_tokens.add("new")
        with pytest.raises(UnauthorizedError):
            await office.account.pages()
        held = [SecretStr("new")]
        assert [page.id for page in await office.account.pages()] == office.page_ids


async def test_a_file_that_cannot_be_read_just_now_leaves_the_tokens_as_they_are() -> None:
    broken = False

    def tokens() -> Sequence[SecretStr]:
        if broken:
            raise ConfigError(
                "CONNECTOR_PANCAKE__ACCESS_TOKENS: the file holds no token", advice="one a line"
            )
        return [SecretStr(USER)]

    async with opened(tokens=tokens) as office:
        broken = True
        with structlog.testing.capture_logs() as lines:
            assert len(await office.account.pages()) == 2
    assert [line["event"] for line in lines] == ["user tokens not read again"]
