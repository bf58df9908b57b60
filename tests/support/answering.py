"""What tests of people at terminals have in common; the agent is `support.puppet`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bursar.client import ApprovalView, Client
from support.command import Ran
from support.terminal import Terminal
from support.waiting import wait_for

__all__ = ["PROMPT", "answer", "asked", "bursar", "calls", "send"]

PROMPT = "[l]ater [?] > "


def calls(*wanted: tuple[str, dict[str, Any]]) -> str:
    """An input that makes the agent call these in one step."""
    return json.dumps([list(wanted)])


def send(to: str = "bob") -> str:
    return calls(("send", {"to": to}))


def asked(client: Client, count: int = 1) -> list[ApprovalView]:
    wait_for(lambda: len(client.list_approvals()) == count, f"{count} open questions")
    return client.list_approvals()


def bursar(argv: Sequence[str], env: Mapping[str, str], status: int = 0) -> Ran:
    """Run a command without a terminal."""
    ran = subprocess.run(
        [sys.executable, "-m", "bursar.cli", *argv],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ran.returncode == status, ran.stderr
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def answer(terminal: Terminal, of: str, line: str) -> str:
    """Wait for the question with this text in it, and type an answer; returns what came before."""
    before = terminal.expect(of) + terminal.expect(PROMPT)
    terminal.line(line)
    return before
