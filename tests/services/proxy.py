"""A TCP proxy with the troubles of a network: slow, deaf to one side, or leading elsewhere."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """
    Stands before a server on 127.0.0.1; all of it may be changed while connections are open.

    ``delay``: seconds that every answer is late. ``deaf``: answers are read and thrown away.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.delay = 0.0
        self.deaf = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def lead_to(self, port: int) -> None:
        """From now on connections end at ``port``; those there are break."""
        self.target = port
        await self._break()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        await self._break()
        await self._server.wait_closed()

    async def _break(self) -> None:
        for writer in list(self._open):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._open |= {writer, their_writer}
            await asyncio.gather(self._questions(reader, their_writer), self._answers(their_reader, writer))
            self._open -= {writer, their_writer}

    async def _questions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(65536):
                writer.write(some)
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(65536):
                await asyncio.sleep(self.delay)
                if not self.deaf:
                    writer.write(some)
        writer.close()
