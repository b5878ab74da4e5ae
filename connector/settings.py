"""
Every knob, read once: environment over an optional YAML file over defaults.

Variables carry the prefix ``CONNECTOR_`` and ``__`` between group and name. A secret may be given as
a file instead: the same name with ``_FILE``. What is unknown or wrong is refused at start.
"""

import ipaddress
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from connector.errors import ConfigError
from connector.model import Rate

PREFIX = "CONNECTOR_"
# With KIP-848 the timeout is the broker's (group.consumer.session.timeout.ms), whose default this is.
SESSION_MS = {"classic": 15_000, "consumer": 45_000}
_USER_TOKENS = {name: f"{PREFIX}PANCAKE__{name.upper()}" for name in ("access_token", "access_tokens")}
_SERVICE_LINK = re.compile(PREFIX + r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)")


def _rate(text: str) -> str:
    Rate.parse(text)
    return text


def _base_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("a base URL begins with http:// or https://")
    if "?" in text or "#" in text or "@" in text:
        raise ValueError("a base URL has no query, fragment or user in it")
    if not _names_a_host(text):
        raise ValueError("a base URL names a host, and a port below 65536 if any")
    return text.rstrip("/")


def _names_a_host(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", text)
    except ValueError:
        return False


def _token(value: SecretStr) -> SecretStr:
    # A Secret of Kubernetes often ends with the line feed of an editor; inside a token, anything that
    # no header and no query can hold is a mistake in copying it.
    text = value.get_secret_value().strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a token is one word of printable ASCII")
    return SecretStr(text)


def _redis_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if text and not (text.startswith(("redis://", "rediss://")) and _names_a_host(text)):
        raise ValueError(
            "a Redis URL is redis://host:port/number or rediss://…, with user:password@ if need be"
        )
    return SecretStr(text)


def _listen(text: str) -> str:
    if int(text.rpartition(":")[2]) > 65535:  # noqa: PLR2004
        raise ValueError("a port is below 65536")
    return text


def _path_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if text and not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", text):
        raise ValueError("16 to 256 letters, digits, - or _: it is a part of a URL's path")
    return SecretStr(text)


RateText = Annotated[str, AfterValidator(_rate)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
PathSecret = Annotated[SecretStr, AfterValidator(_path_secret)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Listen = Annotated[str, AfterValidator(_listen)]


class Group(BaseModel):
    """A group of settings: closed, so that a misspelt name is an error and not a silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PancakeSettings(Group):
    """The source."""

    base_url: BaseUrl = "https://pages.fm/api"
    access_token: Token = Field(SecretStr(""), description="user access token")
    access_tokens: tuple[Token, ...] = Field(
        (), repr=False, description="further user access tokens, JSON list; as a file also one a line"
    )
    page_ids: tuple[str, ...] = Field((), description="JSON list; empty: all activated pages")
    webhook_secret: PathSecret = Field(
        SecretStr(""), description="last part of /hooks/pancake/<secret> of poll; empty: no webhooks"
    )
    rate: RateText = Field("5/1s", description="calls per page")

    @property
    def user_tokens(self) -> tuple[SecretStr, ...]:
        """All user access tokens, each once."""
        every = (self.access_token, *self.access_tokens)
        return tuple(dict.fromkeys(token for token in every if token.get_secret_value()))


class FolkFormSettings(Group):
    """The target."""

    base_url: BaseUrl = "http://localhost:8080/api"
    token: Token = Field(SecretStr(""), description="bearer token")
    role_id: str = Field("", description="X-Active-Role-ID, 24 hexadecimal digits")
    rate: RateText = Field("100/60s", description="calls per account; off lifts the limit")
    account: str = Field("default", description="name of the shared limit: same name, same limit")
    call_timeout: float | None = Field(
        None,
        gt=0,
        description="seconds a whole call may take; below the session timeout, default two thirds of it",
    )
    dialect: Literal["auto", "generation1", "generation2", "generation3"] = Field(
        "auto", description="which generation of FolkForm's API is spoken; auto: found out by the first calls"
    )
    batch: int = Field(
        15, ge=1, le=20, description="conversations in one call where FolkForm has batch-upsert; 1: never"
    )
    body_bytes: int = Field(
        10_000_000, ge=100_000, description="largest body of several messages; FolkForm takes 10,485,760"
    )


class KafkaSettings(Group):
    """The broker."""

    bootstrap_servers: str = "localhost:9092"
    config: dict[str, str | int | float | bool] = Field(
        default_factory=dict, repr=False, description="further librdkafka properties, JSON"
    )
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$")
    partitions: int = Field(12, ge=1, le=10_000, description="for topics create")
    replication_factor: int | None = Field(
        None, ge=1, description="for topics create; default 3 or what there is"
    )
    group_protocol: Literal["classic", "consumer"] = "classic"


class RedisSettings(Group):
    """The shared budget."""

    url: RedisUrl = Field(SecretStr(""), description="redis:// or rediss://; empty: in-process budget")


class SchemaRegistrySettings(Group):
    """Where schemas live beside the package."""

    url: Literal[""] = Field("", description="empty: the schemas shipped with the package")


class PollerSettings(Group):
    """How the source is read."""

    interval: float = Field(
        1.0, gt=0, description="seconds between two live scans of a page where much is going on"
    )
    interval_max: float = Field(
        8.0, gt=0, description="seconds within which every page is scanned, however quiet it is"
    )
    overlap: float = Field(
        60.0, ge=0, description="seconds behind the watermark that a live scan reads again"
    )
    reconcile_interval: float = Field(
        86_400.0,
        ge=0,
        description="seconds between two slow full walks of a page that heal what was missed; 0: none",
    )
    deep_every: int = Field(
        30, ge=0, description="in so many full walks each conversation is read to its end once; 0: never"
    )
    lanes: int = Field(4, ge=1, le=64, description="calls of one page side by side")
    drain: float = Field(8.0, gt=0, le=15, description="seconds to finish what is under way when leaving")
    pages_interval: float = Field(300.0, gt=0, description="seconds between two looks at the list of pages")


class SinkSettings(Group):
    """How records become calls."""

    lanes: int = Field(64, ge=1, le=1024, description="conversations written side by side by one process")
    window_records: int = Field(2000, ge=1, description="most records of one partition in one batch")
    window_bytes: int = Field(16 * 2**20, ge=2**20, description="bytes of records held by the process")
    item_attempts: int = Field(3, ge=1, description="how often a record is refused before it is shelved")
    doubt_attempts: int = Field(
        5, ge=2, description="how often a record meets HTTP 500 while others pass before it is shelved"
    )
    rejects_in_row: int = Field(
        50, ge=1, description="conversations in a row with a dead letter at which the sink stops"
    )
    reject_share: float = Field(
        0.2, gt=0, le=1, description="share of the last 500 conversations with one at which the sink stops"
    )
    run_ahead: int | None = Field(
        None, ge=1, description="records beyond the committed offset that may be written; default 4 windows"
    )
    remembered: int = Field(50_000, ge=0, description="keys whose last written version the process remembers")
    drain: float = Field(8.0, gt=0, le=15, description="seconds to finish what is in flight when leaving")

    @property
    def ahead(self) -> int:
        """Records beyond the committed offset that may be written."""
        return self.run_ahead or 4 * self.window_records


class HttpSettings(Group):
    """Calls to both APIs, and our own small server."""

    listen: Listen = Field(
        "127.0.0.1:8080", pattern=r"^[^:]*:\d+$", description="livez, readyz, metrics; port 0: any"
    )
    connect_timeout: float = Field(10.0, gt=0)
    read_timeout: float = Field(30.0, gt=0)
    total_timeout: float = Field(60.0, gt=0, description="a whole call, however slowly it drips")
    max_answer_bytes: int = Field(32 * 2**20, ge=2**10)
    max_retry_wait: float = Field(60.0, gt=0, description="longest wait between two tries of a call")


class BudgetSettings(Group):
    """The rate budget."""

    jitter: float = Field(
        0.005, ge=0, le=1, description="share of the period kept free for calls that arrive unevenly"
    )


class LogSettings(Group):
    """What is said on stderr."""

    format: Literal["console", "json"] | None = Field(
        None, description="default: console on a terminal, else json"
    )
    level: Literal["debug", "info", "warning", "error"] = "info"


class _EnvironmentWithFiles(EnvSettingsSource):
    """The environment, in which ``NAME_FILE`` stands for the content of a file."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in _environment()}


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if not name.startswith(PREFIX):
            continue
        if _SERVICE_LINK.fullmatch(name):
            # Kubernetes puts these into every pod for a Service whose name begins with "connector".
            continue
        if not name.endswith("_FILE"):
            yield name, value
            continue
        if name.removesuffix("_FILE") in os.environ:
            raise ConfigError(f"{name} and {name.removesuffix('_FILE')} are both set", advice="unset one")
        try:
            secret = name.removesuffix("_FILE")
            text = Path(value).read_text("utf-8").strip()
            yield secret, _one_a_line(text) if secret == _USER_TOKENS["access_tokens"] else text
        except (OSError, UnicodeDecodeError) as problem:
            raise ConfigError(
                f"{name}: the file cannot be read: {type(problem).__name__}",
                advice="check the path and its rights",
            ) from None


def _one_a_line(text: str) -> str:
    """The JSON list that a file of lines stands for."""
    return text if text.startswith("[") else json.dumps(text.split())


def folkform_token(held: FolkFormSettings) -> SecretStr:
    """
    FolkForm's token as its file holds it now; that of the start when it was not given as a file.

    Raises:
        ConfigError: the file cannot be read, or what it holds is no token.
    """
    variable = f"{PREFIX}FOLKFORM__TOKEN"
    if f"{variable}_FILE" not in os.environ:
        return held.token
    try:
        return _token(SecretStr(dict(_environment())[variable]))
    except ValueError as problem:
        raise ConfigError(f"{variable}_FILE: {problem}", advice="one token, nothing else") from None


def user_tokens(held: PancakeSettings) -> tuple[SecretStr, ...]:
    """
    The user access tokens as they stand now: Kubernetes exchanges the files of a Secret in place.

    Raises:
        ConfigError: a file cannot be read, or what it holds is no token.
    """
    files = {name: variable for name, variable in _USER_TOKENS.items() if f"{variable}_FILE" in os.environ}
    given = dict(_environment())
    values: dict[str, Any] = {name: given[variable] for name, variable in files.items()}
    try:
        if "access_tokens" in values:
            values["access_tokens"] = json.loads(values["access_tokens"])
        return PancakeSettings.model_validate({**dict(held), **values}).user_tokens
    except (ValidationError, ValueError) as problem:
        raise ConfigError(
            f"{', '.join(files.values())}: the file holds no token ({type(problem).__name__})",
            advice="one token a line, or a JSON list",
        ) from None


class Settings(BaseSettings):
    """All settings. Build it with ``load``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    pancake: PancakeSettings = PancakeSettings()
    folkform: FolkFormSettings = FolkFormSettings()
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    poller: PollerSettings = PollerSettings()
    sink: SinkSettings = SinkSettings()
    http: HttpSettings = HttpSettings()
    budget: BudgetSettings = BudgetSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _credentials_travel_encrypted(self) -> "Settings":
        url = self.pancake.base_url
        if url.startswith("http://") and not _is_local(url):
            raise ValueError(
                "pancake.base_url: tokens ride in the query, so it must be https:// outside this machine"
            )
        return self

    @model_validator(mode="after")
    def _calls_end_before_the_session(self) -> "Settings":
        # A frozen sink's call must be over when its partitions have a new owner.
        wanted = self.folkform.call_timeout
        if wanted is not None and wanted >= self.session_timeout:
            limit = f"{self.session_timeout:g} s"
            raise ValueError(f"folkform.call_timeout: must be below the sinks' session timeout, {limit}")
        return self

    @property
    def session_timeout(self) -> float:
        """Seconds after which the group misses a member."""
        given = self.kafka.config.get("session.timeout.ms", SESSION_MS[self.kafka.group_protocol])
        return float(given) / 1000

    @property
    def call_timeout(self) -> float:
        """Seconds that a whole call to FolkForm may take."""
        wanted = self.folkform.call_timeout or self.session_timeout * 2 / 3
        return min(wanted, self.http.total_timeout)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return _EnvironmentWithFiles(settings_cls), init_settings


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # A name without a dot is a neighbour on a private network (compose, Kubernetes).
        return "." not in host


def load(config: Path | None = None) -> Settings:
    """
    Read the settings.

    Raises:
        ConfigError: naming each setting that is wrong and what is allowed; never a secret's value.
    """
    values = _read_yaml(config) if config else {}
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except SettingsError:
        names = ", ".join(_broken_json()) or "a list or a mapping"
        raise ConfigError(
            f"{names}: not valid JSON", advice="quote it for the shell, like '[\"1\"]'"
        ) from None
    except ValidationError as problem:
        raise ConfigError(_explain(problem), advice="see `connector --help` and docs/SETTINGS.md") from None


def _broken_json() -> Iterator[str]:
    for name, value in _environment():
        if name in (f"{PREFIX}PANCAKE__PAGE_IDS", _USER_TOKENS["access_tokens"], f"{PREFIX}KAFKA__CONFIG"):
            try:
                json.loads(value)
            except ValueError:
                yield name


def _refuse_unknown_variables() -> None:
    # pydantic-settings reads only the names that it knows: a misspelt variable would be silently
    # without effect.
    known = {f"{PREFIX}{group}__{name}".upper() for group, name in setting_names()}
    unknown = sorted(name for name, _ in _environment() if name.upper() not in known)
    if unknown:
        near = ", ".join(unknown)
        raise ConfigError(f"unknown setting: {near}", advice="the names are in docs/SETTINGS.md")


def setting_names() -> Iterator[tuple[str, str]]:
    """Every (group, name) there is."""
    for group, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name in kind.model_fields:
                yield group, name


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(
            f"{path} cannot be read: {type(problem).__name__}", advice="check --config"
        ) from None
    # A date that there is not comes through PyYAML as a plain ValueError.
    except (yaml.YAMLError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{where}", advice="check the indentation there") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ConfigError(
            f"{path} must hold groups of settings, such as `kafka:`", advice="see docs/SETTINGS.md"
        )
    return values


def _explain(problem: ValidationError) -> str:
    # A pydantic message may quote its input, and the input may be a secret: only its own sentence is kept.
    lines = []
    for error in problem.errors(include_url=False, include_input=False, include_context=False):
        name = PREFIX + "__".join(str(part).upper() for part in error["loc"]) if error["loc"] else "settings"
        lines.append(f"{name}: {error['msg']}")
    return "; ".join(lines)


def log_format(settings: LogSettings) -> str:
    """``console`` or ``json``: what was asked for, else by whether a person is looking."""
    return settings.format or ("console" if sys.stderr.isatty() else "json")
