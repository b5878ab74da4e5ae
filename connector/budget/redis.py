"""The budget that all processes share. This module alone speaks to Redis."""

import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from connector.budget.budget import ScheduledBudget
from connector.budget.gcra import Answer, Ask, Refusal, ScheduleLostError
from connector.budget.learnt import Learnt
from connector.budget.pace import SECOND, BudgetOptions
from connector.clock import Clock

ANSWER_TIMEOUT = 0.1
CONNECT_TIMEOUT = 0.2
SCRIPT = files("connector.budget").joinpath("gcra.lua").read_text(encoding="utf-8")


class RedisSchedule:
    """Schedules in Redis: one script call per question, on two keys of one cluster slot."""

    def __init__(self, url: str, clock: Clock, prefix: str) -> None:
        # No retries: a call whose answer is lost may have moved the schedule, and a second one
        # would move it again. A wasted moment is cheaper.
        self._clock = clock
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._redis.register_script(SCRIPT)
        self._prefix = prefix
        # Microseconds from our clock to the one that the schedules go by.
        self._lead = clock.epoch_ms() * 1000 - self._own_time()

    async def ask(self, name: str, ask: Ask) -> Answer:
        key = f"{self._prefix}:{{{name}}}"
        own = self._own_time()
        try:
            # EVALSHA; on NOSCRIPT (restart, flush) it loads the script and sends again.
            reply: Any = await self._script(keys=[key, f"{key}:seen"], args=arguments(ask, own + self._lead))
        except (RedisError, OSError, TimeoutError) as error:
            # The name only: what Redis says may quote its address, its user or our arguments.
            raise ScheduleLostError(type(error).__name__) from error
        answer = answered(reply)
        # A Redis that refuses TIME to scripts goes by the clock that is furthest ahead: all follow it.
        self._lead = answer.now - own
        return answer

    async def close(self) -> None:
        await self._redis.aclose()

    def _own_time(self) -> int:
        return math.floor(self._clock.monotonic() * SECOND)


class RedisBudget(ScheduledBudget):
    """Keeps each limit for all processes together; without Redis each goes on with its own share."""

    def __init__(self, url: str, clock: Clock, options: BudgetOptions | None = None) -> None:
        options = options or BudgetOptions()
        super().__init__(RedisSchedule(url, clock, options.prefix), clock, options)


def answered(reply: Sequence[Any]) -> Answer:
    """The script's reply, in its order."""
    granted, wait, ahead, processes, yields, now, *learnt = (int(number) for number in reply)
    return Answer(bool(granted), wait, ahead, processes, bool(yields), now, Learnt(*learnt))


def arguments(ask: Ask, clock: int) -> list[str | int]:
    """The script's ARGV, in its order; ``clock``: microseconds since 1970, for a Redis that does not tell."""
    moment = (ask.cost, ask.extra, ask.rank, ask.known, ask.cold, ask.join, ask.block, int(ask.soft))
    refusal = ask.refusal or Refusal(left=-1, grace=0, brief=0)
    learnt = ask.learnt
    memory = (learnt.cuts, learnt.top, learnt.base, learnt.passed, learnt.streak, learnt.cap, ask.cap)
    return [ask.member, clock, *moment, refusal.left, refusal.grace, refusal.brief, *memory]
