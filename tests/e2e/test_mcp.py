"""Programs that a worker starts for MCP end with it, however it ends."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from support.mcp_lines import is_running
from support.waiting import ended, wait_for

AGENTS = """
from bursar import Agent, McpServer

program = '''
import os, runpy
open({marker!r}, "w").write(str(os.getpid()))
runpy.run_module("mcp_server_time", run_name="__main__")
'''
timed = Agent(
    name="timed",
    model="local:echo",
    mcp=[McpServer.stdio("time", command={python!r}, args=["-c", program])],
)
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def site(tmp_path: Path, marker: Path) -> Iterator[Installation]:
    module = AGENTS.format(marker=str(marker), python=sys.executable)
    (tmp_path / "timed_agents.py").write_text(module)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with Installation(workers=1, agents="timed_agents", env=env) as running:
        yield running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_leaves_no_program_behind(
    site: Installation, marker: Path, number: signal.Signals
) -> None:
    with site.client() as client:
        turn = client.start_turn(client.create_session("timed"), "hello").turn
        wait_for(lambda: ended(client, turn), "end of the turn")
    program = int(marker.read_text())
    assert is_running(program)
    (worker,) = site.worker_pids
    os.kill(worker, number)
    wait_for(lambda: not is_running(program), "end of the program")
