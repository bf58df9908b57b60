"""The Redis client: commands issued in one tick of the event loop travel together.

redis-py spends about 100 µs of CPU on a command, many times what Redis itself needs for it. So each
call here only queues its command; what is queued when the loop comes round is sent at once over the
one connection that the process shares, and each caller's future gets its reply.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import NoScriptError

from bursar.store.cluster import Cluster
from bursar.store.codec import text
from bursar.store.link import Command, Sent
from bursar.store.route import route_of
from bursar.store.scripts.loader import Script
from bursar.store.server import Server, Transport
from bursar.store.topology import Topology
from bursar.store.waiting import Waits

__all__ = ["Arg", "RedisClient", "connect"]

Arg = str | bytes | int


def connect(url: str, *, timeout_s: float) -> "RedisClient":
    """A client for what a URL stands for; it connects when it is first used."""
    topology = Topology.parse(url)
    if topology.kind == "cluster":
        return RedisClient(Cluster(topology, timeout_s=timeout_s))
    return RedisClient(Server(route_of(topology, timeout_s=timeout_s), timeout_s=timeout_s))


class RedisClient:
    """Gathers commands. One object serves a whole process.

    Args:
        real: False on fakeredis, which does not know the ``#!lua`` line.

    """

    def __init__(self, transport: Transport, *, real: bool = True) -> None:
        self.real = real
        self._transport = transport
        self._waiting: list[Sent] = []
        self._promises = False

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
        encoded = _encoded(command)
        if not self._waiting:
            loop.call_soon(self._depart)
        self._waiting.append((encoded, future))
        return future

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], *, durably: bool = False
    ) -> list[Any]:
        """Run a script; the reply's first item is its status word, as text.

        Where the store promises it, the reply of a script that is ``durable`` comes when what it
        wrote, or found written, cannot be lost any more.

        A server that restarted has forgotten the script: it is loaded and run once more, which is
        safe because NOSCRIPT means that nothing ran.

        Args:
            durably: also for a script that is not always so.

        Raises:
            StoreUnavailable: no reply came, or what was written may still be lost; to be repeated.

        """
        durably = durably or script.is_durable(keys)
        name = script.sha(shebang=self.real)
        command: tuple[Arg, ...] = ("EVALSHA", name, len(keys), *keys, *args)
        try:
            reply = await self._submit(command, durably=durably)
        except NoScriptError:
            load = ("SCRIPT", "LOAD", script.text(shebang=self.real))
            await _send(self._transport.at(keys[0]), load)
            reply = await self._submit(command, durably=durably)
        reply[0] = text(reply[0])
        return list(reply)

    def promise(self, waits: Waits) -> None:
        """From now on durable scripts are answered when what they wrote is safe."""
        self._transport.waits = waits
        self._promises = bool(waits)

    async def servers(self) -> "dict[str, RedisClient]":
        """A client for each server that holds data, by a name for messages.

        They are parts of this one: they close with it.
        """
        servers = await self._transport.servers()
        return {name: RedisClient(each, real=self.real) for name, each in servers.items()}

    def make_connection(self) -> Connection:
        """A further connection to any of the servers, without a read timeout, for one owner."""
        return self._transport.make_connection()

    async def make_connection_at(self, key: str) -> Connection:
        """Likewise to the server that has a key."""
        return await self._transport.make_connection_at(key)

    @property
    def connects(self) -> int:
        """How often the shared connection was made: more than once means that one was lost."""
        return self._transport.connects

    @property
    def relays(self) -> bool:
        """Whether what is published may be lost without a sign, on its way between servers."""
        return self._transport.relays

    async def aclose(self) -> None:
        """Let what is under way land, then close the connection."""
        if self._waiting:
            self._depart()
        await self._transport.aclose()

    def _submit(self, command: tuple[Arg, ...], *, durably: bool) -> asyncio.Future[Any]:
        if not durably or not self._promises:
            return self.call(*command)
        return _send(self._transport, command, durably=True)

    def _depart(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._transport.send(waiting)


def _send(
    transport: Transport, command: tuple[Arg, ...], *, durably: bool = False
) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    transport.send([(_encoded(command), future)], durably=durably)
    return future


def _encoded(command: tuple[Arg, ...]) -> Command:
    name, *args = command
    return (str(name), *[_encoded_arg(arg) for arg in args])


def _encoded_arg(arg: Arg) -> bytes:
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, str):
        return arg.encode()
    if type(arg) is int:
        return b"%d" % arg
    raise TypeError(f"Redis takes str, bytes and int, not {type(arg).__name__}")
