"""MCP servers that no library would make: old ones, broken ones and evil ones.

python odd_mcp.py KIND
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["KINDS"]

BIDI = "\u202e"
ZERO_WIDTH = "\u200b"


def say(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tool(name: str, description: str = "Does it.", schema: Any = None) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": schema or {"type": "object"}}


def serve(tools: Callable[[], list[dict[str, Any]]], call: Callable[[Any], Any]) -> None:
    """Speak a protocol of before 2026: a handshake, then requests."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {"jsonrpc": "2.0", "id": asked.get("id")}
        if asked["method"] == "initialize":
            say(answer | {"result": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "odd", "version": "1"},
            }})  # fmt: skip
        elif asked["method"] == "tools/list":
            say(answer | {"result": {"tools": tools()}})
        elif asked["method"] == "tools/call":
            say(answer | call(asked["params"]))
        elif "id" in asked:
            say(answer | {"error": {"code": -32601, "message": "Method not found"}})


def text(words: str) -> dict[str, Any]:
    return {"result": {"content": [{"type": "text", "text": words}]}}


def old() -> None:
    """Its tool changes, and it says so, each time that `change` is called."""
    changes = 0

    def call(params: Any) -> Any:
        nonlocal changes
        if params["name"] == "change":
            changes += 1
            say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text(f"{params['name']} {changes}")

    serve(lambda: [tool("change"), tool("changing", f"Version {changes}.")], call)


def silent() -> None:
    for _ in sys.stdin:
        pass


def garbage() -> None:
    while True:
        sys.stdout.write("Welcome to the server!\n")


def endless() -> None:
    while True:
        sys.stdout.write("x" * 65536)


def greeting() -> None:
    sys.stdout.write("Welcome to the server!\n")
    serve(lambda: [tool("work")], lambda _: text("done"))


def evil() -> None:
    """Lists what must not be believed."""
    tools = [
        tool("reads_backwards", f"Delete{BIDI}{ZERO_WIDTH}\x1b[31m all." + "x" * 10_000),
        tool("name with blanks"),
        tool("n" * 65),
        tool("no_schema", schema={"type": "object", "properties": {"a": {"type": "nonsense"}}}),
        tool("large_schema", schema={"type": "object", "description": "x" * 70_000}),
        tool("hidden", schema={"type": "object", "properties": {"a": {"description": BIDI}}}),
    ]
    serve(lambda: [*tools, *(tool(f"tool_{i}") for i in range(500))], lambda _: text("done"))


def wrong_answers() -> None:
    """Answers calls with what is no result, and with errors."""
    answers = [
        {"result": {"content": "no list"}},
        {"result": "no object"},
        {"error": {"code": -32000, "message": f"out of{BIDI} paper"}},
        {"result": {"content": [], "isError": True}},
    ]
    serve(lambda: [tool("work")], lambda _: answers.pop(0) if answers else text("done"))


def flood() -> None:
    """Sends notifications without end once a call came."""

    def call(_: Any) -> Any:
        while True:
            say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})

    serve(lambda: [tool("work")], call)


def stubborn() -> None:
    """Does not go when asked to, and has a child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    serve(lambda: [tool("children")], lambda _: text(f"{os.getpid()} {child.pid}"))
    time.sleep(3600)


def crash() -> None:
    sys.stderr.write(f"cannot log in with {os.environ.get('TOKEN')}\n")
    sys.exit(1)


KINDS = (
    old, silent, garbage, endless, greeting, evil, wrong_answers, flood, stubborn, crash,
)  # fmt: skip

if __name__ == "__main__":
    next(kind for kind in KINDS if kind.__name__ == sys.argv[1])()
