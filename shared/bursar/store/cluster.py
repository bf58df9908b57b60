"""A Redis Cluster as one client: each command goes to the node that owns its keys' slot.

All keys of one command share a hash tag, so each has one owner. A node that is not it says so and
has run nothing; the command then follows once. Anything else that fails may mean that owners have
changed: the map of slots is read anew, and the caller decides about a repeat, as with any server.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import RedisError

from bursar.clock import monotonic_s
from bursar.errors import BursarError, StoreUnavailable, StoreUnfit
from bursar.store.link import Command, Sent, store_error
from bursar.store.route import route_to
from bursar.store.server import Server
from bursar.store.slots import Redirect, SlotMap, slot_of_command
from bursar.store.topology import Address, Topology
from bursar.store.waiting import Waits

__all__ = ["Cluster"]

_ASK_EVERY_S = 0.2
_FOLLOW = 3  # redirects in a row; more means that the nodes do not agree

logger = logging.getLogger(__name__)


class Cluster:
    """All primaries of a Cluster behind one `send`."""

    relays = True

    def __init__(self, topology: Topology, *, timeout_s: float) -> None:
        self.waits: Waits | None = None
        self._topology = topology
        self._timeout_s = timeout_s
        self._servers: dict[Address, Server] = {}
        self._map = SlotMap()
        self._parked: list[tuple[Sent, bool]] = []
        """What came before the first map."""
        self._reading: asyncio.Task[None] | None = None
        self._read_s = float("-inf")
        self._changes = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def connects(self) -> int:
        """Grows when a connection had to be made again, and when slots changed their owner."""
        again = sum(max(0, server.connects - 1) for server in self._servers.values())
        return 1 + again + self._changes

    def send(self, commands: Sequence[Sent], *, durably: bool = False) -> None:
        """As `Link.send`, to the owners of the commands' keys."""
        parts: dict[Address, list[Sent]] = {}
        for sent in commands:
            if not self._map.owners:
                self._parked.append((sent, durably))
                self._read_map_soon()
                continue
            command, future = sent
            owner = self._map.owner(slot_of_command(command))
            if owner is None:
                _fail(future, StoreUnavailable("no node of the Cluster serves that slot now"))
                self._read_map_soon()
            else:
                followed = self._follow(command, future, durably, _FOLLOW)
                parts.setdefault(owner, []).append((command, followed))
        for address, part in parts.items():
            self._server(address).send(part, durably=durably)

    def _follow(
        self, command: Command, future: asyncio.Future[Any], durably: bool, hops: int
    ) -> asyncio.Future[Any]:
        """A future for a node's own reply, which is passed on or leads to another node."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(partial(self._pass_on, command, future, durably, hops))
        return reply

    def _pass_on(
        self,
        command: Command,
        future: asyncio.Future[Any],
        durably: bool,
        hops: int,
        reply: asyncio.Future[Any],
    ) -> None:
        error = reply.exception()
        if error is None:
            if not future.done():
                future.set_result(reply.result())
            return
        redirect = Redirect.of(error)
        if (redirect is not None and not redirect.once) or isinstance(error, StoreUnavailable):
            self._read_map_soon()
        if redirect is None:
            _fail(future, error)
        elif redirect.address is None or hops == 0:
            _fail(future, StoreUnavailable(f"the Cluster is being changed: {error}"))
        else:
            again: list[Sent] = [(command, self._follow(command, future, durably, hops - 1))]
            if redirect.once:
                again.insert(0, (("ASKING",), _unheeded()))
            self._server(redirect.address).send(again, durably=durably)

    def _server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            route = route_to(self._topology.server_url(address), timeout_s=self._timeout_s)
            server = Server(route, timeout_s=self._timeout_s, waits=self.waits)
            self._servers[address] = server
        # It may have been made before anything was promised.
        server.waits = self.waits
        return server

    # -- who owns what

    def _read_map_soon(self) -> None:
        if self._reading is None and not self._closed:
            self._reading = asyncio.get_running_loop().create_task(self._read_map())

    async def _read_map(self) -> None:
        try:
            await asyncio.sleep(self._read_s + _ASK_EVERY_S - monotonic_s())
            self._adopt(await self._ask_for_map())
        except Exception as error:  # noqa: BLE001  (who waits for the map must hear of it)
            logger.warning("the Cluster does not say who serves what: %s", error)
            self._fail_parked(error)
        finally:
            self._read_s = monotonic_s()
            self._reading = None

    async def _ask_for_map(self) -> SlotMap:
        """Of a node chosen at random, so that one that is cut off does not mislead for long."""
        known = list(dict.fromkeys([*self._map.owners, *self._topology.nodes]))
        last: BursarError = StoreUnavailable("no node is known")
        for address in random.sample(known, len(known)):
            try:
                return await self._ask(address)
            except StoreUnavailable as error:
                last = error
        raise last

    async def _ask(self, address: Address) -> SlotMap:
        url = self._topology.server_url(address)
        connection: Any = route_to(url, timeout_s=self._timeout_s).connection()
        try:
            async with asyncio.timeout(self._timeout_s / 3):
                await connection.connect()
                await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                reply = await connection.read_response()
        except (RedisError, OSError, TimeoutError) as error:
            translated = store_error(error)
            if isinstance(translated, BursarError):
                raise translated from error
            raise StoreUnfit(f"{address[0]}:{address[1]} is no Cluster: {error}") from error
        finally:
            await connection.disconnect(nowait=True)
        found = SlotMap.read(reply, address)
        if not found.owners:
            raise StoreUnavailable(f"{address[0]}:{address[1]} knows of no slots")
        return found

    def _adopt(self, found: SlotMap) -> None:
        if self._map.owners and found != self._map:
            logger.warning(
                "slots have new owners: %s", ", ".join(f"{h}:{p}" for h, p in found.owners)
            )
            self._changes += 1
        self._map = found
        for address in set(self._servers) - set(found.owners):
            server = self._servers.pop(address)
            self._changes += max(0, server.connects - 1)
            closing = asyncio.get_running_loop().create_task(server.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        parked, self._parked = self._parked, []
        for sent, durably in parked:
            self.send([sent], durably=durably)

    def _fail_parked(self, reason: Exception) -> None:
        parked, self._parked = self._parked, []
        for (_, future), _ in parked:
            _fail(future, reason)

    async def _mapped(self) -> None:
        """Wait for the first map.

        Raises:
            StoreUnavailable, StoreUnfit: no node gives one.

        """
        if not self._map.owners:
            self._adopt(await self._ask_for_map())

    # -- what others need of its servers

    def at(self, key: str, /) -> Server:
        owner = self._map.owner(slot_of_command(("GET", key)))
        return self._server(owner or self._topology.nodes[0])

    async def servers(self) -> Mapping[str, Server]:
        await self._mapped()
        owners = self._map.owners
        return {f"{host}:{port}": self._server((host, port)) for host, port in owners}

    def make_connection(self) -> Connection:
        """To any node: what is published on one is heard on all."""
        address = random.choice(self._map.owners or self._topology.nodes)  # noqa: S311
        return self._server(address).make_connection()

    async def make_connection_at(self, key: str, /) -> Connection:
        await self._mapped()
        return self.at(key).make_connection()

    async def aclose(self) -> None:
        """Let what is under way land, then close all connections."""
        self._closed = True
        if self._reading is not None:
            await asyncio.wait([self._reading])
        await asyncio.gather(*(server.aclose() for server in self._servers.values()))
        await asyncio.gather(*self._closing)


def _fail(future: asyncio.Future[Any], reason: BaseException) -> None:
    if not future.done():
        future.set_exception(reason)


def _unheeded() -> asyncio.Future[Any]:
    """A future for a reply that says nothing; its loss shows in the command behind it."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.exception())
    return future
