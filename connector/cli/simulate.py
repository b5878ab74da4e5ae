"""``connector simulate``: both APIs on this machine, to rehearse with."""

import asyncio
import re
import signal
from typing import Any, Literal, Protocol

import click
import msgspec

from connector.errors import ConfigError
from connector.simulator import oddities
from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions, Latency, PancakeOptions, change
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.variants import as_observed
from connector.simulator.world import World, WorldConfig

Rate = tuple[int, float]
GENERATIONS: dict[str, Literal[1, 2, 3]] = {"1": 1, "2": 2, "3": 3}
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)s")


class Simulator(Protocol):
    """What runs until a signal comes."""

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str: ...

    async def stop(self) -> None: ...


class _Rate(click.ParamType[Rate | None]):
    name = "calls/seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Rate | None:
        if value == "off" or not isinstance(value, str):
            return None
        found = _RATE.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not <calls>/<seconds>s, such as 100/60s, nor off", param, ctx)
        return int(found[1]), float(found[2])


class _Latency(click.ParamType[Latency]):
    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Latency:
        if isinstance(value, float):
            return value
        try:
            parts = [float(part) for part in str(value).split("-")]
        except ValueError:
            parts = []
        match parts:
            case [one]:
                return one
            case [low, high]:
                return low, high
        problem = f"{value!r} is neither seconds (0.02) nor a range of them (0.01-0.2)"
        raise click.BadParameter(problem, ctx=ctx, param=param)


class _Field(click.ParamType[tuple[str, object]]):
    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, object]:
        name, sign, text = str(value).partition("=")
        if not sign:
            self.fail(f"{value!r} is not <name>=<value>", param, ctx)
        try:
            return name, msgspec.json.decode(text)
        except msgspec.DecodeError:
            return name, text


_host = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
_port = click.option("--port", default=0, show_default="any free", help="Port to listen on.")
_latency = click.option(
    "--latency", type=_Latency(), default=0.0, show_default=True, help="Seconds before an answer, or a range."
)


@click.group(epilog="Example:  connector simulate pancake --port 9101 --activity 2")
def simulate() -> None:
    """Run a simulator of one of the two APIs, for rehearsal; docs/SIMULATORS.md has every switch."""


@simulate.command(
    epilog="Example:  connector simulate pancake --port 9101 --pages 3 --conversations 200 --activity 5"
)
@_host
@_port
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--pages", default=2, show_default=True, help="Pages of the one account.")
@click.option("--conversations", default=10, show_default=True, help="Conversations on each page.")
@click.option("--messages", default="20", show_default=True, help="Messages each; 'production' = mean 27.4.")
@click.option("--activity", default=0.0, show_default=True, help="Changes a second, over all pages.")
@click.option("--plain", is_flag=True, help="Small objects instead of realistic ones.")
@click.option("--token", default="sim-user-token", show_default=True, help="User access token to accept.")
@click.option("--rate", type=_Rate(), default="5/1s", show_default=True, help="Limit of each page, or off.")
@click.option("--refusal", type=click.Choice(["http", "body", "mixed"]), default="mixed", show_default=True,
              help="How a call over the limit is refused.")  # fmt: skip
@click.option("--window", type=click.Choice(["sliding", "fixed", "bucket"]), default="sliding",
              show_default=True, help="What the limit counts in.")  # fmt: skip
@click.option("--foreign", default=0.0, show_default=True, help="Calls a second of somebody else, per page.")
@_latency
@click.option("--page-size", default=60, show_default=True, help="Conversations a call returns.")
@click.option("--message-page-size", default=30, show_default=True, help="Messages a call returns.")
@click.option("--oldest-first", is_flag=True, help="Order within a page of messages.")
@click.option("--signed-urls", is_flag=True, help="Attachment URLs differ on each read.")
@click.option("--without-customer", default=0.0, show_default=True, help="Share without customer_id.")
@click.option("--odd", multiple=True, type=click.Choice([*oddities.EVERY, "all"]), metavar="NAME",
              help="Rare contents to draw from, or all; may be repeated.")  # fmt: skip
@click.option("--webhook-url", default="", show_default="none", help="Where every change is posted to.")
@click.option(
    "--as-observed", is_flag=True, help="Noise, missing codes and rare statuses as the contract has."
)
@click.option("--set", "fields", multiple=True, type=_Field(), metavar="NAME=VALUE",
              help="Any field of docs/SIMULATORS.md, such as read_lag=5; may be repeated.")  # fmt: skip
def pancake(**options: Any) -> None:
    """Pancake: seeded pages, conversations and messages, with the limit of 5 calls a second per page."""
    world = World(
        WorldConfig(
            seed=options["seed"],
            pages=options["pages"],
            conversations_per_page=options["conversations"],
            activity_per_second=options["activity"],
            plain=options["plain"],
            without_customer=options["without_customer"],
            odd=oddities.EVERY if "all" in options["odd"] else options["odd"],
            **_messages(options["messages"]),
        )
    )
    _run(PancakeSimulator(world, options=_pancake_options(options)), options["host"], options["port"])


@simulate.command(epilog="Example:  connector simulate folkform --port 9102 --rate off --latency 0.02")
@_host
@_port
@click.option("--rate", type=_Rate(), default="100/60s", show_default=True, help="Limit per client, or off.")
@_latency
@click.option("--token", default="sim-folkform-token", show_default=True, help="Bearer token to accept.")
@click.option("--role-id", default="65a000000000000000000001", show_default=True, help="X-Active-Role-ID.")
@click.option(
    "--generation", type=click.Choice(["1", "2", "3"]), default="1", show_default=True, help="Of the backend."
)
@click.option("--batch", default=0, show_default="not there", help="Conversations that batch-upsert takes.")
@click.option("--digests-only", is_flag=True, help="Keep a SHA-256 of each message, for millions of them.")
def folkform(**options: Any) -> None:
    """FolkForm, of whichever generation: 100 calls a minute; in the first, last arrival wins."""
    chosen = FolkFormOptions(
        generation=GENERATIONS[options["generation"]],
        batch_upsert=options["batch"],
        token=options["token"],
        role_id=options["role_id"],
        rate=options["rate"],
        latency=options["latency"],
        keep="digest" if options["digests_only"] else "bytes",
    )
    _run(FolkFormSimulator(options=chosen), options["host"], options["port"])


def _messages(given: str) -> dict[str, Any]:
    if given == "production":
        return {"shape": "production"}
    if not given.isdecimal():
        raise click.BadParameter("a number, or production", param_hint="--messages")
    return {"messages_per_conversation": int(given)}


def _pancake_options(given: dict[str, Any]) -> PancakeOptions:
    rate = given["rate"]
    if rate is not None and rate[1] != 1:
        raise click.BadParameter("Pancake counts calls in one second: <calls>/1s", param_hint="--rate")
    chosen = as_observed(given["seed"]) if given["as_observed"] else PancakeOptions(seed=given["seed"])
    named = {
        "user_tokens": [given["token"]],
        "rate": rate[0] if rate else None,
        "refusal": given["refusal"],
        "window": given["window"],
        "latency": given["latency"],
        "conversation_page": given["page_size"],
        "message_page": given["message_page_size"],
        "message_order": "oldest_first" if given["oldest_first"] else "newest_first",
        "signed_urls_change": given["signed_urls"],
        "webhook_url": given["webhook_url"],
    }
    if given["foreign"]:
        named["foreign_rate"] = given["foreign"]
    try:
        change(chosen, named | dict(given["fields"]))
    except ConfigError as error:
        raise click.BadParameter(f"{error} ({error.advice})", param_hint="--set") from None
    return chosen


def _run(simulator: Simulator, host: str, port: int) -> None:
    try:
        asyncio.run(_until_told(simulator, host, port))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None


async def _until_told(simulator: Simulator, host: str, port: int) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    url = await simulator.start(port, host)
    click.echo(f"listening on {url}")
    await told.wait()
    await simulator.stop()
