"""Commands whose replies are held back until what they wrote cannot be lost any more.

WAIT and WAITAOF hold up the connection that they come on. So such commands have a connection of
their own, and the waits are pipelined right behind them: whatever is asked while one wait is under
way goes out with the next one, so many callers share it and nobody else's commands stand behind it.

A wait counts only what was written on its own connection. A repeat of a write whose reply was lost
writes nothing, and the first one may have come on a connection that is gone. So each wait stands
behind a small write, which comes after everything that the replies before it speak of.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from bursar.errors import StoreUnavailable
from bursar.store.keys import barrier_beside
from bursar.store.link import Command, Link, Sent
from bursar.store.route import Route
from bursar.store.scripts.loader import Script

__all__ = ["Waiting", "Waits"]

_BARRIER = Script("barrier")
_BARRIER_MS = b"60000"


class Waits(msgspec.Struct, frozen=True):
    """What an acknowledged write has to have reached.

    Args:
        fsync: the primary's append-only file, on disk. Needs Redis 7.2.
        replicas: so many replicas, in memory.
        timeout_s: for each of the two.

    """

    fsync: bool
    replicas: int
    timeout_s: float

    def __bool__(self) -> bool:
        return self.fsync or self.replicas > 0

    @property
    def commands(self) -> list[Command]:
        timeout_ms = b"%d" % int(self.timeout_s * 1000)
        # The disk first: replicas write meanwhile, and hardly anything is left to wait for.
        disk: list[Command] = [("WAITAOF", b"1", b"0", timeout_ms)] if self.fsync else []
        others: list[Command] = [("WAIT", b"%d" % self.replicas, timeout_ms)]
        return disk + (others if self.replicas else [])

    def shortfall(self, replies: Sequence[Any]) -> str:
        """What is missing, in words; empty if nothing is. Takes the replies to `commands`."""
        for reply in replies:
            if isinstance(reply, Exception):
                return str(reply)
            if isinstance(reply, list) and reply[0] < 1:
                return "it is not on disk yet"
            if isinstance(reply, int) and reply < self.replicas:
                return f"{reply} of {self.replicas} replicas have it"
        return ""


class Waiting:
    """The connection to one server on which waits are made.

    Args:
        timeout_s: for the commands themselves.

    """

    def __init__(self, route: Route, waits: Waits, *, timeout_s: float) -> None:
        self._waits = waits
        # A reply may come as late as all waits together allow.
        patience_s = timeout_s + len(waits.commands) * waits.timeout_s
        self._link = Link(route, timeout_s=patience_s)
        self._gathered: list[Sent] = []
        self._working: asyncio.Task[None] | None = None

    def send(self, commands: Iterable[Sent]) -> None:
        """As `Link.send`, but a reply comes when it holds; else `StoreUnavailable`."""
        self._gathered.extend(commands)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered, []
            await self._confirm(batch)
        self._working = None

    async def _confirm(self, batch: list[Sent]) -> None:
        """Send commands and the waits behind them; hand the replies out if nothing is missing."""
        checks = [_barrier(batch), *self._waits.commands]
        replies = await self._ask([*(command for command, _ in batch), *checks])
        found = replies[len(batch) :]
        if isinstance(found[0], NoScriptError):
            found = await self._check_again(checks)
        barrier, *waited = found
        missing = str(barrier) if isinstance(barrier, Exception) else self._waits.shortfall(waited)
        for (_, future), reply in zip(batch, replies, strict=False):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(reply)
            elif missing:
                future.set_exception(StoreUnavailable(f"written, but not safely: {missing}"))
            else:
                future.set_result(reply)

    async def _check_again(self, checks: list[Command]) -> list[Any]:
        """On a server that has started or taken over since, and so knows no scripts."""
        connects = self._link.connects
        load: Command = ("SCRIPT", b"LOAD", _BARRIER.text(shebang=True).encode())
        found = (await self._ask([load, *checks]))[1:]
        if self._link.connects != connects:
            # This may be another server than the one that the commands ran on.
            return [StoreUnavailable("the connection was lost"), *found[1:]]
        return found

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Any]] = [loop.create_future() for _ in commands]
        self._link.send(list(zip(commands, futures, strict=True)))
        return await asyncio.gather(*futures, return_exceptions=True)

    async def aclose(self) -> None:
        """Let what is under way land, then close the connection."""
        if self._working is not None:
            await self._working
        await self._link.aclose()


def _barrier(batch: Sequence[Sent]) -> Command:
    """A write on the server that runs the batch, beside a key of its first script."""
    command = next(command for command, _ in batch if command[0] == "EVALSHA")
    key = barrier_beside(command[3])
    return ("EVALSHA", _BARRIER.sha(shebang=True).encode(), b"1", key, _BARRIER_MS)
