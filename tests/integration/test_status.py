"""``connector status`` on a real Kafka: what pollers wrote is what people and scripts are told."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from connector.clock import SystemClock
from connector.kafka.config import Topics, producer_config
from connector.kafka.producer import ProducerThread
from connector.kafka.publisher import KafkaPublisher
from connector.kafka.topics import create, partition_counts
from connector.model import Backfill, Completeness, Hole, Page, PageStatus
from connector.settings import KafkaSettings
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import USER_TOKEN, Pipeline
from tests.services.processes import ManagedProcess

pytestmark = pytest.mark.integration
Start = Callable[..., ManagedProcess]
SHOP, OTHER = Page("112233", "shop", "Shop áo dài", "facebook"), Page("zl_5", "zl_5")
DONE = Backfill(1, list_ended=True, listed=7)


@pytest.fixture
def settings(kafka: KafkaBroker, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka.bootstrap, topic_prefix=topic_prefix, partitions=3)


@pytest_asyncio.fixture
async def publisher(settings: KafkaSettings) -> AsyncIterator[KafkaPublisher]:
    topics = Topics(settings.topic_prefix)
    await create(settings, topics)
    counts = await partition_counts(settings, topics)
    producer = ProducerThread(producer_config(settings))
    yield KafkaPublisher(producer, topics, counts, SystemClock())
    await producer.close(5.0)


@pytest.fixture
def status(settings: KafkaSettings, start_connector: Start) -> Start:
    def start(*options: str) -> ManagedProcess:
        return start_connector(
            "status",
            *options,
            CONNECTOR_KAFKA__BOOTSTRAP_SERVERS=settings.bootstrap_servers,
            CONNECTOR_KAFKA__TOPIC_PREFIX=settings.topic_prefix,
            CONNECTOR_LOG__FORMAT="json",
        )

    return start


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def good(page: Page, **more: object) -> PageStatus:
    return PageStatus(
        Completeness(page.id, now_ms() - 1000, backfill=DONE),
        now_ms(),
        "",
        **more,  # type: ignore[arg-type]
    )


async def test_the_newest_word_on_each_page_counts_whatever_lies_beside_it(
    publisher: KafkaPublisher, status: Start
) -> None:
    await publisher.announce([SHOP, OTHER])
    holes = Completeness(SHOP.id, now_ms(), holes=(Hole("c", "unreadable", 7),), holes_open=1)
    await publisher.report([PageStatus(holes, now_ms(), "")])
    await publisher.hint(SHOP.id)
    await publisher.report([good(SHOP), good(OTHER)])
    process = status("--json")
    assert process.wait(60) == 0, process.text()
    told = json.loads(process.stdout())
    assert {page["page_id"]: page["state"] for page in told["pages"]} == {
        SHOP.id: "complete",
        OTHER.id: "complete",
    }
    assert {page["owner"] for page in told["pages"]} == {publisher.owner}


async def test_what_is_left_out_ends_with_three_and_says_what_to_do(
    publisher: KafkaPublisher, status: Start
) -> None:
    await publisher.announce([SHOP, OTHER])
    await publisher.report([good(SHOP, parked="renew the subscription", parked_since=7)])
    process = status()
    assert process.wait(60) == 3
    lines = process.stdout().splitlines()
    assert lines[0].startswith("zl_5; unread; proved never")
    assert lines[1].startswith("112233; parked")
    assert lines[1].endswith("; renew the subscription")
    assert lines[2] == "2 pages, 0 complete, 2 with something left out"


async def test_watching_shows_what_changes_until_it_is_asked_to_stop(
    publisher: KafkaPublisher, status: Start
) -> None:
    await publisher.announce([SHOP])
    await publisher.report([good(SHOP)])
    process = status("--watch", "--every", "1")
    process.wait_for_line("^112233; complete", 60)
    await publisher.report([good(SHOP, parked="log in again")])
    process.wait_for_line("^112233; parked.*log in again$", 60)
    process.terminate()
    assert process.wait(30) == 3
    assert "Traceback" not in process.text()


def test_without_topics_it_says_how_to_make_them(status: Start) -> None:
    process = status()
    assert process.wait(60) == 4
    assert "connector topics create" in process.text()


@pytest.mark.usefixtures("publisher")
def test_topics_without_a_page_are_said_to_be_so(status: Start) -> None:
    process = status()
    assert process.wait(60) == 0
    assert process.stdout().strip() == "no pages: no poller has run yet"


def test_a_broker_that_is_not_there_ends_with_four(start_connector: Start) -> None:
    process = start_connector(
        "status", CONNECTOR_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", CONNECTOR_LOG__FORMAT="json"
    )
    assert process.wait(60) == 4
    assert "Traceback" not in process.text()


def test_after_a_whole_pass_each_page_is_complete_or_says_what_is_to_be_done(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    with Pipeline(kafka, topic_prefix, tmp_path) as pipeline:
        pipeline.run("poll", "--once")
        told = json.loads(pipeline.run("status", "--json").stdout())
        assert [page["state"] for page in told["pages"]] == ["complete", "complete"]
        assert all(page["proved_until"] and page["backfill"]["share"] == 1.0 for page in told["pages"])
        parked = told["pages"][0]["page_id"]
        pipeline.pancake("act", {"verb": "park", "page_id": parked, "code": 122})
        assert pipeline.start("poll", "--once").wait(60) == 3
        process = pipeline.start("status")
        assert process.wait(60) == 3
        assert re.search(f"^{parked}; parked; proved 20.*subscription", process.stdout(), re.MULTILINE)
        assert USER_TOKEN not in process.text()
