"""Webhooks to any poller: what changes is read at once, however seldom pages are scanned."""

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from connector.codec import hint_key
from tests.services.kafka import KafkaBroker
from tests.services.pipeline import Pipeline, Shape, metrics_url, number
from tests.services.ports import free_port
from tests.services.processes import ManagedProcess
from tests.services.waiting import wait_until

pytestmark = pytest.mark.integration
SECRET = "CANARY-webhook-91d0c4"
# Far longer than the test: without a hint nothing that changes would be seen.
SELDOM = {"CONNECTOR_POLLER__INTERVAL": "1200", "CONNECTOR_POLLER__INTERVAL_MAX": "3600"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def pipeline(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, redis_url: str, port: int
) -> Iterator[Pipeline]:
    url = f"http://127.0.0.1:{port}/hooks/pancake/{SECRET}"
    shape = Shape(
        pancake=(
            *("--pages", "6", "--conversations", "3", "--messages", "5", "--rate", "off"),
            *("--webhook-url", url),
        ),
        env={**SELDOM, "CONNECTOR_PANCAKE__WEBHOOK_SECRET": SECRET},
    )
    with Pipeline(kafka, topic_prefix, tmp_path, redis_url=redis_url, shape=shape) as running:
        yield running


def scanned(poller: ManagedProcess) -> int:
    """How many pages a poller reads, once each of them was scanned."""
    with urlopen(f"{metrics_url(poller)}/metrics", timeout=10) as answer:  # noqa: S310 - our own process
        page = answer.read().decode()
    owned = int(number(page, "connector_pages_owned"))
    return owned if number(page, "connector_source_passes_total") >= owned else 0


def test_a_webhook_to_any_poller_reaches_the_one_that_reads_the_page(pipeline: Pipeline, port: int) -> None:
    told = pipeline.start("poll", CONNECTOR_HTTP__LISTEN=f"127.0.0.1:{port}")
    wait_until(lambda: scanned(told) == 6, timeout=60, what="one poller to read all pages")
    other = pipeline.start("poll")
    wait_until(lambda: scanned(other) > 0, timeout=60, what="the other poller to read some of them")
    pipeline.start("sink")
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="everything there at first to arrive")
    places = {shelf.page_id: shelf.conversation_id for shelf in pipeline.dump()}
    for page_id, conversation_id in places.items():
        pipeline.pancake(
            "act", {"verb": "add_message", "page_id": page_id, "conversation_id": conversation_id}
        )
    wait_until(lambda: pipeline.audit().equal, timeout=60, what="what was announced to arrive")
    passed_on = {record.key() for record in pipeline.records(pipeline.topics.pages)}
    assert passed_on & {hint_key(page_id) for page_id in places}
    for process in pipeline.processes:
        assert "simulate" in process.argv or SECRET not in process.text()
