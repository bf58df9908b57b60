"""uvicorn, as this gateway needs it: our signals, our socket, and a way to cut a connection."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Server", "listen", "make_server"]

_BACKLOG = 2048
_KEEP_ALIVE_S = 30


class _Corked:
    """A transport whose writes of one tick of the event loop are one system call.

    The head of an answer and its first events then wake the client once, not three times.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        # uvloop raises when the client has gone since, and nobody could catch it here.
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class _Protocol(HttpToolsProtocol):
    """Tells applications about their connection, as the extension ``bursar.connection``.

    ``abort`` closes at once, while closing in good order waits for a client that does not read.
    ``is_full`` says whether a write would have to wait for the client.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Corked(transport))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {
            "bursar.connection": {
                "abort": self.transport.abort,
                "is_full": lambda: self.flow.write_paused,
            }
        }


class Server(uvicorn.Server):
    """Calls ``on_started`` once it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `main`, which ends streams before it ends the server."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind early, so that the port is known and a taken one is a clear error.

    Raises:
        OSError: the address is taken or not ours.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which would hold back the second
    # write of every answer for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def make_server(
    app: ASGIApp, *, stop_within_s: float, on_started: Callable[[], None] = lambda: None
) -> Server:
    """A server that logs nothing of its own and, when told to stop, waits so long at most."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(stop_within_s) or 1,
    )
    return Server(config, on_started)
