"""Sub-agents as a worker sees them: how they are spawned, joined and read."""

from bursar_worker.children.joins import Children

__all__ = ["Children"]
