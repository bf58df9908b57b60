"""The MCP servers of a worker's agents, and the tools that they offer.

The SDK takes half a second and 30 MB; workers whose agents have no servers never load it.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bursar import manifests
from bursar.agents import Agent
from bursar.clock import monotonic_s
from bursar.errors import InvalidInput
from bursar.manifests import Look
from bursar.mcp import Endpoint, McpServer
from bursar.settings import WorkerSettings
from bursar.store.store import Store
from bursar.tools import Tool
from bursar_worker.mcp.names import name_for_model

if TYPE_CHECKING:
    from bursar_worker.mcp.connection import Connection
    from bursar_worker.mcp.definitions import Definition
    from bursar_worker.mcp.listing import Listing

__all__ = ["McpTools"]

logger = logging.getLogger(__name__)

Suspects = Mapping[str, str]


class McpTools:
    """Connects to servers when they are first needed, and makes tools of what they list."""

    def __init__(self, store: Store, settings: WorkerSettings, *, worker_id: str) -> None:
        self._store = store
        self._patience_s = settings.mcp_connect_timeout_s
        self._worker_id = worker_id
        self._connections: dict[Endpoint, Connection] = {}
        self._trusted: dict[tuple[str, str], dict[str, str]] = {}
        """Hashes of tools that are as they were accepted, by agent and server: asked for once."""
        self._closed = False

    @staticmethod
    def load(agents: Iterable[Agent]) -> None:
        """Load the SDK now if an agent needs it, not in the middle of its first turn.

        Raises:
            InvalidInput: It is not installed.

        """
        needing = next((agent.name for agent in agents if agent.mcp), None)
        if needing is None:
            return
        try:
            import bursar_worker.mcp.tools  # noqa: F401
        except ImportError as error:
            raise InvalidInput(
                f"agent {needing} has MCP servers: pip install 'bursar[worker]' ({error})",
                field="agents",
            ) from error

    async def connect(self, agent: Agent) -> None:
        """See to it that the agent's servers are connected, and wait for those that are new.

        A server is waited for once, however many drives need it: until it has answered or failed,
        or its time is over. After that it is there or it is not.
        """
        if self._closed:
            return
        for connection in [self._connection(server) for server in agent.mcp]:
            left_s = connection.began_s + self._patience_s - monotonic_s()
            if connection.settled.is_set() or left_s <= 0:
                continue
            try:
                async with asyncio.timeout(left_s):
                    await connection.settled.wait()
            except TimeoutError:
                logger.warning("agent %s: goes on without a server's tools", agent.name)

    async def tools_of(self, agent: Agent) -> dict[str, Tool[..., Any]]:
        """The agent's own tools and those of its servers, by the names that the model uses.

        A server that is away has the tools that it had last; one that never answered has none.
        """
        tools: dict[str, Tool[..., Any]] = {tool.name: tool for tool in agent.tools}
        if self._closed or not agent.mcp:
            return tools
        from bursar_worker.mcp.tools import make_tool

        for server in agent.mcp:
            connection = self._connection(server)
            if connection.listing is None:
                continue
            suspects = await self._suspects(agent, server, connection.listing)
            for definition in _taken(server, connection.listing):
                name = name_for_model(server.name, definition.name, tools)
                tools[name] = make_tool(
                    server,
                    definition,
                    name=name,
                    suspect=suspects.get(definition.name, ""),
                    connection=connection,
                )
        return tools

    async def close(self) -> None:
        """End all connections; programs that were started for them are gone afterwards."""
        self._closed = True
        await asyncio.gather(*(each.close() for each in self._connections.values()))

    def _connection(self, server: McpServer) -> "Connection":
        from bursar_worker.mcp.connection import Connection

        connection = self._connections.get(server.endpoint)
        if connection is None:
            connection = Connection(server.endpoint, server.name)
            self._connections[server.endpoint] = connection
        connection.want()
        return connection

    async def _suspects(self, agent: Agent, server: McpServer, listing: "Listing") -> Suspects:
        """Why single tools are to be looked at by a person each time, by their names."""
        if server.manifest is not None:
            return _unlike(server.manifest, listing)
        taken = {each.name: each for each in _taken(server, listing)}
        trusted = self._trusted.setdefault((agent.name, server.name), {})
        looks = {n: _look(each) for n, each in taken.items() if trusted.get(n) != each.sha256}
        suspects = await manifests.suspects(
            self._store, agent.name, server.name, looks, worker=self._worker_id
        )
        for name in looks.keys() - suspects.keys():
            trusted[name] = taken[name].sha256
        for name in trusted.keys() - taken.keys():
            del trusted[name]
        return suspects


def _taken(server: McpServer, listing: "Listing") -> "list[Definition]":
    return [each for each in listing.definitions if server.takes(each.name)]


def _look(definition: "Definition") -> Look:
    return Look.of(definition.sha256, definition.description, definition.parameters)


def _unlike(manifest: Mapping[str, str], listing: "Listing") -> Suspects:
    """Compare with what the operator wrote down, which counts more than any record."""
    return {
        each.name: "the tool changed since it was accepted: its agent's code has another hash"
        if each.name in manifest
        else "the tool is not among those that its agent's code accepts"
        for each in listing.definitions
        if manifest.get(each.name) != each.sha256
    }
