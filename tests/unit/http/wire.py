"""A server that says exactly the bytes it is told to, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class WireServer:
    """``answers`` are given in turn, the last one for ever; None breaks the connection unanswered."""

    answers: list[bytes | None] = field(default_factory=lambda: [answer()])
    asked: list[bytes] = field(default_factory=list)
    port: int = 0
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: what is asked waits for it. Set at the start."""
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.asked.append(head + await reader.readexactly(length))
        self.heard.set()
        await self.silent.wait()
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if said is None:
            writer.transport.abort()
            return False
        writer.write(said)
        await writer.drain()
        # What announces more than it says, or says nothing that we can end, is followed by the end.
        return said.endswith(b"{}")


@asynccontextmanager
async def wire_server(*answers: bytes | None) -> AsyncIterator[WireServer]:
    server = WireServer()
    if answers:
        server.answers = list(answers)
    server.silent.set()
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await listening.wait_closed()
