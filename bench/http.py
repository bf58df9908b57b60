"""A lean HTTP/1.1 client for benchmarks: real sockets, real requests, little CPU of its own.

A client library costs more CPU a request than the gateway does, and on two cores it would be
measured instead.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Connection"]


class Connection:
    """One keep-alive connection to a gateway."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _send(
        self, method: str, path: str, body: Any, accept: str, extra: str = ""
    ) -> asyncio.StreamReader:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._head}Accept: {accept}\r\n{extra}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        return reader

    async def exchange(
        self, method: str, path: str, body: Any = None, *, key: str = ""
    ) -> tuple[int, bytes]:
        """Send and return status and body. ``key`` is an Idempotency-Key."""
        extra = f"Idempotency-Key: {key}\r\n" if key else ""
        reader = await self._send(method, path, body, "application/json", extra)
        status, headers = await _read_head(reader)
        return status, await reader.readexactly(int(headers.get("content-length", "0")))

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send and return the decoded JSON answer; any status of 400 or more is an error."""
        status, answer = await self.exchange(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode()}")
        return json.loads(answer) if answer else None

    async def stream(self, path: str, body: Any) -> AsyncIterator[str]:
        """POST and yield the kind of each event as it arrives, to the end of the stream."""
        reader = await self._send("POST", path, body, "text/event-stream")
        status, headers = await _read_head(reader)
        if status >= 400 or headers.get("transfer-encoding") != "chunked":
            raise RuntimeError(f"POST {path}: {status} {headers}")
        rest = b""
        while chunk := await _read_chunk(reader):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"event:"):
                    yield line[6:].strip().decode()

    async def aclose(self) -> None:
        if self._streams is not None:
            streams, self._streams = self._streams, None
            streams[1].close()
            with contextlib.suppress(OSError):  # the other end may be gone already
                await streams[1].wait_closed()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return int(head[0].split(" ")[1]), headers


async def _read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size + 2)
    return data[:-2]
