"""
Faults by script: which call goes wrong, how, and how often.

A rule is data, so that it can be set in code or posted to ``/_sim/faults`` while the simulator runs.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from connector.clock import Clock
from connector.errors import ConfigError
from connector.simulator.replies import JSON, Reply

HTML = "text/html; charset=utf-8"

Action = Literal[
    "status", "error", "reset", "hang", "swallow", "truncate", "cut", "empty", "slow", "content_type",
    "kill_token", "act", "partial",
]  # fmt: skip
Work = Callable[[], Awaitable[Reply]]
ErrorBody = Callable[[int | str, str], bytes]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    One way in which calls go wrong.

    ``action``:
        ``status``        answer ``status`` with ``body`` (JSON or HTML, by ``content_type``)
        ``error``         the service's own error body with ``code`` and ``message``; ``status`` says how
        ``reset``         break the connection
        ``hang``          wait ``seconds``, then go on as if nothing had happened
        ``swallow``       wait ``seconds``, then break the connection; the call is never applied
        ``truncate``      the true answer cut in half (complete HTTP, broken JSON)
        ``cut``           the true answer's length, half of its bytes, then a reset
        ``empty``         ``status`` with no body
        ``slow``          the true answer spread over ``seconds``
        ``content_type``  the true answer labelled as ``content_type``
        ``kill_token``    Pancake: somebody else regenerates the page's token just before this call
        ``act``           ``verb`` with ``arguments`` is done just before this call: a message arrives, a
                          conversation moves or vanishes in the middle of paging
        ``partial``       FolkForm: the thread's metadata is stored, its messages fail with a 500
    """

    action: Action
    route: str = "*"
    """Shell pattern on the route's name, as the counters print it."""
    where: str = ""
    """Part of ``<page id>/<conversation id>``; empty meets every call."""
    after: bool = False
    """Apply the call first, then spoil its answer."""
    times: int | None = None
    """How many calls it hits; None = all of them, for ever."""
    skip: int = 0
    """How many matching calls pass before the first hit."""
    probability: float = 1.0
    seed: int = 0
    status: int = 200
    code: int | str = 500
    message: str = "Internal Server Error"
    body: str = ""
    content_type: str = ""
    headers: dict[str, str] = {}
    seconds: float = 0.0
    verb: str = ""
    arguments: dict[str, object] = {}


@dataclass(slots=True)
class Armed:
    """A rule at work: what it has met and hit so far."""

    rule: Rule
    chance: random.Random
    met: int = 0
    hits: int = 0

    def strikes(self, route: str, subject: str) -> bool:
        rule = self.rule
        if not fnmatchcase(route, rule.route) or rule.where not in subject:
            return False
        if rule.times is not None and self.hits >= rule.times:
            return False
        self.met += 1
        if self.met <= rule.skip or self.chance.random() >= rule.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules of one simulator; the first that strikes wins."""

    def __init__(self) -> None:
        self.armed: list[Armed] = []

    def add(self, rule: Rule) -> None:
        self.armed.append(Armed(rule, random.Random(rule.seed)))

    def clear(self) -> None:
        self.armed.clear()

    def load(self, body: bytes) -> int:
        """
        Add the rule, or list of rules, of a JSON body; return how many.

        Raises:
            ConfigError: the body is not such JSON; nothing was added.
        """
        try:
            rules = msgspec.json.decode(body, type=Rule | list[Rule])
        except msgspec.MsgspecError as error:
            raise ConfigError(f"fault rule: {error}", advice="see docs/SIMULATORS.md") from None
        listed = [rules] if isinstance(rules, Rule) else rules
        for rule in listed:
            self.add(rule)
        return len(listed)

    def listed(self) -> list[dict[str, object]]:
        return [{**msgspec.to_builtins(a.rule), "met": a.met, "hits": a.hits} for a in self.armed]

    def strike(self, route: str, subject: str) -> Rule | None:
        if not self.armed:
            return None
        return next((a.rule for a in self.armed if a.strikes(route, subject)), None)


@dataclass(frozen=True, slots=True)
class Striker:
    """Carries rules out in one service's own words."""

    clock: Clock
    error_body: ErrorBody

    async def apply(self, rule: Rule, work: Work) -> Reply:
        match rule.action:
            case "hang":
                return await self._hang(rule, work)
            case "truncate" | "cut" | "slow" | "content_type":
                return self._spoilt(rule, await work())
            case "swallow":
                await self.clock.sleep(rule.seconds)
                return Reply(200, b"", delivery="abort")
            case _:
                if rule.after:
                    await work()
                return self._instead(rule)

    async def _hang(self, rule: Rule, work: Work) -> Reply:
        if rule.after:
            reply = await work()
            await self.clock.sleep(rule.seconds)
            return reply
        await self.clock.sleep(rule.seconds)
        return await work()

    def _spoilt(self, rule: Rule, true: Reply) -> Reply:
        match rule.action:
            case "truncate":
                return replace(true, body=true.body[: len(true.body) // 2])
            case "cut":
                return replace(true, delivery="cut", seconds=rule.seconds)
            case "slow":
                return replace(true, delivery="slow", seconds=rule.seconds)
            case _:
                return replace(true, content_type=rule.content_type or HTML)

    def _instead(self, rule: Rule) -> Reply:
        match rule.action:
            case "reset":
                return Reply(200, b"", delivery="abort")
            case "empty":
                return Reply(rule.status, b"", rule.content_type or JSON, rule.headers)
            case "error":
                return Reply(rule.status, self.error_body(rule.code, rule.message), JSON, rule.headers)
            case _:
                page = f"<html><body><h1>{rule.status} {rule.message}</h1></body></html>"
                body = rule.body or page
                looks = JSON if body[:1] in "{[" else HTML
                return Reply(rule.status, body.encode(), rule.content_type or looks, rule.headers)
