"""How connections to a server are made: to an address, or to the primary that Sentinels name now.

redis-py makes them (TLS, authentication, database). Timeouts are explicit and nothing is retried.
"""

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from bursar.store.codec import text
from bursar.store.topology import Address, Topology

__all__ = ["Route", "route_of", "route_to"]


class Route:
    """A class of redis-py's connections, and what one is made with.

    A read has no timeout of its own: who shares a connection or waits on it watches over it
    himself, and redis-py would arm a timer for each single read.
    """

    def __init__(self, kind: Any, options: dict[str, Any]) -> None:
        self.kind = kind
        self.options = options

    def connection(self) -> Connection:
        """One that is not connected yet, for one owner."""
        made: Connection = self.kind(**self.options)
        return made

    def pool(self, *, timeout_s: float, max_connections: int) -> BlockingConnectionPool:
        """For a client that is redis-py's own, with a timeout on each read."""
        options: dict[str, Any] = self.options | {
            "socket_timeout": timeout_s,
            "timeout": timeout_s,
            "max_connections": max_connections,
            "connection_class": self.kind,
        }
        return BlockingConnectionPool(**options)


def route_to(url: str, *, timeout_s: float) -> Route:
    """The way to a server by its plain URL."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=1,
        socket_timeout=None,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=0,
        retry_on_timeout=False,
        retry=Retry(NoBackoff(), 0),
    )
    return Route(pool.connection_class, pool.connection_kwargs)


def route_of(topology: Topology, *, timeout_s: float) -> Route:
    """The way to the one server that holds all data: for what is no Cluster."""
    if topology.kind == "standalone":
        return route_to(topology.url, timeout_s=timeout_s)
    urls = [topology.sentinel_url(node) for node in topology.nodes]
    routes = [route_to(url, timeout_s=timeout_s) for url in urls]
    sentinels = _Sentinels(topology.service, routes, timeout_s=timeout_s / 4)
    # Its address is put in when a connection is made; all else is the same for any server.
    any_server = route_to(topology.server_url(topology.nodes[0]), timeout_s=timeout_s)
    kind = _PrimaryOverTLS if issubclass(any_server.kind, SSLConnection) else _Primary
    return Route(kind, any_server.options | {"sentinels": sentinels})


class _Sentinels:
    """Those that watch over one service. Each is asked on a connection that is closed again."""

    def __init__(self, service: str, routes: list[Route], *, timeout_s: float) -> None:
        self._service = service
        self._routes = routes
        self._timeout_s = timeout_s

    async def primary(self) -> Address:
        """Ask one after the other; who answered is asked first the next time."""
        errors: list[str] = []
        for route in list(self._routes):
            try:
                address = await self._ask(route)
            except (RedisError, OSError, TimeoutError) as error:
                errors.append(str(error) or "no answer")
                continue
            if address is not None:
                self._routes.remove(route)
                self._routes.insert(0, route)
                return address
            errors.append("does not know it")
        raise RedisConnectionError(f"no Sentinel names {self._service!r}: {'; '.join(errors)}")

    async def _ask(self, route: Route) -> Address | None:
        connection: Any = route.connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()
                await connection.send_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service, check_health=False
                )
                found = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return (text(found[0]), int(found[1])) if found else None


class _Primary(Connection):
    """Asks where the primary is each time it connects, and makes sure that it is one."""

    def __init__(self, *, sentinels: _Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    async def connect(self) -> None:
        if not self.is_connected:
            self.host, self.port = await self._sentinels.primary()
        await super().connect()  # type: ignore[no-untyped-call]

    async def on_connect(self) -> None:
        await super().on_connect()
        await self.send_command("ROLE", check_health=False)
        reply: Any = await self.read_response()
        if reply[0] != b"master":
            # Sentinels may lag behind; the next try asks them again.
            raise ReadOnlyError(f"{self.host}:{self.port} is a {text(reply[0])}")


class _PrimaryOverTLS(_Primary, SSLConnection):
    pass
