"""One sink, as ``connector sink --once`` runs it, that says at its end how it went: a line of JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence

from bench.profile import Sampler
from bench.stage import peak_rss
from connector.app import base, build_sink, sink_bounds, sink_consumer, sink_rules
from connector.engine.runner import SinkRunner
from connector.engine.worker import Tools
from connector.model import Event, Partition, Polled, Start, Turn
from connector.ports import Consumer, Listener
from connector.settings import load
from connector.telemetry import DELIVERED, WRITES, set_up_logs


class Watched:
    """A consumer that notes when the first records came and when the last were settled."""

    def __init__(self, consumer: Consumer, sampler: Sampler | None) -> None:
        self._consumer = consumer
        self._sampler = sampler
        self.began = self.ended = self.cpu = 0.0
        self.turns = self.pauses = 0

    @property
    def starts(self) -> Mapping[Partition, Start]:
        return self._consumer.starts

    async def start(self, listener: Listener) -> None:
        await self._consumer.start(listener)

    async def poll(self, turn: Turn) -> Polled:
        polled = await self._consumer.poll(turn)
        self.turns += bool(polled.records)
        self.pauses += len(turn.pause)
        if polled.records and not self.began:
            self.began, self.cpu = time.perf_counter(), time.process_time()
            if self._sampler:
                self._sampler.start()
        return polled

    async def close(self) -> None:
        self.ended, self.cpu = time.perf_counter(), time.process_time() - self.cpu
        if self._sampler:
            self._sampler.stop()
        await self._consumer.close()


class NoTarget:
    """Writes nowhere: what is left is Kafka, decoding, packing and offsets."""

    dialect, width = "none", 1

    async def write_many(self, lanes: Sequence[Sequence[Event]], leaving: asyncio.Event) -> Sequence[None]:
        del leaving
        return [None for _ in lanes]

    async def write(self, lane: Sequence[Event], leaving: asyncio.Event) -> None:
        del lane, leaving


async def run(*, without_target: bool, profiled: bool) -> dict[str, object]:
    settings = load()
    async with base(settings) as parts:
        sampler = Sampler() if profiled else None
        consumer = Watched(sink_consumer(parts), sampler)
        if without_target:
            tools = Tools(NoTarget(), parts.publisher, parts.backoff, parts.clock, parts.metrics)
            runner = SinkRunner(consumer, tools, sink_rules(settings.sink), sink_bounds(settings))
        else:
            runner = build_sink(parts, consumer)
        await runner.run(asyncio.Event(), once=True)
        return {
            "seconds": consumer.ended - consumer.began,
            "cpu": consumer.cpu,
            "turns": consumer.turns,
            "pauses": consumer.pauses,
            "events": parts.metrics.total(DELIVERED),
            "writes": parts.metrics.total(WRITES),
            "rss": peak_rss(),
            "profile": sampler.story(14) if sampler else {},
        }


def main() -> None:
    set_up_logs(form="console", level="warning")
    options = set(sys.argv[1:])
    outcome = asyncio.run(run(without_target="--without-target" in options, profiled="--profile" in options))
    print("outcome " + json.dumps(outcome))


if __name__ == "__main__":
    main()
