"""The budget that all processes share. This module alone speaks to Redis."""

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from connector.budget.budget import ScheduledBudget
from connector.budget.gcra import Answer, Ask, ScheduleLostError
from connector.budget.pace import BudgetOptions
from connector.clock import Clock

ANSWER_TIMEOUT = 0.1
CONNECT_TIMEOUT = 0.2
SCRIPT = files("connector.budget").joinpath("gcra.lua").read_text(encoding="utf-8")


class RedisSchedule:
    """Schedules in Redis: one script call per question, on two keys of one cluster slot."""

    def __init__(self, url: str, prefix: str) -> None:
        # No retries: a call whose answer is lost may have moved the schedule, and a second one
        # would move it again. A wasted moment is cheaper.
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._script = self._redis.register_script(SCRIPT)
        self._prefix = prefix

    async def ask(self, name: str, ask: Ask) -> Answer:
        key = f"{self._prefix}:{{{name}}}"
        try:
            # EVALSHA; on NOSCRIPT (restart, flush) it loads the script and sends again.
            reply: Any = await self._script(keys=[key, f"{key}:seen"], args=arguments(ask))
        except (RedisError, OSError, TimeoutError) as error:
            # The name only: what Redis says may quote its address, its user or our arguments.
            raise ScheduleLostError(type(error).__name__) from error
        granted, wait, ahead, processes = (int(number) for number in reply)
        return Answer(bool(granted), wait, ahead, processes)

    async def close(self) -> None:
        await self._redis.aclose()


class RedisBudget(ScheduledBudget):
    """Keeps each limit for all processes together; without Redis each goes on with its own share."""

    def __init__(self, url: str, clock: Clock, options: BudgetOptions | None = None) -> None:
        options = options or BudgetOptions()
        super().__init__(RedisSchedule(url, options.prefix), clock, options)


def arguments(ask: Ask) -> list[str | int]:
    """The script's ARGV, in its order."""
    numbers = (ask.cost, ask.known, ask.cold, ask.block, int(ask.soft))
    return [ask.member, *numbers]
