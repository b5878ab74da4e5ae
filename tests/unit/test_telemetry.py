"""What the program says of itself: one line per event, no secret in it, and a question for every metric."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from connector.telemetry import COUNTERS, HISTOGRAMS, Metrics, redact, set_up_logs

CANARY = "CANARY-90ab"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:], root.level = before
    for name in ("httpx", "httpcore", "aiohttp", "redis"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    one = Metrics()
    yield one
    one.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_on_one_line(stream: io.StringIO) -> None:
    set_up_logs(form="json", level="info", stream=stream)
    structlog.get_logger("connector.sink").info("dead letter", reason="x", text="Chốt\nđơn", offset=3)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["text"], line["offset"]) == (
        "dead letter",
        "info",
        "Chốt\nđơn",
        3,
    )
    assert line["timestamp"].endswith("Z")
    assert "Chốt" in stream.getvalue()


def test_what_other_libraries_say_comes_in_the_same_form(stream: io.StringIO) -> None:
    set_up_logs(form="json", level="info", stream=stream)
    logging.getLogger("redis.connection").warning("lost %s", "it\nall")
    logging.getLogger("asyncio").error("task died", exc_info=ValueError("why"))
    assert [(line["event"], line["level"]) for line in lines(stream)] == [
        ("lost it\nall", "warning"),
        ("task died", "error"),
    ]
    assert "ValueError: why" in lines(stream)[1]["exception"]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "aiohttp.client", "aiohttp.access", "redis"])
def test_libraries_that_log_whole_urls_say_nothing_below_a_warning(stream: io.StringIO, name: str) -> None:
    set_up_logs(form="json", level="debug", stream=stream)
    logging.getLogger(name).info("GET https://pages.fm/api?access_token=%s", CANARY)
    logging.getLogger(name).debug("GET https://pages.fm/api?access_token=%s", CANARY)
    assert stream.getvalue() == ""


def test_what_is_below_the_level_is_not_said(stream: io.StringIO) -> None:
    set_up_logs(form="json", level="warning", stream=stream)
    log = structlog.get_logger("connector")
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_token_in_any_text_of_an_event_is_taken_out(stream: io.StringIO, form: str) -> None:
    set_up_logs(form=form, level="debug", stream=stream)
    url = f"https://pages.fm/api/v1/pages?page_access_token={CANARY}&x=1"
    log = structlog.get_logger("connector")
    log.warning("called %s", url, url=url, header=f"Authorization: Bearer {CANARY}.a-b_c")
    log.error("broken", exc_info=ValueError(url))
    logging.getLogger("aiohttp.client").warning("retry %s", url)
    logging.getLogger("aiohttp.client").error("broken", exc_info=ValueError(url))
    assert stream.getvalue().count("***") >= 6
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("?access_token=abc.def-g&page=1", "?access_token=***&page=1"),
        ("?page_access_token=abc", "?page_access_token=***"),
        ("ACCESS_TOKEN=abc", "ACCESS_TOKEN=***"),
        ("password=hunter2 next", "password=*** next"),
        ("url='http://x?token=abc'", "url='http://x?token=***'"),
        ("Bearer abc.def-g_h~i+j/k==", "Bearer ***"),
        ("authorization: bearer abc", "authorization: Bearer ***"),
        ("sig=0123&key=abc", "sig=***&key=***"),
        ("a bear and 5 tokens", "a bear and 5 tokens"),
        ("monkey = banana", "monkey = banana"),
    ],
)
def test_values_of_secrets_are_replaced_and_words_are_left(text: str, said: str) -> None:
    assert redact(text) == said


def test_every_metric_answers_a_question_that_no_other_answers() -> None:
    declared = [*COUNTERS, *HISTOGRAMS]
    assert len({metric.name for metric in declared}) == len(declared)
    assert len({metric.question for metric in declared}) == len(declared)
    assert all("?" in metric.question for metric in declared)


def test_the_page_can_be_parsed_and_tells_each_metric_with_its_question(metrics: Metrics) -> None:
    for counter in COUNTERS:
        metrics.count(counter, *(f'{label} "quoted"\n' for label in counter.labels), by=3)
    for histogram in HISTOGRAMS:
        metrics.observe(histogram, 0.25, *histogram.labels)
    page = {family.name: family for family in text_string_to_metric_families(metrics.page().decode())}
    for counter in COUNTERS:
        family = page["connector_" + counter.name.replace(".", "_")]
        assert (family.type, family.documentation) == ("counter", counter.question)
        (sample,) = [one for one in family.samples if one.name.endswith("_total")]
        assert sample.value == 3
        assert sample.labels.keys() == set(counter.labels)
    for histogram in HISTOGRAMS:
        family = page["connector_" + histogram.name.replace(".", "_") + "_seconds"]
        assert (family.type, family.documentation) == ("histogram", histogram.question)


@pytest.mark.parametrize("metric", [metric for metric in COUNTERS if metric.labels], ids=lambda one: one.name)
def test_a_label_too_few_or_too_many_is_a_mistake(metrics: Metrics, metric: Any) -> None:
    with pytest.raises(ValueError, match="has the labels"):
        metrics.count(metric, *metric.labels, "more")
    with pytest.raises(ValueError, match="has the labels"):
        metrics.count(metric)


def test_a_total_is_the_sum_over_what_begins_with_its_labels(metrics: Metrics) -> None:
    published = next(metric for metric in COUNTERS if metric.name == "events.published")
    metrics.count(published, "message", "live", by=2)
    metrics.count(published, "message", "backfill", by=3)
    metrics.count(published, "thread", "live")
    assert metrics.total(published) == 6
    assert metrics.total(published, "message") == 5
    assert metrics.total(published, "message", "live") == 2


def test_two_of_them_in_one_process_do_not_add_up(metrics: Metrics) -> None:
    other = Metrics()
    other.count(COUNTERS[1])
    assert b"connector_source_rejected_total" not in metrics.page()
    other.close()
