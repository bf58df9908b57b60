"""The audit log of an installation at work, verified from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from bursar.cli.app import run
from bursar.cli.output import console
from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.waiting import wait_for


@pytest.fixture
def bursar(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run a command with --json; returns what it printed."""
    monkeypatch.setenv("BURSAR_URL", installation.url)
    monkeypatch.setenv("BURSAR_API_KEY", installation.key)

    def command(*argv: str, status: int = 0) -> Any:
        console.cache_clear()
        assert run([*argv, "--json"]) == status, capsys.readouterr()
        console.cache_clear()
        return json.loads(capsys.readouterr().out)

    return command


def test_it_verifies_while_turns_run_and_is_stored_and_trimmed(
    client: Client, bursar: Any, tmp_path: Path
) -> None:
    sessions = [client.create_session("echo", user="ann") for _ in range(6)]
    for session in sessions:
        client.start_turn(session, "go on")
        (verdict,) = bursar("audit", "verify", "default")
        assert verdict["ok"], verdict
    wait_for(lambda: client.get_audit_head().sealed_seq > 0, "a gateway to seal")
    for session in sessions:
        client.end_session(session)
    verdicts = bursar("audit", "verify", "default", "--installation")
    assert [verdict["ok"] for verdict in verdicts] == [True, True]
    assert verdicts[0]["entries"] >= 12

    out = tmp_path / "audit.jsonl"
    done = bursar("audit", "trim", "-w", "default", "--export", str(out))
    assert done["exported"] == done["dropped"] >= 12
    (stored,) = bursar("audit", "verify", "--file", str(out))
    assert stored["ok"]
    kept = f"{stored['sealed_seq']}:{stored['head']}"
    client.create_session("echo", user="ann")
    (verdict,) = bursar("audit", "verify", "default", "--head", kept)
    assert (verdict["ok"], verdict["first_seq"]) == (True, stored["sealed_seq"] + 1)
    ready = client.get_readiness()
    assert ready.sealing is not None
    assert ready.sealing.broken == 0
