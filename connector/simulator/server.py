"""One simulator behind one port: the service's own routes, and the control routes under ``/_sim``."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from connector.clock import Clock
from connector.simulator.control import Controlled, control
from connector.simulator.replies import Reply, deliver

PREFIX = "/api"
CONTROL = "/_sim/"
# Far above what either service allows: their own limits are checked, and answered, in their own words.
LINE_LIMIT = 64 * 1024
BODY_LIMIT = 1 << 30

Answer = Callable[["Incoming"], Awaitable[Reply]]


class Incoming(web.BaseRequest):
    """A request whose path and query stay as they came over the wire."""

    def __init__(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)

    def split(self) -> tuple[str, str]:
        path, _, query = self.raw_path.partition("?")
        return path, query

    @property
    def gone(self) -> bool:
        """Whether the client has hung up while its call was still in progress."""
        return self.transport is None or self.transport.is_closing()


class HttpServer:
    """Listens on one port from ``start`` to ``stop``; may be started again."""

    def __init__(self, answer: Answer, controlled: Controlled, clock: Clock) -> None:
        self._answer = answer
        self._controlled = controlled
        self._clock = clock
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """
        Listen, and return the base URL for clients (``http://127.0.0.1:<port>/api``).

        Raises:
            OSError: the port is taken.
        """
        server = web.Server(
            self._serve,  # type: ignore[arg-type]
            request_factory=Incoming,
            access_log=None,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
        )
        # A client that waits in a scripted hang must not hold up the end of a test.
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0][1]
        return f"http://{host}:{bound}{PREFIX}"

    async def stop(self) -> None:
        """Close the port and every connection; return at once when it is not listening."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve(self, request: Incoming) -> web.StreamResponse:
        path = request.split()[0].removeprefix(PREFIX)
        if path.startswith(CONTROL):
            return await control(self._controlled, request, path.removeprefix(CONTROL))
        return await deliver(request, await self._answer(request), self._clock)
