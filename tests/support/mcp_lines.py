"""Starts MCP servers for tests, and connections to them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bursar.mcp import McpServer
from bursar_worker.mcp.connection import Connection
from bursar_worker.mcp.results import render
from support.workers import wait_until

SCRIPTED = str(Path(__file__).with_name("mcp_server.py"))
ODD = str(Path(__file__).with_name("odd_mcp.py"))


def scripted(name: str = "scripted", **options: Any) -> McpServer:
    return McpServer.stdio(name, command=sys.executable, args=[SCRIPTED], **options)


def odd(kind: str, **options: Any) -> McpServer:
    return McpServer.stdio("odd", command=sys.executable, args=[ODD, kind], **options)


def clock(**options: Any) -> McpServer:
    """A server from a package, as users have it."""
    args = ["-m", "mcp_server_time", "--local-timezone", "UTC"]
    return McpServer.stdio("time", command=sys.executable, args=args, **options)


class HttpServer:
    """The scripted server on a port of its own, which may be killed and started again."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._address = folder / "address"
        self._port_flags: list[str] = []
        self._flags = flags
        self.url = ""
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._address.unlink(missing_ok=True)
        command = [sys.executable, SCRIPTED, "--http", str(self._address), *self._flags]
        return subprocess.Popen(
            [*command, *self._port_flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    async def listening(self) -> None:
        async def written() -> bool:
            return self._address.exists() and bool(self._address.read_text())

        await wait_until("address of the server", written)
        self.url = self._address.read_text()
        self._port_flags = ["--port", self.url.rpartition(":")[2].removesuffix("/mcp")]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def restart(self) -> None:
        """Kill it and have another one at the same address."""
        self.kill()
        self.process = self._start()
        await self.listening()

    def server(self, name: str = "web", **options: Any) -> McpServer:
        return McpServer.http(name, url=self.url, **options)


@contextmanager
def http_process(folder: Path, *flags: str) -> Iterator[HttpServer]:
    server = HttpServer(folder, *flags)
    try:
        yield server
    finally:
        server.kill()


class Line:
    """A connection as a tool uses it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.progress: list[tuple[float, float | None, str | None]] = []

    async def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool as it was last listed; returns what a model would read."""
        listing = self.connection.listing
        assert listing is not None, self.connection.trouble
        sha256 = listing.by_name[tool].sha256
        result = await self.connection.call(
            tool, arguments, sha256=sha256, on_progress=self._on_progress
        )
        return render(result)

    async def _on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))

    async def listed_anew(self) -> None:
        """Wait until the tools are others than they are now."""
        before = self.connection.listing

        async def changed() -> bool:
            return self.connection.listing is not before

        await wait_until("changed list of tools", changed)

    def description(self, tool: str) -> str:
        assert self.connection.listing is not None
        return self.connection.listing.by_name[tool].description


@asynccontextmanager
async def connected(server: McpServer) -> AsyncIterator[Line]:
    connection = Connection(server.endpoint, server.name)
    connection.want()
    try:
        await asyncio.wait_for(connection.settled.wait(), 20)
        yield Line(connection)
    finally:
        await connection.close()


def is_running(pid: int) -> bool:
    """Whether a process exists; one that has ended but was not waited for does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
