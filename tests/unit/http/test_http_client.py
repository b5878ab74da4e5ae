"""One request over a real socket: a grant, the call, a verdict, and no token in anything that is said."""

import asyncio
import gzip
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, unquote

import pytest
import structlog
from pydantic import SecretStr

from connector.clock import SystemClock
from connector.errors import ConnectorError, RateLimitedError, UnavailableError, UnknownOutcomeError
from connector.folkform.answers import judge as judge_folkform
from connector.http.client import Answer, HttpClient, Request
from connector.model import LimitsHeard, Scope
from connector.pancake.answers import judge as judge_pancake
from connector.ports import Priority
from connector.settings import HttpSettings
from connector.telemetry import CALLS, Metrics
from tests.services.ports import free_port
from tests.unit.http.grants import Grants
from tests.unit.http.wire import WireServer, answer, wire_server

CANARY = "CANARY-7d1f"
SCOPE = Scope("pancake:page:1", None)


class Caller:
    """A client with everything that it stands on."""

    def __init__(self, settings: HttpSettings) -> None:
        self.grants = Grants()
        self.metrics = Metrics()
        self.client = HttpClient(settings, self.grants, SystemClock(), self.metrics)

    async def get(self, url: str, leaving: asyncio.Event | None = None) -> Answer:
        secrets = {"page_access_token": SecretStr(CANARY)}
        request = Request("pancake", "messages", "GET", url, SCOPE, params={"n": "1"}, secrets=secrets)
        return await self.client.call(request, lambda said: said, leaving)

    async def post(self, url: str, body: bytes = b'{"a":1}') -> Answer:
        request = Request(
            "folkform", "write", "POST", url, SCOPE, Priority.REPLAY, bearer=SecretStr(CANARY), body=body
        )
        return await self.client.call(request, lambda said: said)


@asynccontextmanager
async def calling(settings: HttpSettings | None = None) -> AsyncIterator[Caller]:
    caller = Caller(settings or HttpSettings())
    try:
        yield caller
    finally:
        await caller.client.close()
        caller.metrics.close()


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as one:
        yield one


@pytest.fixture
async def server() -> AsyncIterator[WireServer]:
    async with wire_server() as one:
        yield one


async def test_a_call_takes_one_grant_and_brings_the_whole_answer(caller: Caller, server: WireServer) -> None:
    server.answers = [answer(b'{"x":1}', "200 OK", "X-Request-Id: 7")]
    said = await caller.get(server.url + "/v1/pages")
    assert (said.status, said.body, said.headers["x-request-id"]) == (200, b'{"x":1}', "7")
    assert caller.grants.given == [("pancake:page:1", Priority.LIVE)]
    assert server.asked[0].startswith(b"GET /api/v1/pages?n=1&page_access_token=" + CANARY.encode())


async def test_a_body_and_its_bearer_are_sent_as_they_are(caller: Caller, server: WireServer) -> None:
    body = '{"panCakeData":{"a": 1.0,"b":"Chốt"}}'.encode()
    await caller.post(server.url + "/v1/x", body)
    head, _, sent = server.asked[0].partition(b"\r\n\r\n")
    assert sent == body
    assert f"authorization: bearer {CANARY}".lower().encode() in head.lower()
    assert caller.grants.given == [("pancake:page:1", Priority.REPLAY)]


async def test_nothing_is_sent_before_the_grant(caller: Caller, server: WireServer) -> None:
    caller.grants.opened.clear()
    waiting = asyncio.ensure_future(caller.get(server.url))
    await asyncio.sleep(0)
    assert server.asked == []
    caller.grants.opened.set()
    await waiting
    assert len(server.asked) == len(caller.grants.given) == 1


async def test_who_leaves_while_waiting_for_a_grant_sends_nothing(caller: Caller, server: WireServer) -> None:
    caller.grants.opened.clear()
    leaving = asyncio.Event()
    waiting = asyncio.ensure_future(caller.get(server.url, leaving))
    await asyncio.sleep(0)
    leaving.set()
    with pytest.raises(UnavailableError):
        await waiting
    with pytest.raises(UnavailableError):
        await caller.get(server.url, leaving)
    assert (server.asked, caller.grants.given) == ([], [])


async def test_a_call_whose_right_ended_while_it_waited_for_its_grant_is_not_sent(
    caller: Caller, server: WireServer
) -> None:
    now = SystemClock().monotonic()
    for not_after, sent in ((now + 60.0, 1), (now, 1)):
        request = Request("pancake", "generate token", "POST", server.url, SCOPE, not_after=not_after)
        try:
            await caller.client.call(request, lambda said: said)
        except UnavailableError:
            assert not_after == now
        assert len(server.asked) == sent


async def test_a_call_on_the_wire_comes_home_although_we_leave(caller: Caller, server: WireServer) -> None:
    server.silent.clear()
    leaving = asyncio.Event()
    waiting = asyncio.ensure_future(caller.get(server.url, leaving))
    await server.heard.wait()
    leaving.set()
    server.silent.set()
    assert (await waiting).status == 200


@pytest.mark.parametrize(
    ("said", "after"),
    [
        (answer(b"", "429 Too Many Requests"), None),
        (answer(b"", "429 Too Many Requests", "Retry-After: 7"), 7.0),
        (answer(b'{"success":false,"error_code":429}'), None),
        (answer(b'{"success":false,"error_code":429}', "200 OK", "Retry-After: 3"), 3.0),
    ],
)
async def test_too_many_in_either_form_is_told_to_the_budget(
    caller: Caller, said: bytes, after: float | None
) -> None:
    async with wire_server(said) as server:
        request = Request("pancake", "messages", "GET", server.url, SCOPE)
        with pytest.raises(RateLimitedError):
            await caller.client.call(request, lambda heard: judge_pancake(heard, "pancake messages"))
    assert caller.grants.told == [("pancake:page:1", after)]


async def test_what_headers_say_of_the_limit_is_told_to_the_budget_refused_or_not(caller: Caller) -> None:
    told = ("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 31")
    for said in (answer(b"{}", "200 OK", *told), answer(b"", "429 Too Many Requests", *told)):
        async with wire_server(said) as server:
            request = Request("folkform", "write", "POST", server.url, SCOPE, body=b"{}")
            with suppress(ConnectorError):
                await caller.client.call(request, lambda heard: judge_folkform(heard, "folkform write"))
    assert caller.grants.limits == [("pancake:page:1", LimitsHeard(100, None, 0, 31.0))] * 2


async def test_answers_without_a_word_of_the_limit_tell_the_budget_nothing(caller: Caller) -> None:
    async with wire_server(answer(b"{}", "200 OK", "Retry-After: 3")) as server:
        await caller.get(server.url)
    assert caller.grants.limits == []


async def test_no_other_failure_is_told_to_the_budget(caller: Caller) -> None:
    async with wire_server(answer(b"", "503 Busy", "Retry-After: 9")) as server:
        request = Request("folkform", "write", "POST", server.url, SCOPE, body=b"{}")
        with pytest.raises(UnavailableError) as problem:
            await caller.client.call(request, lambda heard: judge_folkform(heard, "folkform write"))
    assert problem.value.after == 9.0
    assert caller.grants.told == []


WRONG = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "another version": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "nothing": b"\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX-A: b",
    "a header too long": answer(b"{}", "200 OK", "X-Long: " + "x" * 20_000),
    "headers without number": answer(b"{}", "200 OK", *(f"X-{n}: {n}" for n in range(40_000))),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\n{}",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "a body cut short": answer(b'{"x":', length=99),
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
    "chunks cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "gzip that is none": answer(b"not gzip", "200 OK", "Content-Encoding: gzip"),
    "gzip cut short": answer(gzip.compress(b"x" * 999)[:20], "200 OK", "Content-Encoding: gzip"),
    "a broken connection": None,
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_whole_answer_may_be_asked_for_again(caller: Caller, name: str) -> None:
    async with wire_server(WRONG[name]) as server:
        with pytest.raises((UnknownOutcomeError, UnavailableError)) as problem:
            # A body that cannot be unpacked is as good as one that is not JSON.
            judge_pancake(await caller.get(server.url), "pancake messages")
        assert_keeps_secrets(problem.value)


async def test_after_a_broken_connection_the_next_call_passes(caller: Caller) -> None:
    async with wire_server(answer(), None, answer()) as server:
        assert (await caller.get(server.url)).status == 200
        with pytest.raises(UnknownOutcomeError):
            await caller.get(server.url)
        assert (await caller.get(server.url)).status == 200
        assert len(server.asked) == len(caller.grants.given) == 3


async def test_a_lost_answer_is_not_asked_for_again_behind_our_back(caller: Caller) -> None:
    async with wire_server(None, answer()) as server:
        with pytest.raises(UnknownOutcomeError):
            await caller.post(server.url)
        assert len(server.asked) == len(caller.grants.given) == 1


async def test_nobody_there_is_unavailable(caller: Caller) -> None:
    with pytest.raises(UnavailableError):
        await caller.get(f"http://127.0.0.1:{free_port()}/api")


async def test_a_host_without_address_is_unavailable(caller: Caller) -> None:
    with pytest.raises(UnavailableError) as problem:
        await caller.get("http://nowhere.invalid/api")
    assert_keeps_secrets(problem.value)


async def test_an_answer_that_never_comes_ends_with_the_deadline() -> None:
    async with calling(HttpSettings(total_timeout=0.05)) as caller, wire_server() as server:
        server.silent.clear()
        with pytest.raises(UnknownOutcomeError) as problem:
            await caller.get(server.url)
        assert_keeps_secrets(problem.value)


async def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    # Each byte comes well within the time for one reading; the whole answer does not.
    async with calling(HttpSettings(total_timeout=0.1, read_timeout=30.0)) as caller, dripping() as url:
        with pytest.raises(UnknownOutcomeError):
            await caller.get(url)


@asynccontextmanager
async def dripping() -> AsyncIterator[str]:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"


async def test_an_answer_that_is_too_large_is_not_kept() -> None:
    async with calling(HttpSettings(max_answer_bytes=1024)) as caller:
        async with wire_server(answer(b"x" * 1024)) as server:
            assert len((await caller.get(server.url)).body) == 1024
        async with wire_server(answer(b"x" * 1025)) as server:
            with pytest.raises(UnknownOutcomeError, match="larger than 1024"):
                await caller.get(server.url)
        packed = answer(gzip.compress(b"x" * 10_000_000), "200 OK", "Content-Encoding: gzip")
        async with wire_server(packed) as server:
            with pytest.raises(UnknownOutcomeError, match="larger than 1024"):
                await caller.get(server.url)


async def test_a_packed_answer_is_unpacked(caller: Caller) -> None:
    async with wire_server(answer(gzip.compress(b'{"x":1}'), "200 OK", "Content-Encoding: gzip")) as server:
        assert (await caller.get(server.url)).body == b'{"x":1}'
        assert b"br" not in header(server.asked[0], b"accept-encoding")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed_for_it_would_carry_the_token_along(
    caller: Caller, server: WireServer, status: str
) -> None:
    async with wire_server(answer(b"", status, f"Location: {server.url}/elsewhere")) as first:
        said = await caller.get(first.url)
    assert said.status == int(status[:3])
    assert server.asked == []


async def test_no_cookie_is_kept(caller: Caller) -> None:
    async with wire_server(answer(b"{}", "200 OK", "Set-Cookie: a=b")) as server:
        # By name: cookies of bare addresses are not kept by anybody.
        url = server.url.replace("127.0.0.1", "localhost")
        await caller.get(url)
        await caller.get(url)
        assert b"cookie" not in server.asked[1].lower()


async def test_a_proxy_variable_is_not_followed_for_it_would_see_the_token(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wire_server() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with calling() as caller:
            assert (await caller.get(server.url)).status == 200
        assert len(server.asked) == 1
        assert proxy.asked == []


async def test_an_id_in_the_path_stays_one_segment(caller: Caller, server: WireServer) -> None:
    await caller.get(server.url + "/pages/tt_0%3A1/conversations/a%2Fb%2520c%40d%3F%23")
    path = server.asked[0].split(b" ")[1].partition(b"?")[0].decode()
    assert [unquote(part) for part in path.split("/")[3:]] == ["tt_0:1", "conversations", "a/b%20c@d?#"]


async def test_words_of_a_query_arrive_as_they_are(caller: Caller, server: WireServer) -> None:
    words = '{"a":"b&c=d +é%20"}'
    request = Request("folkform", "x", "GET", server.url, SCOPE, params={"filter": words})
    await caller.client.call(request, lambda said: said)
    query = server.asked[0].split(b" ")[1].partition(b"?")[2].decode()
    assert parse_qs(query) == {"filter": [words]}


async def test_each_outcome_is_counted_under_its_name(caller: Caller, server: WireServer) -> None:
    await caller.get(server.url)
    server.answers = [None]
    with pytest.raises(UnknownOutcomeError):
        await caller.get(server.url)
    assert caller.metrics.total(CALLS, "pancake", "messages", "ok") == 1
    assert caller.metrics.total(CALLS, "pancake", "messages", "UnknownOutcomeError") == 1


async def test_no_line_of_the_log_and_no_text_of_a_request_holds_a_token(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    request = Request(
        "pancake", "m", "GET", "http://x", SCOPE, secrets={"t": SecretStr(CANARY)}, bearer=SecretStr(CANARY)
    )
    assert CANARY not in repr(request)
    with structlog.testing.capture_logs() as lines:
        async with wire_server(answer(), None, answer(b"", "500 Oops"), b"garbage") as server:
            for _ in range(4):
                try:
                    await caller.get(server.url)
                except ConnectorError as problem:
                    assert_keeps_secrets(problem)
    assert CANARY not in caplog.text
    assert CANARY not in str(lines)
    assert CANARY.encode() not in caller.metrics.page()


def assert_keeps_secrets(problem: BaseException) -> None:
    told = "".join(traceback.format_exception(problem)) + repr(problem) + str(vars(problem))
    assert CANARY not in told


def header(request: bytes, name: bytes) -> bytes:
    lines = request.lower().split(b"\r\n")
    return next(line for line in lines if line.startswith(name + b":"))
