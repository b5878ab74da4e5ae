"""Both simulators, listening, with a clock that only tests turn."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from connector.simulator.folkform import FolkFormSimulator
from connector.simulator.options import FolkFormOptions, PancakeOptions
from connector.simulator.pancake import PancakeSimulator
from connector.simulator.world import World
from tests.unit.simulator.rig import SMALL, Client, FolkFormRig, PancakeRig, TurnedClock


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session)


@pytest.fixture
async def pancake(client: Client) -> AsyncIterator[PancakeRig]:
    clock = TurnedClock()
    simulator = PancakeSimulator(World(SMALL), options=PancakeOptions(rate=None), clock=clock)
    yield PancakeRig(simulator, await simulator.start(), client, clock)
    await simulator.stop()


@pytest.fixture
async def folkform_rig(client: Client) -> AsyncIterator[FolkFormRig]:
    clock = TurnedClock()
    simulator = FolkFormSimulator(options=FolkFormOptions(rate=None), clock=clock)
    yield FolkFormRig(simulator, await simulator.start(), client, clock)
    await simulator.stop()


@pytest.fixture
def folkform(folkform_rig: FolkFormRig) -> FolkFormRig:
    return folkform_rig
