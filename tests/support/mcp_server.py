"""An MCP server made with the SDK's own server class, that does what it is asked to, good or bad.

    python mcp_server.py [--http FILE] [--port PORT] [--handshake] [--slow-start SECONDS]

Without ``--http`` it speaks over its standard input and output; with it, it listens on a port and
writes its address to the file. ``--handshake`` makes it one of before 2026.
"""

import argparse
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp import MCPError
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import METHOD_NOT_FOUND, ToolAnnotations

__all__ = ["build"]

server = MCPServer("scripted")


def _note(marker: str, word: str) -> None:
    Path(marker).write_text(word)


@server.tool()
def echo(text: str) -> str:
    """Say it again."""
    return text


@server.tool()
def add(first: int, second: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": first + second}


@server.tool()
def picture() -> Image:
    """Show a picture."""
    return Image(data=b"\x89PNG" + b"0" * 26, format="png")


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def pid() -> str:
    """Tell the process id."""
    return str(os.getpid())


@server.tool()
def variable(name: str) -> str:
    """Tell a variable of the environment."""
    return os.environ.get(name, "(none)")


@server.tool()
def header(name: str, ctx: Context[Any, Any]) -> str:
    """Tell a header of this request."""
    return (ctx.headers or {}).get(name, "(none)")


@server.tool()
def flood(characters: int) -> str:
    """Return a long text."""
    return "x" * characters


@server.tool()
async def work(steps: int, marker: str, ctx: Context[Any, Any]) -> str:
    """Work for long; writes down that it began, and how it ended."""
    _note(marker, "began")
    try:
        for step in range(steps):
            await ctx.report_progress(step, steps, f"step {step}")
            await anyio.sleep(0.02)
    except BaseException:
        _note(marker, "cancelled")
        raise
    _note(marker, "done")
    return "done"


@server.tool()
async def note(marker: str) -> str:
    """Write something down, at once."""
    _note(marker, "noted")
    return "noted"


@server.tool()
def die() -> str:
    """End at once, as after a kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@server.tool()
def freeze(marker: str) -> str:
    """Stop answering anything."""
    _note(marker, "frozen")
    os.kill(os.getpid(), signal.SIGSTOP)
    return ""


@server.tool()
def complain(name: str) -> str:
    """Write a variable to the standard error, and end."""
    sys.stderr.write(f"{os.environ[name]} is wrong\n")
    sys.stderr.flush()
    os._exit(3)


@server.tool()
async def redescribe(words: str, announce: bool, ctx: Context[Any, Any]) -> str:
    """Change what `echo` says of itself."""
    server.remove_tool("echo")
    server.add_tool(echo, name="echo", description=words)
    if announce:
        await ctx.notify_tools_changed()
        await ctx.session.send_tool_list_changed()
    return "changed"


async def _only_handshake(ctx: Any, call_next: Any) -> Any:
    if ctx.method == "server/discover":
        raise MCPError(METHOD_NOT_FOUND, "Method not found")
    return await call_next(ctx)


def build(*, handshake: bool) -> MCPServer:
    if handshake:
        server.middleware.append(_only_handshake)
    return server


def _listen(address_file: str, port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    app = server.streamable_http_app()
    Path(address_file).write_text(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--http")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--handshake", action="store_true")
    parser.add_argument("--slow-start", type=float, default=0)
    asked = parser.parse_args()
    time.sleep(asked.slow_start)
    build(handshake=asked.handshake)
    if asked.http:
        _listen(asked.http, asked.port)
    else:
        server.run("stdio")


if __name__ == "__main__":
    main()
