"""Bursar: AI-agent sessions on many machines, on one budget that cannot be overspent.

The front door is lazy: a name is imported when it is first used, so ``import bursar`` stays cheap
and no provider SDK is loaded before a worker needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bursar.agents import Agent
    from bursar.children import Join
    from bursar.client import AsyncClient, Client
    from bursar.context import ToolContext
    from bursar.context_provider import ContextRequest
    from bursar.errors import BursarError
    from bursar.gate.hosts import net_action
    from bursar.gate.policy import Policy
    from bursar.hooks import (
        Allow,
        Ask,
        Block,
        Modify,
        PostTool,
        PreTool,
        SessionEnd,
        SessionStart,
        ToolFailure,
        UserPrompt,
        hook,
    )
    from bursar.mcp import McpServer
    from bursar.models import Price
    from bursar.tools import tool

__all__ = [
    "Agent",
    "Allow",
    "Ask",
    "AsyncClient",
    "Block",
    "BursarError",
    "Client",
    "ContextRequest",
    "Join",
    "McpServer",
    "Modify",
    "Policy",
    "PostTool",
    "PreTool",
    "Price",
    "SessionEnd",
    "SessionStart",
    "ToolContext",
    "ToolFailure",
    "UserPrompt",
    "__version__",
    "hook",
    "net_action",
    "tool",
]

__version__ = "0.1.0"

_HOMES = {
    "Agent": "bursar.agents",
    "Allow": "bursar.hooks",
    "Ask": "bursar.hooks",
    "AsyncClient": "bursar.client",
    "Block": "bursar.hooks",
    "BursarError": "bursar.errors",
    "Client": "bursar.client",
    "ContextRequest": "bursar.context_provider",
    "Join": "bursar.children",
    "McpServer": "bursar.mcp",
    "Modify": "bursar.hooks",
    "Policy": "bursar.gate.policy",
    "PostTool": "bursar.hooks",
    "PreTool": "bursar.hooks",
    "Price": "bursar.models",
    "SessionEnd": "bursar.hooks",
    "SessionStart": "bursar.hooks",
    "ToolContext": "bursar.context",
    "ToolFailure": "bursar.hooks",
    "UserPrompt": "bursar.hooks",
    "hook": "bursar.hooks",
    "net_action": "bursar.gate.hosts",
    "tool": "bursar.tools",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bursar' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return list(__all__)
