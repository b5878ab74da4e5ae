"""The leases of pages' tokens: in Redis for all processes, or in this one alone. No token gets here."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from connector.budget.ledger import Ledger, Replacement, Terms
from connector.clock import Clock
from connector.model import Claim, Verdict

ANSWER_TIMEOUT = 1.0
SEND_WINDOW = 15.0
MARGIN = 15.0
MEMORY = 600.0  # seconds in which no second token is made for a page
PATIENCE = 10.0  # seconds, at most, in which another process that nobody knows of may come first
SCRIPT = files("connector.budget").joinpath("leases.lua").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """
    Seconds of which a lease is made, and for which a token that was made is remembered.

    A call goes on the wire within ``window`` after the lease was confirmed, is over for us
    ``call_timeout`` later, and for Pancake ``margin`` after that; then the lease may end.
    """

    call_timeout: float
    window: float = SEND_WINDOW
    margin: float = MARGIN
    memory: float = MEMORY
    prefix: str = "connector"

    @property
    def terms(self) -> Terms:
        lease = self.window + self.call_timeout + self.margin
        return Terms(math.ceil(lease * 1000), math.ceil(self.memory * 1000))


class RedisLeases:
    """
    Leases that all processes share.

    They live as long as Redis says, and a process asks its own clock how long it may still use one,
    counted from before it asked: so a slow answer does not make two of them overlap.
    """

    def __init__(self, url: str, clock: Clock, options: LeaseOptions) -> None:
        # No retries: a claim whose answer is lost is left to lapse.
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=ANSWER_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._redis.register_script(SCRIPT)
        self._clock = clock
        self._options = options

    async def claim(self, page_id: str, nonce: str, refused: str) -> Claim:
        answer = await self._ask("claim", page_id, nonce, refused)
        return Claim(Verdict(answer[0]), answer[1] / 1000) if answer else Claim(Verdict.AWAY)

    async def confirm(self, page_id: str, nonce: str) -> float | None:
        asked = self._clock.monotonic()
        answer = await self._ask("confirm", page_id, nonce)
        return asked + self._options.window if answer and answer[0] == "held" else None

    async def record(self, page_id: str, nonce: str, refused: str, made: str) -> None:
        await self._ask("record", page_id, nonce, refused, made)

    async def give_back(self, page_id: str, nonce: str) -> None:
        await self._ask("give_back", page_id, nonce)

    async def warm_up(self) -> None:
        await self._ask("warm_up", "", "")

    async def close(self) -> None:
        await self._redis.aclose()

    async def _ask(
        self, verb: str, page_id: str, nonce: str, refused: str = "", made: str = ""
    ) -> tuple[str, int] | None:
        """The script's answer; None when there is none, and then nobody knows whether it ran."""
        terms = self._options.terms
        arguments: list[str | int] = [verb, nonce, terms.lease, terms.memory, refused, made]
        try:
            said: Any = await self._script(keys=self._keys(page_id), args=arguments)
        except (RedisError, OSError, TimeoutError):
            # Why is said by the budget, which asks the same server far more often.
            return None
        word, number = said
        return word.decode(), int(number)

    def _keys(self, page_id: str) -> Sequence[str]:
        tag = f"{self._options.prefix}:{{custody}}"
        return [f"{tag}:run", f"{tag}:cold", f"{tag}:lease:{page_id}", f"{tag}:made:{page_id}"]


class LocalLeases:
    """
    Leases of this process alone.

    Another process that makes tokens is not known of: so whoever gets a lease is patient for a random
    while and reads the list once more, and most often finds what the other has made.
    """

    def __init__(self, clock: Clock, options: LeaseOptions, dice: random.Random | None = None) -> None:
        self._clock = clock
        self._options = options
        self._terms = options.terms
        self._dice = dice or random.Random()  # noqa: S311 - it spreads waits, it keeps no secret
        self._ledger = Ledger()

    async def claim(self, page_id: str, nonce: str, refused: str) -> Claim:
        verdict, wait = self._ledger.claim(page_id, nonce, refused, self._terms, self._now())
        patience = self._dice.uniform(0.0, PATIENCE) if verdict is Verdict.HELD else wait / 1000
        return Claim(verdict, patience)

    async def confirm(self, page_id: str, nonce: str) -> float | None:
        held = self._ledger.confirm(page_id, nonce, self._terms, self._now())
        return self._clock.monotonic() + self._options.window if held else None

    async def record(self, page_id: str, nonce: str, refused: str, made: str) -> None:
        self._ledger.record(page_id, nonce, Replacement(refused, made, self._now() + self._terms.memory))

    async def give_back(self, page_id: str, nonce: str) -> None:
        self._ledger.give_back(page_id, nonce)

    async def warm_up(self) -> None:
        """Nothing is forgotten here while the process lives."""

    async def close(self) -> None: ...

    def _now(self) -> int:
        return round(self._clock.monotonic() * 1000)
