"""A new user's way through the gate, with two terminals and processes that are killed between."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.answering import PROMPT
from support.answering import bursar as command
from support.terminal import Terminal
from support.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "desk").mkdir()
    return tmp_path


@pytest.fixture
def site(files: Path) -> Iterator[Installation]:
    env = {"BURSAR_FILES_ROOT": str(files), "PYTHONPATH": str(ROOT)}
    with Installation(workers=2, agents="examples.scribe", env=env) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    with site.client() as made:
        yield made


@pytest.fixture
def env(site: Installation) -> dict[str, str]:
    return {"BURSAR_URL": site.url, "BURSAR_API_KEY": site.key}


def bursar(env: dict[str, str], *argv: str) -> str:
    return command(argv, env).out


def kill_all(site: Installation) -> None:
    """Kill the gateway and every worker as a crash does, and start them again."""
    killed = [child for child in (site.gateway, *site.workers) if child]
    for child in killed:
        child.kill()
    for child in killed:
        child.start()
    site.wait_ready()


def test_a_new_user_sees_all_of_the_gate(
    site: Installation, client: Client, env: dict[str, str], files: Path
) -> None:
    note = files / "note.md"
    with Terminal("chat", "scribe", "--path", "desk", env=env, columns=250) as chat:
        chat.expect("\n> ")
        chat.line(f"{note}: It rains.")
        assert "is outside of the workspace folder" in chat.expect(PROMPT)
        kill_all(site)
        (question,) = client.list_approvals()
        shown = bursar(env, "approvals", "show", question.id)
        assert "It rains." in shown
        assert f"write {note}" in shown
        answered = bursar(env, "approvals", "answer", "--approve", "--scope", "workspace")
        assert f"file+write://{note} needs no answer in the workspace" in answered
        chat.expect(f"{question.id}: approved (workspace) by key:environment")
        chat.expect(f"created {note}", timeout_s=40)
        chat.expect("\n> ")
    assert note.read_text() == "It rains."
    say = ("run", "scribe", "--path", "desk")
    assert f"replaced {note}" in bursar(env, *say, f"{note}: The next session.")
    (allowed,) = client.list_allowances()
    assert allowed.id in bursar(env, "allowances", "list")
    bursar(env, "allowances", "revoke", allowed.id)
    with Terminal(*say, f"{note}: Once more.", env=env) as again:
        again.expect(PROMPT)
        again.line("d it is dry")
        again.expect("was denied by a person: it is dry")
        assert again.ended() == 0
    assert note.read_text() == "The next session."
    _check_the_log(client, env, question.id, allowed.id, f"file+write://{note}")


def _check_the_log(
    client: Client, env: dict[str, str], question: str, allowance: str, action: str
) -> None:
    def sealed() -> bool:
        state = client.get_audit_head()
        return state.sealed_seq == state.audit_seq

    wait_for(sealed, "a seal on all entries")
    lines = bursar(env, "audit", "tail", "--json", "-n", "200").splitlines()
    entries = [json.loads(line) for line in lines]
    shown = [
        (entry["decision"], entry["actor"].split(":")[0], entry["action"], entry.get("proof_id"))
        for entry in entries
        if entry["action"] in {action, "allowance.grant", "allowance.revoke"}
    ]
    ids = [proof for *_, proof in shown]
    assert [each[:3] for each in shown if each[:2] != ("allow", "agent")] == [
        ("ask", "agent", action),
        ("allow", "key", action),
        ("done", "key", "allowance.grant"),
        ("done", "key", "allowance.revoke"),
        ("ask", "agent", action),
        ("deny", "key", action),
    ]
    assert sum(each[:3] == ("allow", "agent", action) for each in shown) == 2
    assert ids.count(question) >= 2
    assert allowance in ids
    verified = bursar(env, "audit", "verify", "default")
    assert re.search(r"default +\d+ +\d+ +0 +ok", verified)
    head = verified.rsplit("head of default: ", 1)[1].strip()
    assert "ok" in bursar(env, "audit", "verify", "default", "--head", head)


def test_a_prompt_outlives_the_gateway(
    site: Installation, client: Client, env: dict[str, str], files: Path
) -> None:
    with Terminal("chat", "scribe", "--path", "desk", env=env) as chat:
        chat.expect("\n> ")
        chat.line("a.md: It rains.")
        chat.expect(PROMPT)
        assert site.gateway is not None
        site.gateway.kill()
        chat.line("o")
        chat.expect("whether the answer counted is not known")
        chat.expect(PROMPT)
        site.gateway.start()
        site.wait_ready()
        chat.line("o")
        chat.expect("created a.md", timeout_s=40)
        chat.expect("\n> ")
    assert (files / "desk" / "a.md").read_text() == "It rains."


def test_an_approval_whose_worker_dies_runs_once_elsewhere(
    site: Installation, client: Client, env: dict[str, str], files: Path
) -> None:
    """The answer is durable when it is given; whoever comes next runs the call."""
    session = client.create_session("scribe", workspace_path="desk")
    turn = client.start_turn(session, "a.md: It rains.").turn
    wait_for(lambda: len(client.list_approvals()) == 1, "a question")
    for worker in site.workers:
        worker.kill()
    bursar(env, "approvals", "answer", "--approve")
    assert not (files / "desk" / "a.md").exists()
    for worker in site.workers:
        worker.start()
    wait_for(lambda: client.get_turn(turn).ended, "end of the turn", timeout_s=40)
    assert client.get_turn(turn).state == "succeeded"
    assert (files / "desk" / "a.md").read_text() == "It rains."
    kinds = [event.kind for event in client.turn_events(turn)]
    assert kinds.count("tool.started") == 1
