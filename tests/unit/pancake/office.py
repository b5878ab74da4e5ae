"""An account, the simulator behind it, and calls for its pages: for the tests of tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import SecretStr

from connector.budget.leases import LeaseOptions, LocalLeases
from connector.clock import Clock, SystemClock
from connector.http.client import HttpClient, Request
from connector.model import Scope
from connector.pancake.account import Account
from connector.pancake.answers import judge
from connector.ports import Leases
from connector.settings import HttpSettings, PancakeSettings
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World, WorldConfig
from connector.telemetry import Metrics
from tests.fakes.clock import FakeClock
from tests.unit.http.grants import Grants

USER = "sim-user-token"
SMALL = WorldConfig(pages=2, conversations_per_page=3, messages_per_conversation=4, plain=True)
Tokens = Callable[[], Sequence[SecretStr]]
FASTER = 20.0
# In seconds of Redis. A poller's own clock runs twenty times as fast, so it gives up its rights too
# early and never too late.
QUICK = LeaseOptions(call_timeout=0.5, window=4.0, margin=0.5, memory=1.0)


class FastClock(SystemClock):
    """Real time, but more of it: what waits is done waiting sooner."""

    def monotonic(self) -> float:
        return time.monotonic() * FASTER

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / FASTER)


@dataclass
class Office:
    """One account, its pages, and the simulator behind them."""

    simulator: PancakeSimulator
    client: HttpClient
    settings: PancakeSettings
    leases: Leases
    account: Account
    clock: Clock

    @property
    def page_ids(self) -> Sequence[str]:
        return list(self.simulator.world.pages)

    async def call(self, number: int = 0, route: str = "conversations") -> bytes:
        """List the conversations of a page, with whatever token the account finds good for it."""
        page_id = self.page_ids[number]
        url = f"{self.settings.base_url}/public_api/v2/pages/{quote(page_id, safe='')}/conversations"

        async def with_token(token: SecretStr) -> bytes:
            secrets = {"page_access_token": token}
            request = Request("pancake", route, "GET", url, Scope(page_id, None), secrets=secrets)
            return await self.client.call(request, lambda answer: judge(answer, "pancake conversations"))

        return await self.account.with_token(page_id, with_token)

    async def token(self, number: int = 0) -> SecretStr:
        return await self.account.token(self.page_ids[number])

    def good(self, number: int = 0) -> SecretStr:
        return SecretStr(self.simulator.token(self.page_ids[number]))

    def made(self, number: int = 0) -> int:
        """How often we had the page's token made anew."""
        return self.simulator.regenerations(self.page_ids[number])

    def calls(self, route: str) -> int:
        return self.simulator.calls.of(route=route).calls


@asynccontextmanager
async def opened(
    page_ids: tuple[str, ...] = (),
    users: tuple[str, ...] = (USER,),
    *,
    before: tuple[PancakeSimulator, str] | None = None,
    clock: Clock | None = None,
    leases: Leases | None = None,
    tokens: Tokens | None = None,
) -> AsyncIterator[Office]:
    """An account of ``users`` before a simulator of its own, or ``before`` one that runs at a URL."""
    clock = clock or FakeClock(auto=True)
    options = PancakeOptions(rate=None, user_tokens=set(users))
    own = PancakeSimulator(World(SMALL), options=options, clock=clock)
    simulator, url = before or (own, await own.start())
    metrics = Metrics()
    client = HttpClient(HttpSettings(total_timeout=5.0), Grants(), clock, metrics)
    leases = leases or LocalLeases(clock, LeaseOptions(5.0))
    secrets = tuple(SecretStr(user) for user in users)
    settings = PancakeSettings(base_url=url, access_tokens=secrets, page_ids=page_ids, rate="off")
    try:
        yield Office(
            simulator,
            client,
            settings,
            leases,
            Account(client, settings, leases, clock, tokens=tokens),
            clock,
        )
    finally:
        await client.close()
        if before is None:
            await own.stop()
        metrics.close()
