"""The README's commands and programs, run as they are written."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def served(installation: Installation) -> dict[str, str]:
    """What to put in the place of the README's address and key."""
    return {"http://127.0.0.1:8700": installation.url, "secret": installation.key}


def placed(text: str, served: dict[str, str]) -> str:
    for written, real in served.items():
        text = text.replace(written, real)
    return text


def bursar(words: list[str], environment: dict[str, str]) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "bursar.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def curl(words: list[str]) -> str:
    """Send what curl would send, on machines that have no curl."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-X", default="GET")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("url")
    given = parser.parse_args(words)
    headers = dict(header.split(": ", 1) for header in given.H)
    answer = httpx.request(given.X, given.url, headers=headers, content=given.d, timeout=30)
    assert answer.is_success, answer.text
    return answer.text


def test_the_shell_commands_work_as_written(
    served: dict[str, str], installation: Installation
) -> None:
    (commands,) = [block for block in blocks("sh") if "curl" in block]
    environment = {"BURSAR_URL": installation.url}
    printed = ""
    for line in placed(commands, served).replace("\\\n", " ").splitlines():
        match shlex.split(line):
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                environment[name] = value
            case ["bursar", *words]:
                printed += bursar(words, environment)
            case ["curl", *words]:
                printed += curl(words)
            case []:
                pass
            case words:
                pytest.fail(f"the README has a command that this test does not know: {words}")
    assert "Hello there" in printed
    assert '"id":"first"' in printed
    assert "event: turn.succeeded" in printed
    assert '"limit_microusd":500000' in printed


def test_the_program_works_as_written(
    served: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = [block for block in blocks("python") if "Client(" in block]
    exec(compile(placed(program, served), "README.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "turn.succeeded" in printed
    assert "Hello from Python" in printed.splitlines()[-1]


def test_the_agent_is_one(client: Client) -> None:
    (module,) = [block for block in blocks("python") if "Agent(" in block]
    namespace: dict[str, object] = {}
    exec(compile(module, "README.md", "exec"), namespace)  # noqa: S102
    agent = namespace["secretary"]
    assert getattr(agent, "name", None) == "secretary"
    assert len(module.splitlines()) <= 20


def test_every_path_it_names_exists() -> None:
    text = README.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (README.parent / target).exists(), target
