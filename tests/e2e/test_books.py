"""Budgets from the command line, on an installation that works meanwhile."""

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bursar.cli.app import run
from bursar.cli.output import console
from bursar.cli.supervisor import Installation
from bursar.client import Client
from support.waiting import ended, wait_for

SLOW = "local:echo?delay_ms=100&tokens=20"


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


def test_the_audit_is_clean_while_turns_run(client: Client, bursar: Any) -> None:
    sessions = [client.create_session("echo", model=SLOW, user="ann") for _ in range(12)]
    turns = [client.start_turn(session, "spend a little").turn for session in sessions]
    held = 0
    while not all(ended(client, turn) for turn in turns):
        audit = client.audit_budget()
        assert audit.ok
        held += audit.holds
    assert held > 0, "no call was under way, so nothing was shown"
    (audit,) = bursar("audit", "budgets")
    assert (audit["ok"], audit["holds"], audit["entries"]) == (True, 0, 12)


def test_a_turn_waits_for_money_and_goes_on_once_it_is_there(client: Client, bursar: Any) -> None:
    session = client.create_session("echo", limit_microusd=1)
    turn = client.start_turn(session, "you cannot pay for this").turn
    wait_for(lambda: client.get_turn(turn).state == "waiting", "the turn to wait")
    (question,) = bursar("budget", "questions")
    assert [waiting["turn"] for waiting in question["turns"]] == [turn]
    assert question["account"]["account"] == f"s:{session.id}"
    bursar("budget", "set", "1", "--session", session.id)
    wait_for(partial(ended, client, turn), "the turn to end")
    assert client.get_turn(turn).state == "succeeded"
    assert bursar("budget", "questions") == []


def test_the_ledger_is_added_up_stored_and_cut_short(
    client: Client, bursar: Any, tmp_path: Path
) -> None:
    session = client.create_session("echo", user="bob")
    assert client.run(session, "on record").ok
    before = bursar("budget", "show")[0]["posted_microusd"]
    top = bursar("budget", "top", "--by", "agent", "--since", "1h")
    assert [one["name"] for one in top["spenders"]] == ["echo"]
    assert top["total_microusd"] == before > 0
    out = tmp_path / "ledger.csv"
    done = bursar("budget", "checkpoint", "--export", str(out))
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == done["exported"] == done["dropped"] > 0
    assert sum(int(row["actual"] or 0) for row in rows) == before
    assert client.run(session, "and once more").ok
    (audit,) = bursar("audit", "budgets", "default")
    assert audit["ok"]
    assert audit["entries"] == done["accounts"] + 1
    assert bursar("budget", "show")[0]["posted_microusd"] > before


def test_a_reset_is_in_the_books(client: Client, bursar: Any) -> None:
    session = client.create_session("echo", user="eve")
    assert client.run(session, "this will be forgotten").ok
    assert bursar("budget", "reset", "--user", "eve")["posted_microusd"] == 0
    assert client.run(session, "this will not").ok
    user = bursar("budget", "show", "--user", "eve")[0]["posted_microusd"]
    assert 0 < user < bursar("budget", "show", "--session", session.id)[-1]["posted_microusd"]
    assert bursar("audit", "budgets", "default")[0]["ok"]
