"""Eight real processes keep one page's token, killed with -9 and frozen at any moment."""

import asyncio
import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from connector.pancake.custody import mark
from connector.simulator.faults import Rule
from connector.simulator.options import PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World
from tests.services.processes import ManagedProcess
from tests.unit.pancake.office import SMALL

pytestmark = pytest.mark.integration

POLLERS = 8
PATIENCE = 120.0


class Crew:
    """The processes, and a hand that kills and freezes them."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self._folder = folder
        self._arguments = arguments
        self._running = ExitStack()
        self.processes: list[ManagedProcess] = []
        self.started = 0

    def start(self) -> ManagedProcess:
        self.started += 1
        argv = [sys.executable, "-m", "tests.integration.keeper", *self._arguments]
        process = ManagedProcess(argv, folder=self._folder, name=f"keeper-{self.started}")
        self._running.callback(process.close)
        return process

    def replace_one(self, dice: random.Random) -> None:
        at = dice.randrange(len(self.processes))
        self.processes[at].kill()
        self.processes[at] = self.start()

    async def freeze_one(self, dice: random.Random) -> None:
        process = dice.choice(self.processes)
        process.freeze()
        await asyncio.sleep(dice.uniform(0.5, 6.0))
        if process.running:
            process.thaw()

    async def all_use_what_is_good(self, simulator: PancakeSimulator, page_id: str) -> None:
        """Until the last call of every process that was let through had the token that works now."""

        def done() -> bool:
            wanted = mark(page_id, SecretStr(simulator.token(page_id)))
            return all(process.stdout().rstrip().endswith(wanted) for process in self.processes)

        async with asyncio.timeout(PATIENCE):
            while not done():  # noqa: ASYNC110 - no event tells what another process has printed
                await asyncio.sleep(0.2)

    def close(self) -> None:
        self._running.close()


async def test_processes_that_are_killed_and_frozen_make_one_token_for_each_that_died(
    redis_url: str, tmp_path: Path
) -> None:
    dice = random.Random(5)
    simulator = PancakeSimulator(World(SMALL), options=PancakeOptions(rate=None, latency=(0.0, 0.3)))
    page_id = next(iter(simulator.world.pages))
    url = await simulator.start()
    crew = Crew(tmp_path, [url, redis_url, page_id])
    try:
        crew.processes = [crew.start() for _ in range(POLLERS)]
        await crew.all_use_what_is_good(simulator, page_id)
        simulator.faults.add(Rule("reset", route="generate", after=True, probability=0.3, seed=1))
        for expiries in (1, 2):
            dead = simulator.token(page_id)
            simulator.expire_token(page_id)
            await asyncio.gather(
                *(crew.freeze_one(dice) for _ in range(3)), strike(crew, simulator, dead, dice)
            )
            await crew.all_use_what_is_good(simulator, page_id)
            assert simulator.regenerations(page_id) == expiries
    finally:
        crew.close()
        await simulator.stop()


async def strike(crew: Crew, simulator: PancakeSimulator, dead: str, dice: random.Random) -> None:
    """Kill one process after the other until a new token is there."""
    page_id = next(iter(simulator.world.pages))
    for _ in range(4):
        await asyncio.sleep(dice.uniform(1.0, 4.0))
        if simulator.token(page_id) != dead:
            return
        crew.replace_one(dice)
