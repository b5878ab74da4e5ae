"""Fixtures of all tests. The real services start only when a test asks for them, once per session."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services.kafka import KafkaBroker, broker_for_tests
from tests.services.processes import ManagedProcess
from tests.services.redis import RedisServer, server_for_tests

SERVICES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[KafkaBroker]:
    """The Kafka of this session; a test that stops it starts it again."""
    with broker_for_tests() as broker:
        pytestconfig.stash.setdefault(SERVICES, []).append(f"Kafka: {broker.describe()}")
        yield broker


@pytest.fixture(scope="session")
def redis_server(pytestconfig: pytest.Config) -> Iterator[RedisServer]:
    """The Redis of this session; tests that only need a database take ``redis_url``."""
    with server_for_tests() as server:
        pytestconfig.stash.setdefault(SERVICES, []).append(f"Redis: {server.describe()}")
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty database on a running Redis, whatever the test before did to it."""
    redis_server.reset()
    return redis_server.url


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics and groups that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def start_connector(tmp_path: Path) -> Iterator[Callable[..., ManagedProcess]]:
    """Starts ``connector`` commands as processes of their own, and ends what the test leaves running."""
    with ExitStack() as running:

        def start(*arguments: str, **env: str) -> ManagedProcess:
            return running.enter_context(ManagedProcess.connector(*arguments, folder=tmp_path, env=env))

        yield start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SERVICES, []):
        terminalreporter.write_line(line)
