"""Webhooks: whatever arrives is answered at once, and is never more than a hint."""

import asyncio
import io
import json
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from connector.health import HealthServer
from connector.pancake.hooks import BODIES_AT_ONCE, HINTS, MAX_BODY, READ_SECONDS, Hooks, pages_named
from connector.telemetry import HOOKS, Metrics, set_up_logs
from tests.fakes.clock import FakeClock
from tests.fakes.hints import ToldHints

SECRET = "CANARY-hook-secret-4f1d"
MESSAGING = {
    "page_id": "112233",
    "event_type": "messaging",
    "data": {"conversation": {"id": "112233_9"}, "message": {"id": "m", "original_message": "Chốt đơn"}},
}


@dataclass
class Receiver:
    """A poller's server with hooks, as Pancake sees it."""

    url: str = ""
    hints: ToldHints = field(default_factory=lambda: ToldHints({"112233", "zl_5"}))
    clock: FakeClock = field(default_factory=FakeClock)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def path(self) -> str:
        return f"/hooks/pancake/{SECRET}"

    async def post(self, body: bytes, path: str | None = None, **headers: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self.url + (self.path if path is None else path), data=body, headers=headers
            ) as said,
        ):
            assert await said.read() in (b"", b"404: Not Found")
            return said.status

    async def raw(self, text: bytes) -> bytes:
        """What comes back for bytes that are no proper request; the answer's first line."""
        where = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(text)
        await writer.drain()
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line


@asynccontextmanager
async def receiving(secret: str = SECRET, *, patience: float = READ_SECONDS) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    hooks = Hooks(secret, receiver.hints, receiver.clock, receiver.metrics, patience=patience)
    server = HealthServer("127.0.0.1:0", receiver.metrics, dict, dict, hooks.routes())
    await server.start()
    receiver.url = server.url
    try:
        yield receiver
    finally:
        await server.stop()
        receiver.metrics.close()


async def test_a_webhook_is_a_hint_for_its_page() -> None:
    async with receiving() as receiver:
        assert await receiver.post(json.dumps(MESSAGING).encode()) == 200
        assert await receiver.post(b'{"data":{"page_id" : "zl_5"}}') == 200
    assert receiver.hints.told == ["112233", "zl_5"]


async def test_a_wrong_secret_is_answered_as_if_nothing_were_there() -> None:
    async with receiving() as receiver:
        for wrong in (SECRET[:-1], SECRET + "x", SECRET.lower(), "%ff%00", "x" * 4000, "ü" * 23):
            assert await receiver.post(json.dumps(MESSAGING).encode(), f"/hooks/pancake/{wrong}") == 404
        assert await receiver.post(b"{}", "/hooks/pancake/") == 404
        assert await receiver.post(b"{}", f"{receiver.path}/more") == 404
    assert receiver.hints.told == []


async def test_without_a_secret_there_is_no_such_route() -> None:
    async with receiving(secret="") as receiver:
        for path in ("/hooks/pancake/", "/hooks/pancake/x", f"/hooks/pancake/{SECRET}"):
            assert await receiver.post(json.dumps(MESSAGING).encode(), path) == 404
        assert receiver.metrics.total(HOOKS) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"page_id":null}',
        b'{"page_id":{"a":[[[[',
        b"\xff\xfe\x00",
        b'{"event_type":"subscription","data":{"subscription":{"page_ids":["112233"]}}}',
        b"<html></html>",
        b'{"page_id":"999"}',
    ],
)
async def test_a_body_that_names_no_page_of_ours_is_answered_all_the_same(body: bytes) -> None:
    async with receiving() as receiver:
        assert await receiver.post(body) == 200
        assert receiver.metrics.total(HOOKS, "no page") == 1
    assert receiver.hints.told == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"page_id": 112233}',
        b'{"page_id":"112233"',
        b'xx "page_id":"112233" xx',
        b'{"page_id":"112233","a":"\xff',
    ],
)
async def test_a_broken_body_that_names_its_page_is_a_hint_too(body: bytes) -> None:
    async with receiving() as receiver:
        assert await receiver.post(body, **{"Content-Type": "image/png"}) == 200
    assert receiver.hints.told == ["112233"]


async def test_of_a_huge_body_only_the_beginning_is_read() -> None:
    async with receiving() as receiver:
        assert await receiver.post(b'{"page_id":"112233","x":"' + b"y" * (3 * MAX_BODY)) == 200
        assert await receiver.post(b"y" * MAX_BODY + b'"page_id":"zl_5"') == 200
    assert receiver.hints.told == ["112233"]


async def test_a_compressed_body_is_not_unpacked() -> None:
    bomb = zlib.compress(b'{"page_id":"112233",' + b" " * (64 * MAX_BODY))
    async with receiving() as receiver:
        assert await receiver.post(bomb, **{"Content-Encoding": "deflate"}) == 200
        assert await receiver.post(b"not deflated", **{"Content-Encoding": "deflate"}) == 200
    assert receiver.hints.told == []


async def test_a_body_that_is_not_cut_as_its_headers_say_is_answered() -> None:
    async with receiving() as receiver:
        head = f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        said = await receiver.raw(head + b"14\r\n" + b'{"page_id":"112233",' + b"\r\nzz\r\n")
    assert said.split()[1] in (b"200", b"400")


async def test_a_body_that_never_ends_is_answered_in_good_time() -> None:
    async with receiving(patience=0.05) as receiver:
        head = f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        said = await receiver.raw(head.encode() + b'{"page_id":"112233",')
    assert said.startswith(b"HTTP/1.1 200")
    assert receiver.hints.told == ["112233"]


async def test_repeated_webhooks_are_passed_on_once_a_second() -> None:
    async with receiving() as receiver:
        for _ in range(20):
            assert await receiver.post(json.dumps(MESSAGING).encode()) == 200
        assert len(receiver.hints.told) == HINTS
        assert await receiver.post(b'{"page_id":"zl_5"}') == 200
        assert receiver.hints.told[-1] == "zl_5"
        await receiver.clock.advance(1.0)
        await receiver.post(json.dumps(MESSAGING).encode())
    assert receiver.hints.told == ["112233"] * HINTS + ["zl_5", "112233"]


async def test_bodies_are_not_held_without_bound() -> None:
    head = f"POST {Receiver().path} HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n".encode()
    async with receiving(patience=60.0) as receiver:
        where = urlsplit(receiver.url)
        slow = [await asyncio.open_connection(where.hostname, where.port) for _ in range(BODIES_AT_ONCE)]
        for _, writer in slow:
            writer.write(head)
        for _ in range(500):
            assert await receiver.post(b'{"page_id":"zl_5"}') == 200
            if unread := receiver.metrics.total(HOOKS, "no page"):
                break
        for _, writer in slow:
            writer.close()
            await writer.wait_closed()
    # All of the slow ones were being read: the last one was answered without being looked at.
    assert unread == 1


async def test_no_answer_and_no_line_of_the_log_holds_the_secret() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    set_up_logs(form="json", level="debug", stream=out)
    try:
        async with receiving() as receiver:
            await receiver.post(json.dumps(MESSAGING).encode())
            for text in (
                f"BREW {receiver.path} HTTP/1.1\r\nHost: x\r\n\r\n",
                f"POST {receiver.path} HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
                f"POST {receiver.path} HTTX\r\n\r\n",
                f"POST {receiver.path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{SECRET}",
                f"\0{receiver.path}\r\n\r\n",
            ):
                await receiver.raw(text.encode())
            page = receiver.metrics.page().decode()
    finally:
        structlog.reset_defaults()
        root.handlers[:], root.level = before
    assert "listening" in out.getvalue()
    assert SECRET not in out.getvalue() + page


@given(st.binary(max_size=300))
def test_any_bytes_name_some_pages_or_none(body: bytes) -> None:
    assert all(page_id.isascii() and len(page_id) <= 128 for page_id in pages_named(body))


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.booleans(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
        max_leaves=10,
    )
)
def test_a_page_is_made_out_whatever_surrounds_it(around: object) -> None:
    body = json.dumps({"before": around, "page_id": "112233", "after": around}).encode()
    assert "112233" in pages_named(body)
