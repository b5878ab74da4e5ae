"""``python -m bench``: measure, print, judge nothing."""

import logging
import sys
import time
from functools import partial

import click

from bench import (
    budget,
    codec,
    freshness,
    likelihood,
    limits,
    memory,
    packing,
    seed,
    sink,
    takeover,
    transport,
)
from bench.figures import Benchmark, Plan, Result
from bench.report import as_json, as_text, machine

BENCHMARKS: dict[str, Benchmark] = {
    "codec": codec.measure,
    "memory": memory.measure,
    "budget": budget.measure,
    "limits": limits.measure,
    "likelihood": likelihood.measure,
    "http": transport.measure,
    "packing": packing.measure,
    "sink": sink.measure,
    "seed": seed.measure,
    "freshness": freshness.measure,
    "takeover": takeover.measure,
}


@click.command(epilog="Example:  python -m bench --only sink --repeats 5")
@click.option("--only", type=click.Choice(sorted(BENCHMARKS)), multiple=True, help="Leave out the others.")
@click.option("--quick", is_flag=True, help="Smaller and once: to see that it runs, not to quote.")
@click.option("--repeats", type=click.IntRange(1), default=None, help="Per figure.  [default: 3; quick: 1]")
@click.option("--json", "plain", is_flag=True, help="JSON on stdout instead of a table.")
def main(*, only: tuple[str, ...], quick: bool, repeats: int | None, plain: bool) -> None:
    """Measure the figures of the design; progress goes to stderr, and the exit code says nothing of them."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    where = machine()
    results: dict[str, Result] = {}
    for name in only or BENCHMARKS:
        began = time.monotonic()
        plan = Plan(repeats or (1 if quick else 3), quick, partial(_say, name))
        plan.say("begins")
        results[name] = BENCHMARKS[name](plan)
        plan.say(f"done in {time.monotonic() - began:.0f} s")
    click.echo(as_json(where, results) if plain else as_text(where, results))


def _say(name: str, line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {name}: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
