"""Bursar: AI-agent sessions on many machines, on one budget that cannot be overspent.

The front door is lazy: a name is imported when it is first used, so ``import bursar`` stays cheap
and no provider SDK is loaded before a worker needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bursar.agents import Agent
    from bursar.client import AsyncClient, Client
    from bursar.context import ToolContext
    from bursar.errors import BursarError
    from bursar.gate.policy import Policy
    from bursar.models import Price
    from bursar.tools import tool

__all__ = [
    "Agent",
    "AsyncClient",
    "BursarError",
    "Client",
    "Policy",
    "Price",
    "ToolContext",
    "__version__",
    "tool",
]

__version__ = "0.1.0"

_HOMES = {
    "Agent": "bursar.agents",
    "AsyncClient": "bursar.client",
    "BursarError": "bursar.errors",
    "Client": "bursar.client",
    "Policy": "bursar.gate.policy",
    "Price": "bursar.models",
    "ToolContext": "bursar.context",
    "tool": "bursar.tools",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bursar' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return list(__all__)
