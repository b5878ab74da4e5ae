"""The small server of every long-running command."""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
import structlog

from connector.errors import ConfigError
from connector.health import HealthServer
from connector.telemetry import REJECTED_AT_SOURCE, Metrics


@dataclass
class Watched:
    """What the checks say, and where the server listens."""

    url: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    alive: dict[str, bool] = field(default_factory=lambda: {"loop turns": True})
    ready: dict[str, bool] = field(default_factory=lambda: {"assigned": True, "not leaving": True})

    async def get(self, path: str) -> tuple[int, str, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as said:
            return said.status, said.content_type, await said.text()


@asynccontextmanager
async def watching(listen: str = "127.0.0.1:0") -> AsyncIterator[Watched]:
    watched = Watched()

    def ready() -> Mapping[str, bool]:
        return watched.ready

    server = HealthServer(listen, watched.metrics, lambda: watched.alive, ready)
    with structlog.testing.capture_logs() as lines:
        await server.start()
    watched.url = lines[0]["url"]
    try:
        yield watched
    finally:
        await server.stop()
        watched.metrics.close()


async def test_alive_and_ready_are_asked_for_apart() -> None:
    async with watching() as watched:
        watched.ready["assigned"] = False
        status, kind, body = await watched.get("/readyz")
        assert (status, kind) == (503, "application/json")
        assert json.loads(body) == {"ok": False, "checks": {"assigned": False, "not leaving": True}}
        assert (await watched.get("/healthz"))[0] == 503
        assert (await watched.get("/livez"))[0] == 200
        watched.ready["assigned"] = True
        watched.alive["loop turns"] = False
        assert (await watched.get("/readyz"))[0] == 200
        status, _, body = await watched.get("/livez")
        assert status == 503
        assert json.loads(body) == {"ok": False, "checks": {"loop turns": False}}


async def test_the_metrics_are_what_prometheus_reads() -> None:
    async with watching() as watched:
        watched.metrics.count(REJECTED_AT_SOURCE, by=7)
        status, kind, body = await watched.get("/metrics")
    assert (status, kind) == (200, "text/plain")
    assert "connector_source_rejected_total 7.0" in body


async def test_nothing_else_is_served() -> None:
    async with watching() as watched:
        assert (await watched.get("/"))[0] == 404


async def test_a_port_that_is_taken_is_a_wrong_setting() -> None:
    metrics = Metrics()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = HealthServer(f"127.0.0.1:{port}", metrics, dict, dict)
        with pytest.raises(ConfigError, match=str(port)) as problem:
            await server.start()
    assert "CONNECTOR_HTTP__LISTEN" in problem.value.advice
    metrics.close()


async def test_a_host_that_is_not_this_machine_is_a_wrong_setting() -> None:
    metrics = Metrics()
    server = HealthServer("192.0.2.1:0", metrics, dict, dict)
    with pytest.raises(ConfigError) as problem:
        await server.start()
    assert "CONNECTOR_HTTP__LISTEN" in problem.value.advice
    metrics.close()


async def test_a_stopped_server_can_be_followed_by_another_on_its_port() -> None:
    async with watching() as first:
        where = first.url.removeprefix("http://")
    async with watching(where) as second:
        assert (await second.get("/livez"))[0] == 200
