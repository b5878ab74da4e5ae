import signal
import statistics
import time

import pytest

from bench import codec
from bench.events import MESSAGES, production
from bench.figures import Plan
from bench.memory import backfilled
from bench.profile import Sampler
from bench.seed import Size
from connector.codec import decode_event, encode_event
from connector.model import Kind


def test_events_are_shaped_as_in_production() -> None:
    conversations = list(production(40))
    kinds = [[event.kind for event in events].count(Kind.MESSAGE) for events in conversations]
    sizes = [len(event.payload) for events in conversations for event in events if event.kind is Kind.MESSAGE]
    assert kinds == [MESSAGES] * 40
    assert 1100 < statistics.mean(sizes) < 1500
    assert len({events[0].conversation_id for events in conversations}) == 40


def test_every_event_survives_the_codec() -> None:
    for event in next(production(1)):
        assert decode_event(encode_event(event)) == event


def test_the_fewest_calls_of_the_main_job_are_202_a_page() -> None:
    assert Size(100).least == 202


def test_a_scan_of_known_size_remembers_every_conversation() -> None:
    each, least = backfilled(200)
    assert each >= 0
    assert 200 < least < 400


def test_a_quick_codec_run_measures_both_ways_and_judges_nothing() -> None:
    result = codec.measure(Plan(1, True, lambda _: None))
    assert [figure.name for figure in result.figures] == ["codec: encode", "codec: decode"]
    assert all(figure.median > 0 and figure.ratio for figure in result.figures)


def test_the_sampler_sees_what_the_main_thread_does() -> None:
    sampler = Sampler()
    sampler.start()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        sum(range(1000))
    sampler.stop()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert sampler.own.most_common(1)[0][0] == "test_measured"
    assert sum(sampler.story(5)["own"].values()) == pytest.approx(1.0, abs=0.2)
