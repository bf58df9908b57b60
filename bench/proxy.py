"""A TCP proxy that loses what it carries: replies that never arrive, sockets cut at any byte.

A client sees what a bad network shows it: it asked, and does not know whether that was done.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Faults", "Proxy", "lossy"]

_CHUNK = 65536


@dataclass
class Faults:
    """Shares of the chunks that meet a fault, 0 to 1. They may be changed while it runs.

    Args:
        lose: a reply is swallowed, whole or from some byte on, and the connection cut.
        silence: a reply is swallowed and nothing comes after it; the connection stays open.
        cut: a request is cut at some byte, and the connection with it.

    """

    lose: float = 0.0
    silence: float = 0.0
    cut: float = 0.0


class Proxy:
    """Carries connections to ``url``'s server. One seed makes one sequence of faults."""

    def __init__(self, url: str, faults: Faults, seed: int) -> None:
        self.faults = faults
        self.met = 0
        """Faults so far."""
        self._upstream = urlsplit(url)
        self._chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None  # noqa: S101
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://127.0.0.1:{port}{self._upstream.path}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        # Either end may go away at any moment; the other one is then let go, too.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._carry(reader, writer)
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._upstream.hostname or "127.0.0.1", self._upstream.port or 6379
        server_reader, server_writer = await asyncio.open_connection(host, port)
        ways = [
            asyncio.ensure_future(self._requests(reader, server_writer)),
            asyncio.ensure_future(self._replies(server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._strikes(self.faults.cut):
                # What came through in whole is executed: the server reads to the end of the stream.
                writer.write(data[: self._chance.randrange(len(data))])
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self._strikes(self.faults.silence):
                while await reader.read(_CHUNK):
                    pass
                return
            if self._strikes(self.faults.lose):
                whole = self._chance.random() < 0.5
                writer.write(b"" if whole else data[: self._chance.randrange(len(data))])
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()

    def _strikes(self, share: float) -> bool:
        struck = share > 0 and self._chance.random() < share
        self.met += struck
        return struck


@asynccontextmanager
async def lossy(url: str, faults: Faults, *, seed: int) -> AsyncIterator[Proxy]:
    """A proxy in front of ``url``; clients connect to its own ``url``."""
    proxy = Proxy(url, faults, seed)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.aclose()
