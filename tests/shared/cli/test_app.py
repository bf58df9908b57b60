"""What every command has in common: help, errors, exit statuses."""

import subprocess
import sys
from typing import Any

import pytest
import typer.main

from bursar.cli.app import app
from support.command import Bursar
from support.stub_gateway import Answer, StubGateway, problem

SESSIONS = "/v1/workspaces/default/sessions"


def _commands(group: Any, *path: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        here = (*path, name)
        found += _commands(command, *here) if hasattr(command, "commands") else [here]
    return found


COMMANDS = _commands(typer.main.get_command(app))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(bursar: Bursar, command: tuple[str, ...]) -> None:
    ran = bursar(*command, "--help")
    assert ran.status == 0
    assert f"bursar {' '.join(command)}" in ran.out
    assert ran.err == ""


def test_the_documented_commands_are_there() -> None:
    assert {command[0] for command in COMMANDS} == {
        *("dev", "demo", "gateway", "worker", "run", "chat", "tree", "top", "map"),
        *("capabilities", "sessions", "budget", "keys", "policy", "workspaces", "audit", "mcp"),
        *("allowances", "approvals", "webhooks", "jobs"),
    }


@pytest.mark.parametrize(
    ("field", "detail", "said"),
    [
        ("workspace_path", "expected less", "--path: expected less"),
        (
            "per_turn_microusd",
            "expected at most limit_microusd",
            "--per-turn-usd: expected at most --limit-usd",
        ),
        ("session.workspace_path", "expected less", "session.workspace_path: expected less"),
        ("user", "expected less", "user: expected less"),
    ],
)
def test_what_the_gateway_refuses_is_named_as_it_was_typed(
    bursar: Bursar, stub: StubGateway, field: str, detail: str, said: str
) -> None:
    stub.on(f"POST {SESSIONS}", problem(422, "invalid_input", detail, field=field))
    ran = bursar("run", "echo", "hi")
    assert (ran.status, ran.err) == (2, f"bursar: {said}\n")


def test_a_limit_of_nothing_is_refused_in_dollars(bursar: Bursar, stub: StubGateway) -> None:
    ran = bursar("run", "echo", "hi", "--limit-usd", "0")
    assert (ran.status, stub.seen) == (2, [])
    assert ran.err == "bursar: --limit-usd: expected more than 0 dollars, such as 0.50\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (problem(404, "workspace_not_found", "no such workspace"), 2),
        (problem(422, "invalid_input", "expected less", field="limit"), 2),
        (problem(403, "denied", "not yours"), 2),
        (problem(500, "internal", "broken"), 1),
        (problem(503, "store_unavailable", "Redis is away"), 1),
        (Answer(drop=True), 3),
    ],
)
def test_an_error_is_one_line_and_a_status(
    bursar: Bursar, stub: StubGateway, answer: Answer, status: int
) -> None:
    stub.on(f"GET {SESSIONS}", answer)
    ran = bursar("sessions", "list")
    assert ran.status == status
    assert ran.out == ""
    assert ran.err.startswith("bursar: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_a_gateway_that_is_not_there_is_named(bursar: Bursar) -> None:
    ran = bursar("--url", "http://127.0.0.1:9", "sessions", "list")
    assert ran.status == 3
    assert "http://127.0.0.1:9" in ran.err
    assert "bursar dev" in ran.err


def test_a_missing_key_says_where_it_comes_from(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {SESSIONS}", problem(401, "unauthenticated", "a valid API key is needed"))
    ran = bursar("sessions", "list")
    assert (ran.status, "BURSAR_API_KEY" in ran.err) == (2, True)


def test_a_cap_that_is_reached_says_when_to_come_again(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {SESSIONS}", problem(429, "overloaded", "too much waits", retry_after=5))
    ran = bursar("sessions", "list")
    assert (ran.status, ran.err) == (2, "bursar: too much waits; try again in 5 s\n")


@pytest.mark.parametrize(
    "argv", [["nonsense"], ["sessions", "list", "--limit", "0"], ["run", "echo"]]
)
def test_a_wrong_command_line_is_status_2(bursar: Bursar, argv: list[str]) -> None:
    assert bursar(*argv).status == 2


def test_ctrl_c_is_status_130_without_a_traceback(
    bursar: Bursar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bursar.client.sync.Client.send", interrupted)
    ran = bursar("sessions", "list")
    assert ran.status == 130
    assert "Traceback" not in ran.err


def test_options_of_the_command_line_win_over_the_environment(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on("GET /v1/workspaces/acme/sessions", {"sessions": []})
    assert bursar("--api-key", "other", "sessions", "list", "-w", "acme").status == 0
    assert stub.seen[0].headers["authorization"] == "Bearer other"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom bursar.cli import main\n"
        "try:\n    main(['run', '--help'])\nexcept SystemExit:\n"
        "    print(sorted({'httpx', 'redis', 'arq', 'bursar.client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
