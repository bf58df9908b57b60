"""What belongs to one drive and is handed to all of its parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bursar.agents import Agent
from bursar.gate.chain import ChainLink, decode_chain
from bursar.leases import Lease
from bursar.sessions import ancestors_of
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.budgets import Path
from bursar.store.store import Store
from bursar.tools import Tool
from bursar_worker.authority import Authority
from bursar_worker.hooks import HookRunner
from bursar_worker.kit import Kit
from bursar_worker.writer import SessionWriter

__all__ = ["Scope"]


@dataclass(frozen=True)
class Scope:
    """``fields`` is the session's hash as it was at the claim; ``path`` its accounts.

    The drive keeps ``fields`` up with one thing, where the context begins.
    ``tools`` are the agent's own and those of its MCP servers, by the names that the model uses.
    ``chain`` are the agents above it whose rules bind it, the root's first.
    ``authority`` is asked before anything starts that has an effect outside of Redis, and
    ``progressed`` is called when something of a turn was committed.
    """

    kit: Kit
    agent: Agent
    lease: Lease
    writer: SessionWriter
    authority: Authority
    progressed: Callable[[], None]
    fields: dict[str, str]
    path: Path
    chain: tuple[ChainLink, ...]
    tools: Mapping[str, Tool[..., Any]]
    hooks: HookRunner

    @classmethod
    async def open(
        cls,
        kit: Kit,
        agent: Agent | None,
        lease: Lease,
        fields: dict[str, str],
        *,
        writer: SessionWriter,
        authority: Authority,
        progressed: Callable[[], None],
    ) -> "Scope":
        """Read what a drive needs to know of its session beyond the claim's reply.

        Args:
            agent: None for one that this worker does not serve.

        """
        session = lease.session
        ancestors = await ancestors_of(
            kit.store, session, parent=fields["parent"], root=fields["root"]
        )
        chain = await kit.store.redis.call("HGET", session.text, "chain") if ancestors else None
        served = agent or Agent(name=fields["agent"], model=fields["model"])
        return cls(
            kit=kit,
            agent=served,
            lease=lease,
            writer=writer,
            authority=authority,
            progressed=progressed,
            fields=fields,
            path=Path.of(session, user=fields["user"], ancestors=ancestors),
            chain=decode_chain(text(chain)),
            tools=await kit.mcp.tools_of(served),
            hooks=HookRunner(served),
        )

    @property
    def session(self) -> SessionKeys:
        return self.lease.session

    @property
    def store(self) -> Store:
        return self.kit.store
