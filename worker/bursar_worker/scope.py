"""What belongs to one drive and is handed to all of its parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bursar.agents import Agent
from bursar.leases import Lease
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

    ``tools`` are the agent's own and those of its MCP servers, by the names that the model uses.
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
    tools: Mapping[str, Tool[..., Any]]
    hooks: HookRunner

    @property
    def session(self) -> SessionKeys:
        return self.lease.session

    @property
    def store(self) -> Store:
        return self.kit.store
