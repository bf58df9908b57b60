"""The Redis client: commands issued in one tick of the event loop travel together.

redis-py spends about 100 µs of CPU on a command, many times what Redis itself needs for it. So each
call here only queues its command; what is queued when the loop comes round is sent at once over the
one connection that the process shares, and each caller's future gets its reply.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import redis
from redis.asyncio import Connection
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from bursar.store.codec import text
from bursar.store.link import Command, Link, Sent
from bursar.store.scripts.loader import Script

__all__ = ["Arg", "RedisClient", "Transport", "connect", "connect_blocking"]

Arg = str | bytes | int


class Transport(Protocol):
    """What carries commands: a `Link`, or a test's fakeredis."""

    connects: int

    def send(self, commands: Sequence[Sent]) -> None: ...

    def make_connection(self) -> Connection: ...

    async def aclose(self) -> None: ...


def connect(url: str, *, timeout_s: float) -> "RedisClient":
    """A client for a server; it connects when it is first used."""
    return RedisClient(Link(url, timeout_s=timeout_s))


def connect_blocking(url: str, *, timeout_s: float) -> "redis.Redis":
    """A client for a thread of its own, such as the heartbeat's."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry_on_timeout=False,
        retry=Retry(NoBackoff(), 0),
    )


class RedisClient:
    """Gathers commands. One object serves a whole process.

    Args:
        real: False on fakeredis, which does not know the ``#!lua`` line.

    """

    def __init__(self, transport: Transport, *, real: bool = True) -> None:
        self.real = real
        self._transport = transport
        self._waiting: list[Sent] = []

    def call(self, *command: Arg) -> asyncio.Future[Any]:
        """Queue one command; await the result for its reply.

        Cancelling the wait is harmless: the command is sent and its reply read all the same.

        Raises:
            StoreUnavailable: no reply came; whether the command ran is unknown.
            ResponseError: Redis refused the command (from redis-py, as it is).
            TypeError, UnicodeError: an argument cannot be sent; at once, so that it harms no other
                command.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        name, *args = command
        encoded: Command = (str(name), *[_encoded(arg) for arg in args])
        if not self._waiting:
            loop.call_soon(self._depart)
        self._waiting.append((encoded, future))
        return future

    async def run(self, script: Script, keys: Sequence[str], args: Iterable[Any]) -> list[Any]:
        """Run a script; the reply's first item is its status word, as text.

        A server that restarted has forgotten the script: it is loaded and run once more, which is
        safe because NOSCRIPT means that nothing ran.
        """
        command: tuple[Arg, ...] = (
            "EVALSHA",
            script.sha(shebang=self.real),
            len(keys),
            *keys,
            *args,
        )
        try:
            reply = await self.call(*command)
        except NoScriptError:
            await self.call("SCRIPT", "LOAD", script.text(shebang=self.real))
            reply = await self.call(*command)
        reply[0] = text(reply[0])
        return list(reply)

    def make_connection(self) -> Connection:
        """A further connection to the same server, without a read timeout, for one owner."""
        return self._transport.make_connection()

    @property
    def connects(self) -> int:
        """How often the shared connection was made: more than once means that one was lost."""
        return self._transport.connects

    async def aclose(self) -> None:
        """Let what is under way land, then close the connection."""
        if self._waiting:
            self._depart()
        await self._transport.aclose()

    def _depart(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._transport.send(waiting)


def _encoded(arg: Arg) -> bytes:
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode()
    if type(arg) is int:
        return b"%d" % arg
    raise TypeError(f"Redis takes str, bytes and int, not {type(arg).__name__}")
