"""Who has no MCP servers pays nothing for them."""

import subprocess
import sys

import pytest

from bursar.agents import Agent
from bursar.errors import InvalidInput
from bursar.mcp import McpServer
from bursar_worker.mcp import McpTools

SERVER = McpServer.stdio("time", command="x")


def loaded(program: str) -> str:
    program += "; import sys; print([m for m in ('mcp', 'jsonschema') if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_a_worker_without_servers_does_not_load_the_sdk() -> None:
    assert loaded("import bursar_worker.main") == "[]"


def test_one_with_servers_loads_it_before_its_first_turn() -> None:
    program = (
        "from bursar import Agent, McpServer; from bursar_worker.mcp import McpTools;"
        "server = McpServer.stdio('time', command='x');"
        "McpTools.load([Agent(name='a', model='m', mcp=[server])])"
    )
    assert loaded(program) == "['mcp', 'jsonschema']"


def test_a_missing_sdk_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bursar_worker.mcp.tools", None)
    McpTools.load([Agent(name="without", model="m")])
    with pytest.raises(InvalidInput, match=r"agent helper has MCP servers: pip install"):
        McpTools.load([Agent(name="helper", model="m", mcp=[SERVER])])
