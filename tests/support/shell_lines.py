"""Commands of our documents, run line by line as a reader would type them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bursar.client import Client
from support.waiting import wait_for

__all__ = ["blocks", "run_lines"]


def blocks(document: Path, language: str) -> list[str]:
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL
    )
    return found


def run_lines(text: str, environment: dict[str, str], client: Client) -> list[str]:
    """Run the lines of a block; returns what each ``bursar`` command printed.

    One that ends with ``&`` goes on beside the next lines, which begin when a question has come up
    of it. All of these have to end, too; their output comes last.
    """
    printed: list[str] = []
    beside: list[subprocess.Popen[str]] = []
    for line in text.splitlines():
        match shlex.split(line):
            case []:
                pass
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                environment[name] = value
            case ["bursar", *words, "&"]:
                beside.append(_start(words, environment))
                wait_for(lambda: len(client.list_approvals()) == 1, f"a question of {line}")
            case ["bursar", *words]:
                printed.append(_output(_start(words, environment), line))
            case words:
                raise AssertionError(f"a command that this test does not know: {words}")
    return printed + [_output(started, "in the background") for started in beside]


def _start(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bursar.cli", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def _output(started: subprocess.Popen[str], line: str) -> str:
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0, f"{line}: {err}"
    return out
