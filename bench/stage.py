"""What benchmarks run against: simulators in their own processes, and how busy a process was."""

import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.processes import ManagedProcess

START_SECONDS = 60
# A collection stops a simulator for 0.1 s; calls that wait meanwhile are counted late, and the limit of
# the second after it looks broken by one.
_SIMULATE = "import gc; gc.disable(); from connector.__main__ import main; main()"
ROLE = "65a000000000000000000001"


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running ``connector simulate``."""

    url: str
    process: ManagedProcess

    def status(self) -> dict[str, Any]:
        """Its own counters: the independent witness."""
        return dict(json.loads(_get(f"{self.url}/_sim/status")))

    def dump(self) -> list[bytes]:
        return _get(f"{self.url}/_sim/dump").splitlines()


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="connector-bench-") as name:
        yield Path(name)


@contextmanager
def simulator(kind: str, *options: str) -> Iterator[Simulator]:
    argv = [sys.executable, "-c", _SIMULATE, "simulate", kind, *options]
    with folder() as where, ManagedProcess(argv, folder=where, name=kind) as process:
        found = process.wait_for_line(r"^listening on (\S+)$", timeout=START_SECONDS)
        yield Simulator(found[1], process)


def connector_env(*, kafka: str, folkform: str, pancake: str = "http://127.0.0.1:9/api") -> dict[str, str]:
    """Settings of a connector against simulators."""
    return {
        "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "CONNECTOR_PANCAKE__BASE_URL": pancake,
        "CONNECTOR_PANCAKE__ACCESS_TOKEN": "sim-user-token",
        "CONNECTOR_FOLKFORM__BASE_URL": folkform,
        "CONNECTOR_FOLKFORM__TOKEN": "sim-folkform-token",
        "CONNECTOR_FOLKFORM__ROLE_ID": ROLE,
        "CONNECTOR_FOLKFORM__RATE": "off",
        "CONNECTOR_HTTP__LISTEN": "127.0.0.1:0",
        "CONNECTOR_LOG__LEVEL": "warning",
    }


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss() -> int:
    """Bytes of memory that this process held at most; ``ru_maxrss`` would count what its parent held."""
    return _status("VmHWM")


def rss() -> int:
    """Bytes of memory that this process holds now."""
    return _status("VmRSS")


def _status(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own simulator
        body: bytes = answer.read()
        return body
