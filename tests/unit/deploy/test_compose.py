"""docker-compose.yml: valid, pinned, closed to the outside, and in the connector's own words."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from connector import __version__
from connector.__main__ import cli
from connector.app import HARD_EXIT_SECONDS
from connector.settings import PREFIX, load, setting_names
from connector.simulator.options import FolkFormOptions, PancakeOptions

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


def _compose() -> dict[str, Any]:
    """The file as Compose sees it when neither .env nor the shell says anything."""
    text = VARIABLE.sub(lambda found: found["default"], FILE.read_text("utf-8"))
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    return document


COMPOSE = _compose()
SERVICES: Mapping[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "connector" in service["image"]}
each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize("name", OURS)


def _settings(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in service.get("environment", {}).items():
        if name.startswith(PREFIX):
            yield name, "[]" if value == [] else str(value)


def _is_one_shot(service: Mapping[str, Any]) -> bool:
    return bool(service.get("restart") == "no" and service["command"] == ["topics", "create"])


def test_it_is_what_the_compose_specification_says() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout


def test_it_has_a_name_and_neither_a_version_nor_names_of_containers() -> None:
    assert COMPOSE["name"]
    assert "version" not in COMPOSE
    assert not [name for name, service in SERVICES.items() if "container_name" in service]


def test_every_variable_has_a_default_and_stands_in_the_example() -> None:
    text = FILE.read_text("utf-8")
    assert text.count("${") == len(VARIABLE.findall(text)), "a variable without a default"
    used = {found["name"] for found in VARIABLE.finditer(text)}
    listed = set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert used == listed
    # The connector refuses such a name: whoever exports it could not run the command beside Compose.
    assert not [name for name in used if name.startswith(PREFIX)]


@each_service
def test_every_image_is_pinned(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].partition(":")
    assert re.match(r"\d+\.\d+\.\d+", tag), SERVICES[name]["image"]


@each_of_ours
def test_our_image_has_the_version_of_the_package_and_is_never_looked_for_elsewhere(name: str) -> None:
    assert OURS[name]["image"].endswith(f":{__version__}")
    # Two builds of one tag at the same time collide: exactly one service builds it.
    builds = "build" in OURS[name]
    assert OURS[name]["pull_policy"] == ("build" if builds else "never")
    assert builds == (name == "topics")


@each_service
def test_nobody_waits_for_a_service_that_cannot_say_that_it_is_there(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_completed_successfully":
            assert _is_one_shot(SERVICES[other])
        else:
            assert how["condition"] == "service_healthy"
            assert SERVICES[other]["healthcheck"]["test"]


@each_service
def test_every_service_that_stays_has_a_healthcheck(name: str) -> None:
    assert _is_one_shot(SERVICES[name]) or SERVICES[name]["healthcheck"]["test"]


@each_service
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@each_service
def test_every_container_has_few_rights_and_bounded_memory(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert service["logging"]["options"]["max-size"]


@each_of_ours
def test_our_containers_write_nowhere_and_are_not_root(name: str) -> None:
    assert OURS[name]["read_only"] is True
    assert OURS[name]["tmpfs"]
    assert OURS[name]["user"] == "10001:10001"


@each_of_ours
def test_a_container_gets_longer_to_stop_than_the_process_takes(name: str) -> None:
    assert int(OURS[name]["stop_grace_period"].removesuffix("s")) > HARD_EXIT_SECONDS


@each_of_ours
def test_every_variable_of_the_connector_is_one_of_its_settings(name: str) -> None:
    known = {f"{PREFIX}{group}__{setting}".upper() for group, setting in setting_names()}
    for variable, _ in _settings(OURS[name]):
        assert variable.removesuffix("_FILE") in known


@each_of_ours
def test_the_connector_accepts_the_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in _settings(OURS[name]):
        secret = value.removeprefix("/run/secrets/")
        given = str(ROOT / COMPOSE["secrets"][secret]["file"]) if variable.endswith("_FILE") else value
        monkeypatch.setenv(variable, given)
    load()


@each_of_ours
def test_every_command_is_one_of_the_connectors(name: str) -> None:
    command: click.Command = cli
    rest: list[str] = OURS[name]["command"]
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, rest[0])
        assert found is not None, rest
        command, rest = found, rest[1:]
    # Parses, and so refuses what is not an option; runs nothing.
    command.make_context(name, list(rest))


def test_the_secrets_at_hand_are_those_that_the_simulators_accept() -> None:
    at_hand = {
        name: (ROOT / secret["file"]).read_text("utf-8").strip()
        for name, secret in COMPOSE["secrets"].items()
    }
    assert {at_hand["pancake-access-token"]} == PancakeOptions().user_tokens
    assert at_hand["folkform-token"] == FolkFormOptions().token
    assert SERVICES["sink"]["environment"]["CONNECTOR_FOLKFORM__ROLE_ID"] == FolkFormOptions().role_id


def test_a_secret_is_given_as_a_file_and_never_as_a_value() -> None:
    for service in OURS.values():
        for variable, value in _settings(service):
            if "TOKEN" in variable:
                assert variable.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_no_topic_is_made_by_accident() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
