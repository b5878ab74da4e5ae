"""The report: a table for people (it is Markdown), or JSON for machines."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

from bench.figures import Figure, Result, number

LIBRARIES = ("confluent-kafka", "fastavro", "msgspec", "httpx", "httpx-aiohttp", "aiohttp", "redis")
COLUMNS = ("figure", "median", "target", "met", "spread", "ratio")


def machine() -> Mapping[str, str]:
    """Where it ran, and on what."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": f"{libraries}, librdkafka {confluent_kafka.libversion()[0]}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def as_json(where: Mapping[str, str], results: Mapping[str, Result]) -> str:
    lines = {
        name: {"figures": [_plain(figure) for figure in result.figures], "notes": list(result.notes)}
        for name, result in results.items()
    }
    return json.dumps({"machine": dict(where), "benchmarks": lines}, ensure_ascii=False, indent=2)


def as_text(where: Mapping[str, str], results: Mapping[str, Result]) -> str:
    parts = [f"{name}: {value}" for name, value in where.items()]
    rows = [_row(figure) for result in results.values() for figure in result.figures]
    parts += ["", *table(COLUMNS, rows)]
    for name, result in results.items():
        parts += ["", f"{name}:", *result.notes] if result.notes else []
    return "\n".join(parts)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table, aligned for a terminal."""
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    for row in (columns, ["-" * width for width in widths], *rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"


def _row(figure: Figure) -> Sequence[str]:
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    ratio = ""
    if figure.baseline is not None and figure.ratio is not None:
        ratio = f"{figure.ratio:.3g} of {figure.baseline.name}"
    spread = f"±{figure.spread / 2:.0%}" if len(figure.values) > 1 else ""
    median = f"{number(figure.median)} {figure.unit}".strip()
    return figure.name, median, str(figure.target or ""), met, spread, ratio


def _plain(figure: Figure) -> Mapping[str, object]:
    baseline = figure.baseline
    return {
        "name": figure.name,
        "unit": figure.unit,
        "values": list(figure.values),
        "median": figure.median,
        "spread": figure.spread,
        "target": str(figure.target) if figure.target else None,
        "met": figure.met,
        "baseline": {"name": baseline.name, "values": list(baseline.values)} if baseline else None,
        "ratio": figure.ratio,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
