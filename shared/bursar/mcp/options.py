"""What is said of an MCP server: where it is, and how its tools are taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypedDict

from bursar.gate.policy import Effect, Risk
from bursar.tools.tool import Fallback

__all__ = [
    "REFERENCE",
    "Endpoint",
    "HttpEndpoint",
    "McpOptions",
    "Pairs",
    "StdioEndpoint",
    "ToolOptions",
    "ToolRules",
]

REFERENCE = "env:"
"""What a value begins with that is the name of a variable in the worker's environment."""

Pairs = tuple[tuple[str, str], ...]


class ToolOptions(TypedDict, total=False):
    """How one tool is taken; see `McpServer.stdio`, and `bursar.tool` for the last three."""

    effect: Effect
    risk: Risk
    timeout_s: float
    cost_usd: str | int | Decimal
    action: str
    unanswered: Fallback
    safe_default: Any


class McpOptions(TypedDict, total=False):
    """How a server's tools are taken; see `McpServer.stdio`."""

    tools: Sequence[str]
    effect: Effect
    risk: Risk
    timeout_s: float
    cost_usd: str | int | Decimal
    overrides: Mapping[str, ToolOptions]
    manifest: Mapping[str, str]
    trust_annotations: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StdioEndpoint:
    """A program that the worker starts and talks to over its standard input and output."""

    command: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Pairs = field(default=(), repr=False)
    cwd: str | None = None

    @property
    def public(self) -> dict[str, Any]:
        """What identifies it, without the values that may be secret."""
        return {
            "command": self.command,
            "args": list(self.args),
            "env": [name for name, _ in self.env],
            "cwd": self.cwd,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpEndpoint:
    """A server that speaks streamable HTTP."""

    url: str
    headers: Pairs = field(default=(), repr=False)

    @property
    def public(self) -> dict[str, Any]:
        return {"url": self.url, "headers": [name for name, _ in self.headers]}


Endpoint = StdioEndpoint | HttpEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRules:
    """Checked options of a tool, or the defaults for a server's; None leaves it to the default."""

    effect: Effect | None = None
    risk: Risk | None = None
    timeout_s: float | None = None
    cost_microusd: int | None = None
    action: str | None = None
    unanswered: Fallback | None = None
    safe_default: Any = None
