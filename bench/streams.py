"""Many clients of event streams in one process, with little CPU of its own.

A client library would cost more than the gateway that is measured.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Client", "raise_file_limit"]

_STAMP = re.compile(rb"(\d{12,}) ")


def raise_file_limit(wanted: int) -> None:
    """Allow so many open files, or as many as this process may have."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class Client(asyncio.Protocol):
    """One connection that sends one request and counts what comes.

    ``events`` is how many events came, ``ages_ms`` how old each time stamp in them was on arrival.
    """

    def __init__(self, request: bytes, ends: bytes, on_end: Callable[[], None]) -> None:
        self._request = request
        self._ends = ends
        self._on_end = on_end
        self._transport: Any = None
        self.events = 0
        self.ages_ms: list[float] = []
        self.failed = b""

    @classmethod
    async def open(
        cls, url: str, key: str, method: str, path: str, body: bytes = b"", *, ends: bytes
    ) -> "tuple[Client, asyncio.Event]":
        """Connect and send; the event is set when ``ends`` came or the connection is gone."""
        parts = urlsplit(url)
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            f"Accept: text/event-stream\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: cls(request, ends, ended.set), parts.hostname or "", parts.port or 80
        )
        return client, ended

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b"\nevent: ")
        if b" " in data:
            now = time.monotonic_ns()
            self.ages_ms += [(now - int(stamp)) / 1e6 for stamp in _STAMP.findall(data)]
        if data.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
            self.failed = data
            self._on_end()
        if self._ends in data:
            self._on_end()

    def connection_lost(self, _: Exception | None) -> None:
        self._on_end()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
