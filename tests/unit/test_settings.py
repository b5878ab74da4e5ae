"""Settings: what is wrong is refused by its name, and no secret is ever shown."""

import io
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pydantic import SecretStr

from connector.errors import ConfigError
from connector.settings import PREFIX, LogSettings, Settings, load, log_format, setting_names, user_tokens

CANARY = "CANARY-3e81"
Setter = Callable[..., None]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Setter:
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(PREFIX + name, value)

    return set_all


def refused(config: Path | None = None) -> str:
    with pytest.raises(ConfigError) as problem:
        load(config)
    assert problem.value.advice
    return str(problem.value)


def written(tmp_path: Path, text: str) -> Path:
    config = tmp_path / "connector.yaml"
    config.write_text(text, "utf-8")
    return config


DEFAULTS = {
    ("pancake", "base_url"): "https://pages.fm/api",
    ("pancake", "access_tokens"): (),
    ("pancake", "page_ids"): (),
    ("pancake", "rate"): "5/1s",
    ("folkform", "base_url"): "http://localhost:8080/api",
    ("folkform", "rate"): "100/60s",
    ("folkform", "dialect"): "auto",
    ("kafka", "bootstrap_servers"): "localhost:9092",
    ("kafka", "config"): {},
    ("kafka", "topic_prefix"): "",
    ("kafka", "partitions"): 12,
    ("kafka", "replication_factor"): None,
    ("schema_registry", "url"): "",
    ("http", "listen"): "127.0.0.1:8080",
    ("log", "format"): None,
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_the_defaults_are_those_of_the_documented_interface(name: tuple[str, str], value: object) -> None:
    group, field = name
    assert getattr(getattr(load(), group), field) == value


@pytest.mark.parametrize("name", ["PANCAKE__ACCESS_TOKEN", "FOLKFORM__TOKEN", "REDIS__URL"])
def test_a_secret_has_no_default_and_is_never_shown(given: Setter, name: str) -> None:
    group, field = name.lower().split("__")
    assert getattr(getattr(load(), group), field) == SecretStr("")
    given(**{name: f"rediss://:{CANARY}@redis/0" if group == "redis" else CANARY})
    settings = load()
    assert CANARY in getattr(getattr(settings, group), field).get_secret_value()
    assert CANARY not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_the_further_properties_of_kafka_are_not_shown_for_they_hold_passwords(given: Setter) -> None:
    given(KAFKA__CONFIG=f'{{"sasl.password": "{CANARY}"}}')
    settings = load()
    assert settings.kafka.config["sasl.password"] == CANARY
    assert CANARY not in repr(settings)


WRONG = {
    "PANCAKE__BASE_URL": ["ftp://pages.fm", "pages.fm/api", "https://", "https://a b/",
                          "https://u:CANARY-3e81@x/", "https://x/?a=1", "https://x:port/", "https://x:99999/"],
    "PANCAKE__ACCESS_TOKEN": ["CANARY-3e81 and more", "CANARY-3e81\nmore", "CANARY-3e81 é", "é"],
    "PANCAKE__WEBHOOK_SECRET": ["CANARY-3e81", "CANARY-3e81/with-a-slash", "CANARY-3e81 and more", "x" * 257],
    "PANCAKE__ACCESS_TOKENS": ["CANARY-3e81", '["CANARY-3e81 and more"]', '["CANARY-3e81',
                               '{"CANARY-3e81":1}', '["CANARY-3e81", 5]'],
    "PANCAKE__PAGE_IDS": ["1,2", "[1", '{"a":1}', "1"],
    "PANCAKE__RATE": ["5", "5/s", "0/1s", "5/0s", "-5/1s", "5/1m", "fast", ""],
    "FOLKFORM__BASE_URL": ["", "localhost:8080", "http://"],
    "FOLKFORM__TOKEN": ["CANARY-3e81\r\nX-Evil: 1", "CANARY-3e81 é"],
    "FOLKFORM__RATE": ["100/min", "OFF "],
    "FOLKFORM__DIALECT": ["generation4", "2", ""],
    "FOLKFORM__BATCH": ["0", "21", "many"],
    "FOLKFORM__BODY_BYTES": ["1000", "10MB"],
    "KAFKA__CONFIG": ["{", "[]", "x", '{"sasl.password": {"CANARY-3e81": 1}}'],
    "KAFKA__TOPIC_PREFIX": ["a b", "à", "a/"],
    "KAFKA__PARTITIONS": ["0", "-1", "many", "10001", "1.5"],
    "KAFKA__REPLICATION_FACTOR": ["0", "three"],
    "KAFKA__GROUP_PROTOCOL": ["new"],
    "REDIS__URL": ["localhost:6379", "http://redis",
                   "redis://host:port/", "redis://:CANARY-3e81@", "rediss:CANARY-3e81"],
    "SCHEMA_REGISTRY__URL": ["http://registry:8081"],
    "POLLER__INTERVAL": ["0", "-1", "often", "nan", "inf"],
    "POLLER__INTERVAL_MAX": ["0", "seldom"],
    "POLLER__OVERLAP": ["-1", "inf"],
    "POLLER__RECONCILE_INTERVAL": ["-1", "daily"],
    "POLLER__DEEP_EVERY": ["-1", "1.5"],
    "POLLER__LANES": ["0", "65"],
    "POLLER__DRAIN": ["0", "16"],
    "POLLER__PAGES_INTERVAL": ["0"],
    "SINK__LANES": ["0", "1025"],
    "SINK__WINDOW_RECORDS": ["0"],
    "SINK__WINDOW_BYTES": ["1000"],
    "SINK__ITEM_ATTEMPTS": ["0"],
    "SINK__DRAIN": ["60"],
    "FOLKFORM__CALL_TIMEOUT": ["0"],
    "SINK__DOUBT_ATTEMPTS": ["1"],
    "SINK__REJECTS_IN_ROW": ["0"],
    "SINK__REJECT_SHARE": ["0", "1.1"],
    "SINK__RUN_AHEAD": ["0"],
    "SINK__REMEMBERED": ["-1"],
    "HTTP__LISTEN": ["8080", "localhost", ":", "a:b", "127.0.0.1:99999", "1:2:3", "127.0.0.1:80\n"],
    "HTTP__CONNECT_TIMEOUT": ["0"],
    "HTTP__READ_TIMEOUT": ["soon"],
    "HTTP__TOTAL_TIMEOUT": ["-5", "inf"],
    "HTTP__MAX_ANSWER_BYTES": ["10"],
    "HTTP__MAX_RETRY_WAIT": ["0"],
    "BUDGET__JITTER": ["2", "-0.1"],
    "LOG__FORMAT": ["xml"],
    "LOG__LEVEL": ["loud", "INFO"],
}  # fmt: skip
ANYTHING = {"FOLKFORM__ROLE_ID", "FOLKFORM__ACCOUNT", "KAFKA__BOOTSTRAP_SERVERS"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_wrong_value_is_refused_by_its_name_and_never_quoted(given: Setter, name: str, value: str) -> None:
    given(**{name: value})
    told = refused()
    assert PREFIX + name in told or (name.startswith("PANCAKE__BASE") and "pancake.base_url" in told)
    assert "CANARY" not in told


def test_every_setting_has_a_wrong_value_in_the_table() -> None:
    names = {f"{group}__{field}".upper() for group, field in setting_names()}
    assert names == {*WRONG, *ANYTHING}


def test_several_wrong_settings_are_all_named_at_once(given: Setter) -> None:
    given(SINK__LANES="0", POLLER__INTERVAL="x", LOG__LEVEL="loud")
    told = refused()
    assert all(PREFIX + name in told for name in ("SINK__LANES", "POLLER__INTERVAL", "LOG__LEVEL"))


@pytest.mark.parametrize(
    "name", ["SINK__LANE", "SINKS__LANES", "PANCAKE_ACCESS_TOKEN", "PANCAKE", "X", "LOG__", "TOKEN_FILE"]
)
def test_a_misspelt_name_is_refused_and_not_silently_without_effect(
    given: Setter, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "secret"
    file.write_text(CANARY)
    given(**{name: str(file) if name.endswith("_FILE") else CANARY})
    told = refused()
    assert PREFIX + name.removesuffix("_FILE") in told
    assert CANARY not in told


@pytest.mark.parametrize(
    "name",
    ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR",
     "SINK_SERVICE_HOST", "POLLER_PORT_8080_TCP_PROTO", "ADMIN_SERVICE_PORT"],
)  # fmt: skip
def test_what_kubernetes_puts_there_for_a_service_is_not_ours(given: Setter, name: str) -> None:
    given(**{name: "tcp://10.0.0.1:8080"})
    assert load() == Settings()


def test_a_webhook_secret_may_end_with_a_line_feed_and_is_never_shown(given: Setter) -> None:
    given(PANCAKE__WEBHOOK_SECRET=f"{CANARY}-hook-of-24-chars\n")
    assert load().pancake.webhook_secret.get_secret_value() == f"{CANARY}-hook-of-24-chars"
    assert CANARY not in repr(load())


def test_a_secret_comes_from_a_file_without_its_last_line_feed(given: Setter, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    given(PANCAKE__ACCESS_TOKEN_FILE=str(file))
    assert load().pancake.access_token.get_secret_value() == CANARY


def test_a_secret_in_the_environment_may_end_with_a_line_feed_too(given: Setter) -> None:
    # Kubernetes passes a Secret on with the line feed that somebody's editor left in it.
    given(PANCAKE__ACCESS_TOKEN=f" {CANARY}\n", FOLKFORM__TOKEN=f"{CANARY}\r\n")
    settings = load()
    assert settings.pancake.access_token.get_secret_value() == CANARY
    assert settings.folkform.token.get_secret_value() == CANARY


def test_any_setting_may_come_from_a_file(given: Setter, tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_text('["1", "2"]\n')
    given(PANCAKE__PAGE_IDS_FILE=str(file))
    assert load().pancake.page_ids == ("1", "2")


def test_a_value_and_a_file_for_it_are_refused_together(given: Setter, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(CANARY)
    given(FOLKFORM__TOKEN_FILE=str(file), FOLKFORM__TOKEN=CANARY)
    told = refused()
    assert PREFIX + "FOLKFORM__TOKEN_FILE" in told
    assert CANARY not in told


def test_a_file_that_cannot_be_read_is_named_by_its_variable(given: Setter, tmp_path: Path) -> None:
    given(FOLKFORM__TOKEN_FILE=str(tmp_path / "nowhere"))
    assert PREFIX + "FOLKFORM__TOKEN_FILE" in refused()
    broken = tmp_path / "broken"
    broken.write_bytes(b"\xff\xfe\x00")
    given(FOLKFORM__TOKEN_FILE=str(broken))
    assert PREFIX + "FOLKFORM__TOKEN_FILE" in refused()


@pytest.mark.parametrize(
    "url", ["http://pages.fm/api", "http://10.0.0.5:9101/api", "http://pancake.prod.svc/api"]
)
def test_tokens_do_not_travel_in_the_clear(given: Setter, url: str) -> None:
    given(PANCAKE__BASE_URL=url)
    assert "https" in refused()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9101/api",
        "http://[::1]:9101/api",
        "http://localhost/api",
        "http://simulator:9101/api",
    ],
)
def test_on_this_machine_or_its_own_network_they_may(given: Setter, url: str) -> None:
    given(PANCAKE__BASE_URL=url)
    assert load().pancake.base_url == url


def test_a_slash_at_the_end_of_a_base_url_does_not_matter(given: Setter) -> None:
    given(PANCAKE__BASE_URL="https://pages.fm/api/", FOLKFORM__BASE_URL="http://folkform:8080/api//")
    settings = load()
    assert (settings.pancake.base_url, settings.folkform.base_url) == (
        "https://pages.fm/api",
        "http://folkform:8080/api",
    )


def test_the_environment_goes_over_the_file_name_by_name(given: Setter, tmp_path: Path) -> None:
    config = written(tmp_path, "sink:\n  lanes: 3\n  item_attempts: 5\nlog:\n  level: debug\n")
    given(SINK__LANES="7")
    settings = load(config)
    assert (settings.sink.lanes, settings.sink.item_attempts, settings.log.level) == (7, 5, "debug")
    assert settings.sink.window_records == 2000


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load(written(tmp_path, text)) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sink: [", r"connector\.yaml is not YAML"),
        ("a: b\n  c: d\n", r"connector\.yaml is not YAML at line 2"),
        ("sink:\n\tlanes: 3\n", r"connector\.yaml is not YAML at line 2"),
        ("!!python/object:os.system x\n", r"connector\.yaml is not YAML"),
        ("log:\n  level: 2026-99-99\n", r"connector\.yaml is not YAML"),
        ("- sink\n", r"connector\.yaml must hold groups"),
        ("sink\n", r"connector\.yaml must hold groups"),
        ("1: 2\n", r"connector\.yaml must hold groups"),
        ("sinks:\n  lanes: 3\n", "CONNECTOR_SINKS"),
        ("sink:\n  lane: 3\n", "CONNECTOR_SINK__LANE"),
        ("sink:\n  lanes: many\n", "CONNECTOR_SINK__LANES"),
        ("sink: 3\n", "CONNECTOR_SINK"),
        ("sink:\n", "CONNECTOR_SINK"),
        (f"folkform:\n  token: [{CANARY}]\n", "CONNECTOR_FOLKFORM__TOKEN"),
        (f"redis:\n  url: {CANARY}\n", "CONNECTOR_REDIS__URL"),
        (f"kafka:\n  config:\n    sasl.password: [{CANARY}]\n", "CONNECTOR_KAFKA__CONFIG"),
    ],
)
def test_a_wrong_file_is_refused_and_says_where(tmp_path: Path, text: str, told: str) -> None:
    said = refused(written(tmp_path, text))
    assert re.search(told, said)
    assert CANARY not in said


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "nowhere.yaml" in refused(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_bytes(b"\xff\xfe\x00")
    assert "broken.yaml" in refused(broken)


def test_lines_are_for_machines_unless_somebody_is_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    assert log_format(LogSettings(format="console")) == "console"
    monkeypatch.setattr("sys.stderr", Terminal())
    assert log_format(LogSettings()) == "console"
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert log_format(LogSettings()) == "json"


def values(tokens: Iterable[SecretStr]) -> list[str]:
    return [token.get_secret_value() for token in tokens]


@pytest.mark.parametrize("text", ["a\nb\na\n", " a \n\n b\r\n", '["a", "b"]\n'])
def test_a_file_of_user_tokens_holds_one_a_line_or_a_list(given: Setter, tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text, "utf-8")
    given(PANCAKE__ACCESS_TOKENS_FILE=str(file), PANCAKE__ACCESS_TOKEN="b")
    assert values(load().pancake.user_tokens) == ["b", "a"]


def test_several_user_tokens_are_never_shown(given: Setter) -> None:
    given(PANCAKE__ACCESS_TOKENS=f'["{CANARY}"]')
    settings = load()
    assert values(settings.pancake.user_tokens) == [CANARY]
    assert CANARY not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


def test_a_user_token_that_was_exchanged_in_its_file_is_found_there(given: Setter, tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    one.write_text("a\n", "utf-8")
    several.write_text("b\n", "utf-8")
    given(PANCAKE__ACCESS_TOKEN_FILE=str(one), PANCAKE__ACCESS_TOKENS_FILE=str(several))
    held = load().pancake
    one.write_text("c\n", "utf-8")
    assert values(user_tokens(held)) == ["c", "b"]
    several.write_text("d\ne\n", "utf-8")
    assert values(user_tokens(held)) == ["c", "d", "e"]


def test_a_user_token_that_came_from_no_file_stays(given: Setter) -> None:
    given(PANCAKE__ACCESS_TOKEN="a")
    held = load().pancake
    given(PANCAKE__ACCESS_TOKEN="b")
    assert values(user_tokens(held)) == ["a"]


@pytest.mark.parametrize("text", [f"{CANARY} and more", f'["{CANARY}', f'["{CANARY} é"]', None])
def test_a_file_that_holds_no_token_any_more_is_said_and_never_quoted(
    given: Setter, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "tokens"
    file.write_text("a", "utf-8")
    name = "PANCAKE__ACCESS_TOKENS" if text and text.startswith("[") else "PANCAKE__ACCESS_TOKEN"
    given(**{f"{name}_FILE": str(file)})
    held = load().pancake
    file.unlink() if text is None else file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as problem:
        user_tokens(held)
    assert PREFIX + name in str(problem.value)
    assert CANARY not in str(problem.value) + problem.value.advice


def test_a_call_to_folkform_ends_before_the_session_does(given: Setter) -> None:
    assert load().call_timeout == 10.0
    given(FOLKFORM__CALL_TIMEOUT="15")
    assert "folkform.call_timeout: must be below" in refused()
    given(KAFKA__CONFIG='{"session.timeout.ms": 30000}')
    assert load().call_timeout == 15.0
    given(HTTP__TOTAL_TIMEOUT="4")
    assert load().call_timeout == 4.0
