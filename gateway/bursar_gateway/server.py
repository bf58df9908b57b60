"""uvicorn, as this gateway needs it: our signals, our socket, and a way to cut a connection."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Server", "listen", "make_server"]

_BACKLOG = 2048
_KEEP_ALIVE_S = 30


class _Protocol(HttpToolsProtocol):
    """Gives applications ``bursar.abort``: closing waits for a client that reads, this does not."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"bursar.abort": {"call": self.transport.abort}}


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
