"""Tools of MCP servers: one connection a server and worker, kept open, never a turn's end."""

from bursar_worker.mcp.servers import McpTools

__all__ = ["McpTools"]
