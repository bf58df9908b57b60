"""What every drive of a worker shares."""

from dataclasses import dataclass

from bursar.agents import Agent
from bursar.budgets.pricing import PriceBook
from bursar.gate.pipeline import Gate
from bursar.inbox import Inputs
from bursar.models import Model
from bursar.queue import Bells
from bursar.registry import Registry
from bursar.settings import WorkerSettings
from bursar.store.store import Store
from bursar_worker.mcp import McpTools
from bursar_worker.providers import resolve
from bursar_worker.snapshots import SnapshotReader
from bursar_worker.transcript import TranscriptReader

__all__ = ["Kit"]


@dataclass(frozen=True)
class Kit:
    """Built once in `main`; drives only read it."""

    worker_id: str
    settings: WorkerSettings
    store: Store
    registry: Registry
    bells: Bells
    inputs: Inputs
    agents: dict[str, Agent]
    prices: PriceBook
    gate: Gate
    transcripts: TranscriptReader
    snapshots: SnapshotReader
    mcp: McpTools

    def model_of(self, agent: Agent, chosen: str) -> tuple[str, Model]:
        """The model's name and object: the session's choice if it made one, else the agent's.

        Raises:
            ModelError: the name is of no known provider.

        """
        if isinstance(agent.model, str):
            name = chosen or agent.model
            return name, resolve(name, self.settings)
        if chosen and chosen != agent.model_name:
            return chosen, resolve(chosen, self.settings)
        return agent.model_name, agent.model
