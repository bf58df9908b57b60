"""One connection to Redis that all callers of a process share.

Commands are written as they come and replies are handed out in their order, so nobody waits for a
connection, and what several callers ask at once costs one system call. redis-py makes the
connection (TLS, authentication, database) and knows the protocol's errors.

Nothing is retried: after a lost connection the outcome of what was sent is unknown, and only the
caller knows whether repeating it is safe.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hiredis import pack_command
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bursar.clock import monotonic_s
from bursar.errors import BursarError, StoreUnavailable, StoreUnfit
from bursar.store.route import Route

__all__ = ["Command", "Link", "Sent", "store_error"]

Command = tuple[Any, ...]
"""The command's name as text, its arguments as bytes."""
Sent = tuple[Command, asyncio.Future[Any]]
_Awaited = tuple[asyncio.Future[Any], Callable[[Any], Any] | None, float]

_MAX_AWAITED = 50_000  # replies; more would only fill memory while Redis cannot keep up
_NOT_NOW = (
    *("MISCONF", "NOREPLICAS", "BUSY ", "LOADING"),
    # A primary has changed or a slot is on its way; whoever waited at the old one is sent away.
    *("UNBLOCKED", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"),
)
_LATE_S = 0.25  # a timer that comes later than this shows that the event loop was blocked


class _Shareable:
    """Added to redis-py's connection classes: write without waiting, read all that has come."""

    _writer: asyncio.StreamWriter
    _parser: Any

    def write(self, data: bytes) -> None:
        # One that was cut a moment ago: its reader is about to tell everyone who waits.
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def read_replies(self) -> list[Any]:
        """At least one reply. A refusal of a command is among them as an exception."""
        gets = self._parser._reader.gets  # noqa: SLF001
        replies: list[Any] = []
        while True:
            while (reply := gets()) is not NOT_ENOUGH_DATA:
                replies.append(reply)
            if replies:
                return replies
            await self._parser.read_from_socket()


class Link:
    """The shared connection. It connects when it is first used, and anew after it was lost."""

    def __init__(self, route: Route, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._route = route
        self._shareable = type(f"Shared{route.kind.__name__}", (_Shareable, route.kind), {})
        # What redis-py makes of a reply: a dict of HGETALL, and so on.
        meanings: Any = Redis(protocol=route.options.get("protocol", 2)).response_callbacks
        self._meanings: dict[str, Callable[[Any], Any]] = dict(meanings)
        self._connection: Any = None
        self._reading: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []
        self._awaited: deque[_Awaited] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._silent = False
        self.connects = 0
        """How often a connection was made: more than once means that one was lost."""

    def send(self, commands: Sequence[Sent]) -> None:
        """Send commands together; each future gets its reply, its refusal or `StoreUnavailable`."""
        if len(self._awaited) + len(commands) > _MAX_AWAITED:
            overrun = StoreUnavailable("too many commands wait for an answer of Redis")
            _fail((future for _, future in commands), overrun)
            return
        now = monotonic_s()
        data = b"".join([pack_command(command) for command, _ in commands])
        meanings = self._meanings
        self._awaited.extend(
            [(future, meanings.get(command[0]), now) for command, future in commands]
        )
        if self._connection is not None:
            self._connection.write(data)
        else:
            self._unsent.append(data)
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_task(self._live())
        if self._watch is None:
            self._keep_watch()

    async def _live(self) -> None:
        """Connect, then read until the connection is lost."""
        connection: Any = self._shareable(**self._route.options)
        self._silent = False
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()
            self.connects += 1
            connection.write(b"".join(self._unsent))
            self._unsent.clear()
            self._connection = connection
            while True:
                self._hand_out(await connection.read_replies())
        except asyncio.CancelledError:
            why = f"no answer within {self._timeout_s:g} s" if self._silent else "the client closed"
            self._lose(StoreUnavailable(why))
        except Exception as error:  # noqa: BLE001  (whatever it is, every caller must hear of it)
            self._lose(store_error(error))
        finally:
            await connection.disconnect(nowait=True)

    def _lose(self, reason: Exception) -> None:
        self._connection = self._reading = None
        self._unsent.clear()
        awaited, self._awaited = self._awaited, deque()
        _fail((future for future, _, _ in awaited), reason)

    def _hand_out(self, replies: list[Any]) -> None:
        lost: Exception | None = None
        for reply in replies:
            future, meaning, _ = self._awaited.popleft()
            if isinstance(reply, Exception):
                # A primary that is none any more: the next connection finds the one that is.
                lost = reply if isinstance(reply, ReadOnlyError) else lost
                if not future.done():
                    future.set_exception(store_error(reply))
            elif not future.done():
                future.set_result(reply if meaning is None else meaning(reply))
        if lost is not None:
            raise lost

    def _keep_watch(self) -> None:
        """Look now and then whether the oldest command was answered in time."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._timeout_s / 4
        self._watch = loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        self._watch = None
        if not self._awaited:
            return
        late = asyncio.get_running_loop().time() - due > _LATE_S
        silent_s = monotonic_s() - self._awaited[0][2]
        # After a blocked loop the replies lie unread in the socket; they are not what is late.
        if silent_s > self._timeout_s and not late and self._reading is not None:
            self._silent = True
            self._reading.cancel()
            return
        self._keep_watch()

    async def aclose(self) -> None:
        """Let what is under way land, then close the connection."""
        while self._awaited:
            await asyncio.wait([future for future, _, _ in self._awaited])
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        if self._watch is not None:
            self._watch.cancel()


def _fail(futures: Iterable[asyncio.Future[Any]], reason: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(reason)


def store_error(error: Exception) -> Exception:
    """Translate redis-py's errors; a refusal of the command itself stays as it is."""
    if isinstance(error, BursarError):
        return error
    if isinstance(error, (AuthenticationError, NoPermissionError)):
        return StoreUnfit(f"Redis refused this user: {error}", code="store_forbidden")
    if isinstance(error, (BusyLoadingError, OutOfMemoryError, ReadOnlyError)):
        return StoreUnavailable(f"Redis cannot take this now: {error}")
    if isinstance(error, ResponseError):
        if str(error).startswith(_NOT_NOW):
            return StoreUnavailable(f"Redis cannot take this now: {error}")
        return error
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError, asyncio.TimeoutError)):
        return StoreUnavailable(f"Redis did not answer: {str(error) or type(error).__name__}")
    return error
