"""MCP servers of an agent: how each is reached, and how its tools are taken.

    Agent(..., mcp=[
        McpServer.stdio("time", command="python", args=["-m", "mcp_server_time"]),
        McpServer.http("github", url="https://example.org/mcp",
                       headers={"Authorization": "env:GITHUB_AUTHORIZATION"}),
    ])

Nothing is connected here. A worker opens the connection when a session first needs it, and only a
worker loads the protocol's library.
"""

from bursar.mcp.options import (
    REFERENCE,
    Endpoint,
    HttpEndpoint,
    McpOptions,
    StdioEndpoint,
    ToolOptions,
    ToolRules,
)
from bursar.mcp.server import McpServer

__all__ = [
    "REFERENCE",
    "Endpoint",
    "HttpEndpoint",
    "McpOptions",
    "McpServer",
    "StdioEndpoint",
    "ToolOptions",
    "ToolRules",
]
