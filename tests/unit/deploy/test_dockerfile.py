"""The Dockerfile: from the lock, pinned, not root, without a shell."""

import json
import re
from pathlib import Path

import pytest

from connector import __version__
from connector.settings import PREFIX, setting_names

ROOT = Path(__file__).parents[3]
LINES = [
    line
    for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text("utf-8")).splitlines()
    if line and not line.startswith("#")
]
TEXT = "\n".join(LINES)
RUNTIME = LINES[max(at for at, line in enumerate(LINES) if line.startswith("FROM ")) :]


def _value(instruction: str) -> str:
    """What the last stage says behind an instruction; the last one counts."""
    return [line for line in RUNTIME if line.startswith(f"{instruction} ")][-1].removeprefix(
        f"{instruction} "
    )


def test_both_stages_stand_on_one_pinned_debian() -> None:
    base = re.search(r"^ARG PYTHON_IMAGE=(.+)$", TEXT, re.MULTILINE)
    assert base
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base[1])
    assert [line.split()[1] for line in LINES if line.startswith("FROM ")] == ["${PYTHON_IMAGE}"] * 2
    assert base[1] in (ROOT / "docker-compose.yml").read_text("utf-8")


def test_dependencies_come_from_the_lock_and_ours_needs_nothing_more() -> None:
    installs = re.findall(r"^RUN pip install (.+)$", TEXT, re.MULTILINE)
    assert installs == [
        "--require-hashes --only-binary=:all: -r requirements.lock",
        "--no-deps --no-build-isolation .",
    ]


def test_it_runs_as_somebody_without_rights() -> None:
    uid, gid = _value("USER").split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000


@pytest.mark.parametrize("instruction", ["ENTRYPOINT", "CMD"])
def test_it_starts_without_a_shell(instruction: str) -> None:
    assert json.loads(_value(instruction))
    assert json.loads(_value("ENTRYPOINT")) == ["connector"]


def test_its_health_is_asked_without_a_shell() -> None:
    command = json.loads(_value("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    compile(command[-1], "HEALTHCHECK", "exec")
    assert "/readyz" in command[-1]


def test_a_crash_of_native_code_leaves_a_trace() -> None:
    assert "PYTHONFAULTHANDLER=1" in _value("ENV")


def test_its_variables_are_settings() -> None:
    known = {f"{PREFIX}{group}__{setting}".upper() for group, setting in setting_names()}
    assert set(re.findall(rf"\b({PREFIX}\w+)=", TEXT)) <= known


def test_it_says_which_version_it_is() -> None:
    assert f"ARG VERSION={__version__}" in LINES
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", TEXT))
    assert {"title", "description", "licenses", "version", "revision", "created"} <= labels


def test_everything_that_it_copies_gets_past_dockerignore() -> None:
    ignored, *kept = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")
    ]
    assert ignored == "*"
    allowed = {line.removeprefix("!").removesuffix("/**") for line in kept if line.startswith("!")}
    copied = {
        source.removeprefix("./")
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == allowed
