"""What carries commands: a server, as one of a Cluster or alone."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from redis.asyncio import Connection

from bursar.store.link import Link, Sent
from bursar.store.route import Route
from bursar.store.waiting import Waiting, Waits

__all__ = ["Server", "Transport"]


class Transport(Protocol):
    """A server, a Cluster, or a test's fakeredis."""

    waits: Waits | None
    """What commands that are sent durably wait for; None while nothing is promised."""

    @property
    def connects(self) -> int:
        """How often a connection was made. More than when last seen means that one was lost."""
        ...

    @property
    def relays(self) -> bool:
        """Whether what is published may come by way of another server, and be lost on it."""
        ...

    def send(self, commands: Sequence[Sent], *, durably: bool = False) -> None: ...

    def at(self, key: str, /) -> "Transport":
        """What serves a key, as far as is known now."""
        ...

    async def servers(self) -> "Mapping[str, Transport]":
        """Each server that holds data, by a name for messages."""
        ...

    def make_connection(self) -> Connection:
        """A connection to any of the servers, for one owner."""
        ...

    async def make_connection_at(self, key: str, /) -> Connection:
        """A connection to the server of a key, for one owner."""
        ...

    async def aclose(self) -> None: ...


class Server:
    """One server, or whichever one its route leads to."""

    def __init__(self, route: Route, *, timeout_s: float, waits: Waits | None = None) -> None:
        self.waits = waits
        self._route = route
        self._timeout_s = timeout_s
        self._link = Link(route, timeout_s=timeout_s)
        self._waiting: Waiting | None = None

    relays = False

    @property
    def connects(self) -> int:
        return self._link.connects

    def send(self, commands: Sequence[Sent], *, durably: bool = False) -> None:
        """Send commands together, durably on a connection where replies wait until they hold."""
        if not durably or not self.waits:
            self._link.send(commands)
            return
        if self._waiting is None:
            self._waiting = Waiting(self._route, self.waits, timeout_s=self._timeout_s)
        self._waiting.send(commands)

    def at(self, _key: str, /) -> "Server":
        return self

    async def servers(self) -> Mapping[str, "Server"]:
        return {"the server": self}

    def make_connection(self) -> Connection:
        return self._route.connection()

    async def make_connection_at(self, _key: str, /) -> Connection:
        return self._route.connection()

    async def aclose(self) -> None:
        """Let what is under way land, then close the connections."""
        if self._waiting is not None:
            await self._waiting.aclose()
        await self._link.aclose()
