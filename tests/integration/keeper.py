"""
A poller of which nothing is left but the custody of one page's token, as a process of its own.

It calls for the page again and again with whatever token it finds good, and prints the mark of each
one that was let through. Run by test_custody_processes.py: ``keeper.py URL REDIS_URL PAGE_ID``.
"""

import asyncio
import sys
from contextlib import suppress

from pydantic import SecretStr

from connector.budget.leases import RedisLeases
from connector.errors import ParkedError, RetryableError
from connector.http.client import HttpClient, Request
from connector.model import Scope
from connector.pancake.account import Account
from connector.pancake.answers import judge
from connector.pancake.custody import mark
from connector.settings import HttpSettings, PancakeSettings
from connector.telemetry import Metrics
from tests.unit.http.grants import Grants
from tests.unit.pancake.office import QUICK, USER, FastClock


async def keep(url: str, redis_url: str, page_id: str) -> None:
    clock, metrics = FastClock(), Metrics()
    client = HttpClient(HttpSettings(total_timeout=QUICK.call_timeout), Grants(), clock, metrics)
    settings = PancakeSettings(base_url=url, access_token=SecretStr(USER), rate="off")
    account = Account(client, settings, RedisLeases(redis_url, clock, QUICK), clock)
    where = f"{url}/public_api/v2/pages/{page_id}/conversations"

    async def call(token: SecretStr) -> None:
        secrets = {"page_access_token": token}
        request = Request("pancake", "conversations", "GET", where, Scope(page_id, None), secrets=secrets)
        await client.call(request, lambda answer: judge(answer, "pancake conversations"))
        sys.stdout.write(mark(page_id, token) + "\n")
        sys.stdout.flush()

    while True:
        with suppress(RetryableError, ParkedError):
            await account.with_token(page_id, call)
        await clock.sleep(4.0)


if __name__ == "__main__":
    asyncio.run(keep(*sys.argv[1:]))
