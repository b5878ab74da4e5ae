"""The whole way as an operator runs it: simulators, pollers and sinks, each a process of its own."""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from connector.kafka.config import Topics
from connector.simulator.audit import Audit, Shelf, compare_dumps
from tests.services.kafka import KafkaBroker
from tests.services.processes import ManagedProcess

USER_TOKEN = "CANARY-user-5f0c"
FOLKFORM_TOKEN = "CANARY-folkform-91ab"
ROLE = "65a000000000000000000001"
# A member that was killed is missed by the group after this time.
SESSION_MS = 6000


@dataclass(frozen=True)
class Shape:
    """What the simulators hold and how they answer, as options of ``connector simulate``."""

    pancake: tuple[str, ...] = ("--pages", "2", "--conversations", "10", "--messages", "40", "--rate", "off")
    folkform: tuple[str, ...] = ("--rate", "off")
    partitions: int = 3
    env: dict[str, str] = field(default_factory=dict)


class Pipeline:
    """Everything of one test, under one topic prefix; ended with the ``with`` block."""

    def __init__(
        self,
        kafka: KafkaBroker,
        prefix: str,
        folder: Path,
        *,
        redis_url: str = "",
        shape: Shape | None = None,
    ) -> None:
        self.kafka = kafka
        self.topics = Topics(prefix)
        self.shape = shape or Shape()
        self.processes: list[ManagedProcess] = []
        self._folder = folder
        self._redis_url = redis_url
        self._running = ExitStack()
        self._count = itertools.count()

    def __enter__(self) -> Self:
        pancake = self.start("simulate", "pancake", "--token", USER_TOKEN, *self.shape.pancake)
        folkform = self.start("simulate", "folkform", "--token", FOLKFORM_TOKEN, *self.shape.folkform)
        self.pancake_url = _listening(pancake)
        self.folkform_url = _listening(folkform)
        assert self.start("topics", "create").wait(60) == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def start(self, *arguments: str, **env: str) -> ManagedProcess:
        """Start ``connector <arguments>``; ``env`` goes over the settings of this pipeline."""
        folder = self._folder / f"{next(self._count)}-{arguments[0]}"
        given = self.environment() | env
        process = self._running.enter_context(ManagedProcess.connector(*arguments, folder=folder, env=given))
        self.processes.append(process)
        return process

    def start_python(self, *arguments: str, **env: str) -> ManagedProcess:
        """Start a module of the tests in the same surroundings."""
        folder = self._folder / f"{next(self._count)}-python"
        given = self.environment() | env
        process = self._running.enter_context(
            ManagedProcess([sys.executable, "-m", *arguments], folder=folder, env=given)
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str, **env: str) -> ManagedProcess:
        """Start it and wait for its end, which must be a good one."""
        process = self.start(*arguments, **env)
        code = process.wait(120)
        assert code == 0, f"connector {' '.join(arguments)} exited with {code}:\n{process.text()[-3000:]}"
        return process

    def use(self, prefix: str) -> None:
        """Go on with other topics and groups; the simulators stay."""
        self.topics = Topics(prefix)

    def environment(self) -> dict[str, str]:
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "KAFKA__TOPIC_PREFIX": self.topics.prefix,
            "KAFKA__PARTITIONS": str(self.shape.partitions),
            "HTTP__LISTEN": "127.0.0.1:0",
            "LOG__FORMAT": "json",
            "REDIS__URL": self._redis_url,
            "PANCAKE__BASE_URL": getattr(self, "pancake_url", "http://127.0.0.1:1/api"),
            "PANCAKE__ACCESS_TOKEN": USER_TOKEN,
            "PANCAKE__RATE": "off",
            "FOLKFORM__BASE_URL": getattr(self, "folkform_url", "http://127.0.0.1:1/api"),
            "FOLKFORM__TOKEN": FOLKFORM_TOKEN,
            "FOLKFORM__ROLE_ID": ROLE,
            "FOLKFORM__RATE": "off",
            "KAFKA__CONFIG": json.dumps(
                {
                    "session.timeout.ms": SESSION_MS,
                    "heartbeat.interval.ms": 300,
                    "reconnect.backoff.max.ms": 500,
                }
            ),
        }
        return {f"CONNECTOR_{name}": value for name, value in settings.items()} | self.shape.env

    def audit(self) -> Audit:
        """Compare what the two simulators hold."""
        return compare_dumps(
            _lines(f"{self.pancake_url}/_sim/dump"), _lines(f"{self.folkform_url}/_sim/dump")
        )

    def dump(self) -> Iterator[Shelf]:
        """What Pancake holds, conversation by conversation."""
        for line in _lines(f"{self.pancake_url}/_sim/dump"):
            yield msgspec.json.decode(line, type=Shelf)

    def pancake(self, route: str = "status", body: dict[str, Any] | list[Any] | None = None) -> Any:
        """Ask the control route of the Pancake simulator; with a body it is a POST."""
        return _ask(f"{self.pancake_url}/_sim/{route}", body)

    def folkform(self, route: str = "status", body: dict[str, Any] | list[Any] | None = None) -> Any:
        """Ask the control route of the FolkForm simulator; with a body it is a POST."""
        return _ask(f"{self.folkform_url}/_sim/{route}", body)

    def records(self, topic: str) -> list[Message]:
        """Every record that a topic holds now."""
        reader = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": "tests", "enable.auto.commit": False}
        )
        found: list[Message] = []
        try:
            partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
            for number in partitions:
                _, end = reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                if end:
                    found += _read(reader, TopicPartition(topic, number, OFFSET_BEGINNING), end)
        finally:
            reader.close()
        return found


def _read(reader: Consumer, start: TopicPartition, end: int) -> list[Message]:
    reader.assign([start])
    found: list[Message] = []
    while True:
        for message in reader.consume(500, 1.0):
            assert message.error() is None, message.error()
            found.append(message)
        position = reader.position([TopicPartition(start.topic, start.partition)])[0].offset
        if position >= end:
            return found


def _listening(process: ManagedProcess) -> str:
    return process.wait_for_line(r"^listening on (\S+)$", 20)[1]


def _lines(url: str) -> Iterator[bytes]:
    with urlopen(url, timeout=30) as answer:  # noqa: S310
        yield from answer


def _ask(url: str, body: dict[str, Any] | list[Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data), timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def metrics_url(process: ManagedProcess) -> str:
    """Where a running role listens."""
    found = process.wait_for_line(r'"url": ?"(http://[^"]+)"', 30)
    return found[1]


def number(page: str, name: str) -> float:
    """The sum of a metric over its labels on a Prometheus page."""
    values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, values))
