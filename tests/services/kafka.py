"""A real Apache Kafka broker (KRaft, one node) on a free port, or one that runs already."""

import base64
import logging
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.services import jars
from tests.services.errors import ServiceError
from tests.services.ports import free_port
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

READY_SECONDS = 90
_PORT_RACES = 5
_HEAP = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# librdkafka reports each refused connection; while a broker starts or is dead on purpose that is no news.
_SILENT = logging.getLogger("tests.services.kafka.client")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

_LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
"""

# Whatever Kafka waits for by the second in production is asked for at once here; its internal
# topics have one partition and one replica instead of fifty and three.
_FAST = {
    "auto.create.topics.enable": "false",
    # After kill -9 the controller lets a broker in again only once its old session ran out: 9 s by default.
    "broker.heartbeat.interval.ms": "300",
    "broker.session.timeout.ms": "3000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.backoff.ms": "500",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.initial.task.delay.ms": "100",
    "log.retention.check.interval.ms": "1000",
    "num.io.threads": "2",
    "num.network.threads": "2",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
}


class _PortTakenError(ServiceError):
    """Somebody else took the port between our choice and our start."""


class KafkaBroker:
    """
    One broker of our own, with its data in a folder that lives until ``close``.

    Every call returns only when what it names is true: after ``start`` the broker answers and all its
    partitions have leaders, after ``kill`` it is gone. They block; in a coroutine use ``asyncio.to_thread``.
    """

    ours = True

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.bootstrap = ""
        self._settings = _FAST | dict(settings or {})
        self._folder = Path(tempfile.mkdtemp(prefix="pancake-connector-kafka-"))
        self._cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._process: ManagedProcess | None = None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """
        Start it, the first time on ports of its own choice, later on the same ports and data.

        Raises:
            ServiceError: it does not come up, with the end of its log.
        """
        if self._process and self._process.running:
            return
        if self.bootstrap:
            self._launch()
            return
        for _ in range(_PORT_RACES):
            try:
                self._format()
                self._launch()
            except _PortTakenError:
                continue
            return
        raise ServiceError(f"{_PORT_RACES} times somebody else took the port that was free for Kafka.")

    def stop(self) -> None:
        """Shut it down in order (SIGTERM, then SIGKILL after 20 seconds)."""
        if self._process:
            self._process.stop(timeout=20)

    def kill(self) -> None:
        """End it as a crash of the process would (SIGKILL)."""
        self._running().kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same port and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Make it silent without ending it (SIGSTOP)."""
        self._running().freeze()

    def thaw(self) -> None:
        """Let a frozen broker go on."""
        self._running().thaw()

    def close(self) -> None:
        """Stop it and delete its data."""
        if self._process:
            self._process.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_topic(self, name: str, partitions: int = 1, **config: str | float) -> str:
        """Return the name of a new topic that takes records; in ``config`` write ``_`` for each dot."""
        admin = self.admin()
        given = {key.replace("_", "."): str(value) for key, value in config.items()}
        admin.create_topics([NewTopic(name, partitions, 1, config=given)])[name].result(timeout=30)

        def led() -> bool:
            seen = _look(admin)
            return seen is not None and name in seen.topics and seen.has_leaders

        wait_until(led, timeout=30, what=f"leaders of topic {name}")
        return name

    def admin(self) -> AdminClient:
        """Return a client for whatever else a test has to ask or change."""
        return AdminClient(
            {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 200}, logger=_SILENT
        )

    def describe(self) -> str:
        return f"Apache Kafka {jars.KAFKA_VERSION} at {self.bootstrap}, started by the tests"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> ManagedProcess:
        if self._process is None or not self._process.running:
            raise ServiceError("This Kafka broker is not running: call start() first.")
        return self._process

    def _format(self) -> None:
        """Choose ports and prepare an empty data folder, of which the controller's port is a part."""
        broker, controller = (f"127.0.0.1:{free_port()}" for _ in range(2))
        data = self._folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        properties = self._settings | {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": controller,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(data),
        }
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        (self._folder / "server.properties").write_text("".join(lines), encoding="utf-8")
        (self._folder / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
        made = subprocess.run(  # noqa: S603
            self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", self._cluster, "-c"),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise ServiceError(f"Kafka's data folder could not be prepared:\n{made.stdout}{made.stderr}")
        self.bootstrap = broker

    def _launch(self) -> None:
        process = self._process = ManagedProcess(self._java("kafka.Kafka"), folder=self._folder, name="kafka")
        admin = self.admin()

        def answers_or_exited() -> bool:
            return self._answers(admin) or not process.running

        try:
            wait_until(answers_or_exited, timeout=READY_SECONDS, what="Kafka to answer")
        except AssertionError as late:
            process.close()
            raise ServiceError(f"{late}\n{process.text()[-3000:]}") from late
        if not process.running:
            taken = re.search("address already in use|failed to bind", process.text(), re.IGNORECASE)
            raise (_PortTakenError if taken else ServiceError)(
                f"Kafka did not start:\n{process.text()[-3000:]}"
            )

    def _answers(self, admin: AdminClient) -> bool:
        """Tell whether *our* broker answers: an open port proves nothing, the cluster's id does."""
        seen = _look(admin)
        return seen is not None and seen.cluster == self._cluster and seen.has_leaders

    def _java(self, main: str, *arguments: str) -> list[str]:
        """Return the command line of one of Kafka's programs on this broker's properties."""
        options = [
            *_HEAP,
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            *self._class_sharing(),
        ]
        properties = str(self._folder / "server.properties")
        return [str(jars.java()), *options, "-cp", jars.classpath(), main, *arguments, properties]

    def _class_sharing(self) -> list[str]:
        archive = jars.class_archive()
        # The JVM goes on without an archive that does not fit; silenced, because it would warn on stdout.
        return [f"-XX:SharedArchiveFile={archive}", "-Xlog:disable"] if archive.exists() else []


class GivenBroker(KafkaBroker):
    """A broker that somebody else runs: it is used, never started, stopped or crashed."""

    ours = False

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def start(self) -> None:
        admin = self.admin()
        try:
            wait_until(lambda: _look(admin), timeout=30, what="an answer")
        except AssertionError as late:
            raise ServiceError(
                f"TEST_KAFKA_BOOTSTRAP names {self.bootstrap}, and no Kafka answers there."
            ) from late

    def stop(self) -> None:
        raise self._not_ours()

    def restart(self) -> None:
        raise self._not_ours()

    def close(self) -> None:
        pass

    def describe(self) -> str:
        return f"the Kafka at {self.bootstrap}, given by TEST_KAFKA_BOOTSTRAP"

    def _running(self) -> ManagedProcess:
        raise self._not_ours()

    def _not_ours(self) -> ServiceError:
        return ServiceError(
            f"The Kafka at {self.bootstrap} was given by TEST_KAFKA_BOOTSTRAP: "
            "the tests do not stop, freeze or crash it."
        )


def broker_for_tests() -> KafkaBroker:
    """Return the broker that ``TEST_KAFKA_BOOTSTRAP`` names, else a new one of our own; not started yet."""
    given = os.environ.get("TEST_KAFKA_BOOTSTRAP")
    return GivenBroker(given) if given else KafkaBroker()


class _ArchivingBroker(KafkaBroker):
    """Writes down at its end which classes it loaded, so that later brokers start in half the time."""

    def __init__(self, archive: Path) -> None:
        super().__init__()
        self._archive = archive

    def _class_sharing(self) -> list[str]:
        return [f"-XX:ArchiveClassesAtExit={self._archive}", "-Xlog:disable"]


def make_class_archive() -> bool:
    """Make the class archive unless it is there, by one broker's life; tell whether there is one now."""
    done = jars.class_archive()
    with jars.locked(done.name):
        if not done.exists():
            unfinished = done.with_suffix(".unfinished")
            with _ArchivingBroker(unfinished) as broker:
                broker.create_topic("any")
                broker.stop()
            if unfinished.exists():
                unfinished.rename(done)
    return done.exists()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a broker said of its cluster."""

    cluster: str
    topics: frozenset[str]
    has_leaders: bool


def _look(admin: AdminClient) -> _Seen | None:
    try:
        metadata = admin.list_topics(timeout=1)
    except KafkaException:
        return None
    partitions = [partition for topic in metadata.topics.values() for partition in topic.partitions.values()]
    return _Seen(
        cluster=str(metadata.cluster_id),
        topics=frozenset(metadata.topics),
        has_leaders=bool(metadata.brokers) and all(partition.leader >= 0 for partition in partitions),
    )
