"""``python -m connector.cli.settings_doc``: docs/SETTINGS.md, written from the settings themselves."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from connector.settings import PREFIX, Settings

# What a description has no room for.
NOTES: Mapping[str, str] = {
    "pancake.base_url": "`/v1/…` and `/public_api/…` are appended. Tokens ride in the query, so it must be "
    "https, except to this machine or to a name without a dot",
    "pancake.rate": "`<calls>/<period>`, such as `5/1s`; the limit is Pancake's, shared with every other "
    "program on the page",
    "folkform.base_url": "`/v1/…` is appended. The token rides in a header: give https outside a private "
    "network",
    "folkform.rate": "`<calls>/<period>`, such as `100/60s`",
    "kafka.bootstrap_servers": "`host:port`, several with commas",
    "kafka.config": "such as `security.protocol` and `sasl.*`; it may hold a password, so give it as a file. "
    "What the promise rests on (acks, idempotence, offset handling) cannot be changed by it",
    "kafka.topic_prefix": "put before the name of every topic and of the two consumer groups",
    "kafka.group_protocol": "`consumer` is KIP-848: the broker decides about assignment and timeouts",
    "redis.url": "with more than one process of any kind it must be set, or each keeps the limit for itself",
    "http.connect_timeout": "seconds until a connection to an API must stand",
    "http.read_timeout": "seconds without a byte of an answer",
    "http.max_answer_bytes": "a longer answer is not read to its end",
    "log.level": "of our own lines; those of libraries are warnings and worse",
}
HEAD = f"""\
# Settings

<!-- Generated: .venv/bin/python -m connector.cli.settings_doc > docs/SETTINGS.md. -->

Each is an environment variable: `{PREFIX}`, the group, two underscores, the name. Lists and mappings are
JSON. An optional YAML file (`connector --config FILE …`) holds the same names in groups; the environment
goes before it.

```yaml
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
  config: {{security.protocol: SSL}}
sink:
  lanes: 64
```

Every variable may be given as a file instead: the same name with `_FILE`, its value the path. Secrets
should be. A variable with the prefix that is not in this list, and a value that is not allowed, are
refused at start (exit code 2); no secret's value is ever repeated in the message.
"""


@click.command()
def settings_doc() -> None:
    """Print docs/SETTINGS.md."""
    click.echo(page(), nl=False)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_groups()])


def meaning(group: str, name: str, field: FieldInfo) -> str:
    """What a setting is for: its description, and what that has no room for."""
    return "; ".join(part for part in (field.description, NOTES.get(f"{group}.{name}")) if part)


def _groups() -> Iterator[str]:
    for group, outer in Settings.model_fields.items():
        kind = outer.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"## {group}\n\n{kind.__doc__}\n"
            yield "| variable | default | allowed | meaning |\n|---|---|---|---|"
            allowed = kind.model_json_schema()["properties"]
            for name, field in kind.model_fields.items():
                cells = [
                    f"`{PREFIX}{group}__{name}`".upper(),
                    _default(field),
                    _allowed(allowed[name]),
                    meaning(group, name, field),
                ]
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
            yield ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr) or value in (None, ""):
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`"


def _allowed(schema: Mapping[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(_kind(one) for one in options)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`" if schema["const"] else "empty"
    if schema.get("format") == "password":
        return "secret"
    if "pattern" in schema:
        return f"text like `{schema['pattern']}`"
    words = {"string": "text", "array": "JSON list", "object": "JSON object"}
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    limits = [f"{sign} {schema[bound]}" for bound, sign in bounds.items() if bound in schema]
    return " ".join([words.get(schema["type"], schema["type"]), ", ".join(limits)]).strip()


if __name__ == "__main__":
    settings_doc()
