"""Tells the time elsewhere, by the tools of an MCP server that the worker starts.

pip install mcp-server-time
export ANTHROPIC_API_KEY=…
bursar dev --agents examples.clock
bursar run clock "It is noon in Oslo. How late is it in Tokyo?"
"""

import sys

from bursar import Agent, McpServer, Policy

time_server = McpServer.stdio(
    "time",
    command=sys.executable,
    args=["-m", "mcp_server_time", "--local-timezone", "UTC"],
    tools=["get_current_time", "convert_time"],
    effect="idempotent",
    risk="low",
    overrides={"convert_time": {"effect": "pure", "timeout_s": 5}},
)

clock = Agent(
    name="clock",
    model="anthropic:claude-sonnet-4-5",
    instructions="Answer questions about time with the tools you have. Never guess.",
    mcp=[time_server],
    policy=Policy(allow=["tool://time/*"]),
)
