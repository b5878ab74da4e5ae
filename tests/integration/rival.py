"""``python -m tests.integration.rival <group>``: a poller of the same topics in another consumer group."""

import asyncio
import dataclasses
import signal
import sys
from dataclasses import dataclass

from connector.app import base, build_poller
from connector.kafka.config import Topics
from connector.settings import load
from connector.telemetry import set_up_logs


@dataclass(frozen=True, slots=True)
class RivalTopics(Topics):
    """The same topics, and a group of its own: what a wrong deployment would do."""

    group: str = "rivals"

    @property
    def poller_group(self) -> str:
        return f"{self.prefix}{self.group}"


async def poll(group: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with base(load()) as parts:
        rival = dataclasses.replace(parts, topics=RivalTopics(parts.topics.prefix, group))
        await build_poller(rival).run(stop)


if __name__ == "__main__":
    set_up_logs(form="json", level="info")
    asyncio.run(poll(sys.argv[1]))
