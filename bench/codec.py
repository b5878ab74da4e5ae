"""One event of 1.5 KB to Avro and back, against json.dumps and json.loads of the same."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict

from bench.events import message
from bench.figures import Baseline, Figure, Plan, Result, at_least
from connector.codec import decode_event, encode_event


def measure(plan: Plan) -> Result:
    event = message()
    avro = encode_event(event)
    fields = asdict(event) | {"content_hash": event.content_hash.hex(), "payload": event.payload.decode()}
    text = json.dumps(fields)
    rounds = 2_000 if plan.quick else 20_000
    ways: dict[str, Callable[[], object]] = {
        "encode": lambda: encode_event(event),
        "decode": lambda: decode_event(avro),
        "json.dumps": lambda: json.dumps(fields),
        "json.loads": lambda: json.loads(text),
    }
    rates = {name: [_rate(way, rounds) for _ in range(plan.repeats)] for name, way in ways.items()}
    pairs = (("encode", "json.dumps"), ("decode", "json.loads"))
    figures = [
        Figure(f"codec: {name}", "events/CPU s", rates[name], at_least(40_000), Baseline(other, rates[other]))
        for name, other in pairs
    ]
    return Result(figures, [f"an event of {len(avro):,} bytes, {len(event.payload):,} of them the payload"])


def _rate(way: Callable[[], object], rounds: int) -> float:
    began = time.process_time()
    for _ in range(rounds):
        way()
    return rounds / (time.process_time() - began)
