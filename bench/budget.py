"""The rate budget against a real Redis, with a limit that never makes anybody wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

from redis.asyncio import Redis

from bench.figures import Baseline, Figure, Plan, Result, at_most
from connector.budget import RedisBudget
from connector.clock import SystemClock
from connector.model import Rate, Scope
from tests.services.redis import server_for_tests

TASKS = 64
PAGES = 100
FREE = Rate(1_000_000, 1.0)

Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Grants a second, and calls to Redis for each."""

    rate: float
    calls: float


def measure(plan: Plan) -> Result:
    asks = 1_000 if plan.quick else 10_000
    with server_for_tests() as server:
        found = [asyncio.run(_all(server.url, asks, plan)) for _ in range(plan.repeats)]
    pings = Baseline("pings of Redis", [paces["ping"].rate for paces in found])
    figures = []
    for name in ("one scope", f"{PAGES} scopes"):
        rates = [paces[name].rate for paces in found]
        figures.append(Figure(f"budget: {name}", "grants/s", rates, None, pings))
        calls = [paces[name].calls for paces in found]
        figures.append(Figure(f"budget: Redis calls per grant, {name}", "", calls, at_most(1.1)))
    return Result(figures, [f"{TASKS} tasks ask side by side in one process"])


async def _all(url: str, asks: int, plan: Plan) -> dict[str, Pace]:
    async with AsyncExitStack() as stack:
        redis = Redis.from_url(url, protocol=2)
        stack.push_async_callback(redis.aclose)
        budget = RedisBudget(url, SystemClock())
        stack.push_async_callback(budget.close)
        number = count()
        one = Scope("bench:one", FREE)
        many = [Scope(f"bench:page:{page}", FREE) for page in range(PAGES)]
        ways: dict[str, Ask] = {
            "ping": redis.ping,
            "one scope": lambda: budget.acquire(one),
            f"{PAGES} scopes": lambda: budget.acquire(many[next(number) % PAGES]),
        }
        found = {}
        for name, ask in ways.items():
            await _paced(redis, ask, asks // 10)
            found[name] = await _paced(redis, ask, asks)
            plan.say(f"{name}: {found[name].rate:,.0f}/s, {found[name].calls:.3f} calls of Redis each")
        return found


async def _paced(redis: "Redis", ask: Ask, asks: int) -> Pace:
    left = iter(range(asks))

    async def one_task() -> None:
        for _ in left:
            await ask()

    before, began = await _scripts(redis), time.perf_counter()
    await asyncio.gather(*(one_task() for _ in range(TASKS)))
    seconds = time.perf_counter() - began
    return Pace(asks / seconds, (await _scripts(redis) - before) / asks)


async def _scripts(redis: "Redis") -> int:
    """How many scripts Redis has run, by its own count."""
    stats = await redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("eval", "evalsha"))
