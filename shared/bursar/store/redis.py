"""The Redis client: commands issued in one tick of the event loop travel as one pipeline.

redis-py spends about 100 µs of CPU on a command of its own and a fraction of that on one inside a
pipeline, while Redis needs a few µs for either. So each call here only queues its command; what
is queued when the loop comes round is sent together, and each caller's future gets its reply.
redis-py keeps doing what it is good at: connections, TLS, authentication, parsing.

Nothing is retried: after a lost connection the outcome of a command is unknown, and only the
caller knows whether repeating it is safe.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry as SyncRetry

from bursar.errors import BursarError, StoreUnavailable, StoreUnfit
from bursar.store.codec import text
from bursar.store.scripts.loader import Script

__all__ = [
    "Arg",
    "RedisClient",
    "connect",
    "connect_blocking",
    "connection_pool",
    "gathering_client",
    "store_error",
]

Arg = str | bytes | int
_Waiting = tuple[tuple[Arg, ...], asyncio.Future[Any]]

_MAX_BATCH = 512  # commands a pipeline: bounds what one lost connection leaves unknown


def connection_pool(
    url: str, *, timeout_s: float, max_connections: int, per_read: bool = True
) -> BlockingConnectionPool:
    """Connections with explicit timeouts and no retries of their own.

    Args:
        per_read: False for a caller that sets one deadline for all replies of a pipeline itself:
            redis-py arms a timer for each single read, which costs more than the read.

    """
    return BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s if per_read else None,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=0,
        retry_on_timeout=False,
        retry=Retry(NoBackoff(), 0),
    )


def connect(url: str, *, timeout_s: float, max_connections: int) -> Redis:
    """A redis-py client that owns its connections."""
    pool = connection_pool(url, timeout_s=timeout_s, max_connections=max_connections)
    return Redis.from_pool(pool)


class _Packing:
    """Writes commands with hiredis, as redis-py does everywhere but in its asyncio client."""

    def pack_commands(self, commands: Iterable[tuple[Any, ...]]) -> list[bytes]:
        return [b"".join(map(pack_command, commands))]


def gathering_client(
    url: str, *, timeout_s: float, max_connections: int, lanes: int
) -> "RedisClient":
    """The client below, on connections of its own."""
    pool = connection_pool(
        url, timeout_s=timeout_s, max_connections=max_connections, per_read=False
    )
    pool.connection_class = type("PackingConnection", (_Packing, pool.connection_class), {})
    return RedisClient(Redis.from_pool(pool), lanes=lanes, timeout_s=timeout_s)


def connect_blocking(url: str, *, timeout_s: float) -> "redis.Redis":
    """A client for a thread of its own, such as the heartbeat's."""
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry_on_timeout=False,
        retry=SyncRetry(NoBackoff(), 0),
    )


class RedisClient:
    """Gathers commands into pipelines. One object serves a whole process.

    Args:
        connection: a client from `connect`, or a fakeredis one in unit tests.
        lanes: pipelines in flight at once; with several, a slow reply does not hold up the rest.
        timeout_s: for a whole pipeline; None leaves it to the connection's own timeouts.
        real: False on fakeredis, which does not know the ``#!lua`` line.

    """

    def __init__(
        self,
        connection: Any,
        *,
        lanes: int = 4,
        timeout_s: float | None = None,
        real: bool = True,
    ) -> None:
        self.redis = connection
        self.real = real
        self._timeout_s = timeout_s
        self._lanes = lanes
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._flights: set[asyncio.Task[None]] = set()

    def call(self, *command: Arg) -> asyncio.Future[Any]:
        """Queue one command; await the result for its reply.

        Cancelling the wait is harmless: the command is sent and its reply read all the same.

        Raises:
            StoreUnavailable: no reply came; whether the command ran is unknown.
            ResponseError: Redis refused the command (from redis-py, as it is).
            TypeError, UnicodeError: an argument cannot be sent; at once, so that it harms no other
                command of the pipeline.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        name, *args = command
        self._waiting.append(((name, *map(_encoded, args)), future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._depart)
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

    def _depart(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._flights) < self._lanes:
            batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
            flight = asyncio.get_running_loop().create_task(self._fly(batch))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if self._waiting and not self._scheduled:
            self._depart()

    async def _fly(self, batch: Sequence[_Waiting]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for command, _ in batch:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001  (whatever it is, every caller must hear of it)
            replies = [store_error(error)] * len(batch)
        except asyncio.CancelledError:
            replies = [StoreUnavailable("the client was closed before Redis answered")] * len(batch)
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(store_error(reply))
            else:
                future.set_result(reply)

    async def aclose(self) -> None:
        """Let what is under way land, then close the connections."""
        while self._waiting or self._flights:
            self._depart()
            await asyncio.gather(*self._flights)
        await self.redis.aclose()


def _encoded(arg: Arg) -> bytes:
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode()
    if type(arg) is int:
        return b"%d" % arg
    raise TypeError(f"Redis takes str, bytes and int, not {type(arg).__name__}")


def store_error(error: Exception) -> Exception:
    """Translate redis-py's errors; a refusal of the command itself stays as it is."""
    if isinstance(error, BursarError):
        return error
    if isinstance(error, (AuthenticationError, NoPermissionError)):
        return StoreUnfit(f"Redis refused this user: {error}", code="store_forbidden")
    if isinstance(error, (BusyLoadingError, ReadOnlyError)):
        return StoreUnavailable(f"Redis cannot take this now: {error}")
    if isinstance(error, ResponseError):
        if str(error).startswith(("OOM", "MISCONF", "NOREPLICAS", "BUSY ", "LOADING")):
            return StoreUnavailable(f"Redis cannot take this now: {error}")
        return error
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError)):
        return StoreUnavailable(f"Redis did not answer: {str(error) or type(error).__name__}")
    return error
