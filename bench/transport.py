"""One call to FolkForm, 16 at once, by three transports: the measurement that chose ours."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr

from bench.events import production
from bench.figures import Baseline, Figure, Plan, Result
from bench.stage import ROLE, simulator
from connector.budget import LocalBudget
from connector.clock import SystemClock
from connector.folkform.answers import judge
from connector.folkform.bodies import Parcel
from connector.folkform.dialects import DIALECTS
from connector.http.client import HttpClient, Request
from connector.model import Scope
from connector.settings import HttpSettings
from connector.telemetry import Metrics

CONNECTIONS = 16
ROUTE = "message/upsert-messages"
TOKEN = "sim-folkform-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-Active-Role-ID": ROLE, "Content-Type": "application/json"}

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls per second, and per second of this process's CPU: the server's weight is in the first only."""

    wall: float
    cpu: float


def measure(plan: Plan) -> Result:
    parcel = Parcel.of(next(production(1))[1:], DIALECTS["generation1"].messages)
    body = parcel.body(0, len(parcel.messages))
    calls = 400 if plan.quick else 3000
    paces: dict[str, list[Pace]] = {}
    with simulator("folkform", "--rate", "off", "--digests-only") as folkform:
        for _ in range(plan.repeats):
            for name, pace in asyncio.run(_all(folkform.url, body, calls)).items():
                paces.setdefault(name, []).append(pace)
                plan.say(f"{name}: {pace.wall:,.0f} calls/s, {pace.cpu:,.0f} per CPU second")
    raw = [pace.cpu for pace in paces["raw aiohttp"]]
    figures = []
    for name, found in paces.items():
        figures.append(Figure(f"http: {name}", "calls/s", [pace.wall for pace in found]))
        baseline = None if name == "raw aiohttp" else Baseline("raw aiohttp", raw)
        figures.append(
            Figure(f"http: {name}, by CPU", "calls/CPU s", [pace.cpu for pace in found], None, baseline)
        )
    return Result(figures, [f"a call carries {len(body):,} bytes: 27 messages of one conversation"])


async def _all(url: str, body: bytes, calls: int) -> dict[str, Pace]:
    target = f"{url}/v1/facebook/{ROUTE}"
    found = {}
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        ways = {
            "raw aiohttp": await _aiohttp(stack, target, body),
            "connector.http.client": _ours(stack, target, body),
            "httpx over aiohttp": await _httpx(stack, target, body, AiohttpTransport(limits=limits)),
            "httpx's own transport": await _httpx(
                stack, target, body, httpx.AsyncHTTPTransport(limits=limits)
            ),
        }
        for name, call in ways.items():
            await _paced(call, calls // 10)  # connections are open before it counts
            found[name] = await _paced(call, calls)
    return found


async def _paced(call: Call, calls: int) -> Pace:
    left = iter(range(calls))

    async def one_connection() -> None:
        for _ in left:
            await call()

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    return Pace(calls / (time.perf_counter() - wall), calls / (time.process_time() - cpu))


async def _aiohttp(stack: AsyncExitStack, target: str, body: bytes) -> Call:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def call() -> None:
        async with session.post(target, data=body, headers=HEADERS) as answer:
            assert answer.status == 200, answer.status
            await answer.read()

    return call


async def _httpx(
    stack: AsyncExitStack, target: str, body: bytes, transport: httpx.AsyncBaseTransport
) -> Call:
    client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, trust_env=False))

    async def call() -> None:
        answer = await client.post(target, content=body, headers=HEADERS)
        assert answer.status_code == 200, answer.status_code

    return call


def _ours(stack: AsyncExitStack, target: str, body: bytes) -> Call:
    clock, metrics = SystemClock(), Metrics()
    client = HttpClient(HttpSettings(), LocalBudget(clock), clock, metrics)
    stack.callback(metrics.close)
    stack.push_async_callback(client.close)
    headers = {name: value for name, value in HEADERS.items() if name != "Authorization"}
    request = Request(
        "folkform",
        ROUTE,
        "POST",
        target,
        Scope("folkform:bench", None),
        headers=headers,
        bearer=SecretStr(TOKEN),
        body=body,
    )
    leaving = asyncio.Event()
    return lambda: client.call(request, lambda answer: judge(answer, "folkform"), leaving)
