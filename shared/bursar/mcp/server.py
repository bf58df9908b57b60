"""An MCP server as an agent names it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack

import msgspec

from bursar.mcp.checking import (
    HEADER,
    VARIABLE,
    check_command,
    check_url,
    checked_name,
    checked_options,
    checked_pairs,
)
from bursar.mcp.options import Endpoint, HttpEndpoint, McpOptions, StdioEndpoint, ToolRules

__all__ = ["McpServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """One server of an agent. Made by `stdio` or `http`, checked then, unchangeable afterwards.

    Two servers with equal endpoints share one connection in a worker, whatever else differs.
    """

    name: str
    endpoint: Endpoint
    tools: tuple[str, ...] | None = None
    """Which of the server's tools the agent has; None for all."""
    rules: ToolRules = field(default_factory=ToolRules)
    overrides: Mapping[str, ToolRules] = field(default_factory=dict)
    manifest: Mapping[str, str] | None = None
    trust_annotations: bool = False

    @classmethod
    def stdio(
        cls,
        name: str,
        *,
        command: str,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        **options: Unpack[McpOptions],
    ) -> "McpServer":
        """A program that each worker starts when it first needs it.

        Args:
            name: stands in ``tool://name/…`` actions and before the names of the tools.
            env: what the program gets of an environment besides the bare minimum (``PATH``,
                ``HOME`` and the like). ``env:NAME`` stands for a variable of the worker's.
            tools: names of the tools that the agent gets; all if not given.
            effect: what a repeated call would do; ``at_most_once`` by default.
            risk: shown to people who approve; ``medium`` by default.
            timeout_s: seconds until a call is cut off; the worker's setting by default.
            cost_usd: what one call costs.
            overrides: the same for single tools, by their name on the server:
                ``{"convert_time": {"effect": "pure"}}``.
            manifest: the accepted hash of each tool, as ``bursar mcp list`` shows them. A tool of
                another hash, or without one, has each of its calls looked at by a person. Without
                it, a tool is accepted as it is when the installation first sees it.
            trust_annotations: let the server say which of its tools are pure or idempotent.

        Raises:
            InvalidInput: ``field`` is the wrong one, such as ``mcp.time.command``.

        """
        place = f"mcp.{checked_name(name)}"
        check_command(command, args, place)
        pairs = checked_pairs(env or {}, VARIABLE, f"{place}.env")
        endpoint = StdioEndpoint(command=command, args=tuple(args), env=pairs, cwd=cwd)
        return cls(name=name, endpoint=endpoint, **checked_options(options, place))

    @classmethod
    def http(
        cls,
        name: str,
        *,
        url: str,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[McpOptions],
    ) -> "McpServer":
        """A server at an address. Options are as of `stdio`.

        Args:
            headers: sent with each request. ``env:NAME`` stands for a variable of the worker's, so
                that the secret is not in the code.

        Raises:
            InvalidInput: ``field`` is the wrong one, such as ``mcp.github.url``.

        """
        place = f"mcp.{checked_name(name)}"
        check_url(url, f"{place}.url")
        pairs = checked_pairs(headers or {}, HEADER, f"{place}.headers")
        endpoint = HttpEndpoint(url=url, headers=pairs)
        return cls(name=name, endpoint=endpoint, **checked_options(options, place))

    def takes(self, tool: str) -> bool:
        return self.tools is None or tool in self.tools

    @property
    def manifest_hash(self) -> str:
        """SHA-256 over the endpoint without its secrets, and over the options."""
        content = {
            "name": self.name,
            "endpoint": self.endpoint.public,
            "tools": self.tools,
            "rules": self.rules,
            "overrides": self.overrides,
            "manifest": self.manifest,
            "trust_annotations": self.trust_annotations,
        }
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
