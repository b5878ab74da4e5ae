"""The small server of every long-running command: is it alive, is it ready, what does it count."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from connector.errors import ConfigError
from connector.telemetry import CONTENT_TYPE, Metrics

log = structlog.get_logger("connector.health")
Checks = Callable[[], Mapping[str, bool]]


class _OurFaults(logging.Filter):
    """Keeps what is wrong with a request out of the log: the text quotes its first line, secrets in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if record.exc_info else None
        return not isinstance(problem, (HttpProcessingError, web.RequestPayloadError))


_server_log = logging.getLogger("connector.http.server")
_server_log.addFilter(_OurFaults())


class HealthServer:
    """``/livez`` (the loop turns), ``/readyz`` (it has work and can do it), ``/metrics``, the role's own."""

    def __init__(
        self, listen: str, metrics: Metrics, alive: Checks, ready: Checks, routes: Sequence[web.RouteDef] = ()
    ) -> None:
        """``listen``: host:port; port 0 takes any and logs it."""
        host, port = listen.rsplit(":", 1)
        self._host, self._port = host or "0.0.0.0", int(port)
        self._metrics = metrics
        self._checks = {"/livez": alive, "/readyz": ready, "/healthz": ready}
        app = web.Application()
        for path in self._checks:
            app.router.add_get(path, self._health)
        app.router.add_get("/metrics", self._page)
        app.add_routes(routes)
        # Bodies stay as they come: unpacking one would cost whatever its sender likes.
        self._runner = web.AppRunner(app, access_log=None, logger=_server_log, auto_decompress=False)

    async def start(self) -> None:
        """Listen. Raises ConfigError when the port is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as problem:
            await self._runner.cleanup()
            raise ConfigError(
                f"cannot listen on {self._host}:{self._port}: {problem.strerror}",
                advice="set CONNECTOR_HTTP__LISTEN to a free port, or to 127.0.0.1:0 for any",
            ) from None
        log.info("listening", url=self.url)

    @property
    def url(self) -> str:
        """Where it listens, once started."""
        return f"http://{self._host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        checks = dict(self._checks[request.path]())
        good = all(checks.values())
        return web.Response(
            status=200 if good else 503,
            text=json.dumps({"ok": good, "checks": checks}),
            content_type="application/json",
        )

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE})
