"""``bursar sessions fork``, ``export`` and ``import``."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.command import Bursar
from support.stub_gateway import Answer, StubGateway, problem

SESSIONS = "/v1/workspaces/default/sessions"
FORK, EXPORT = f"POST {SESSIONS}/s1/fork", f"GET {SESSIONS}/s1/export"
IMPORT = f"POST {SESSIONS}/import"
VIEW: dict[str, Any] = {
    "id": "s2", "workspace": "default", "user": "u", "agent": "a", "state": "idle",
    "forked_from": "s1", "forked_at": 4, "message_count": 5, "spent_before_microusd": 1_250_000,
}  # fmt: skip
DOCUMENT = (
    b'{"schema_version":1,"session":{},"messages":[\n'
    b'{"role":"user","text":"gr\xc3\xbcn"},\n{"role":"user","text":"b"}\n]}\n'
)


def test_a_fork_tells_what_was_made(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(FORK, VIEW)
    argv = ["--at", "4", "--id", "s2", "--model", "m", "--limit-usd", "0.50", "--token-limit", "9"]
    ran = bursar("sessions", "fork", "s1", *argv)
    assert (ran.status, ran.out) == (0, "s2 goes on from s1, up to message 4\n")
    assert stub.asked(FORK)[0].body == {
        "at": 4, "id": "s2", "model": "m", "limit_microusd": 500_000, "token_limit": 9,
    }  # fmt: skip
    ran = bursar("sessions", "fork", "s1", "--json")
    assert json.loads(ran.out)["id"] == "s2"
    assert stub.asked(FORK)[1].body == {}


def test_a_refused_point_is_told(bursar: Bursar, stub: StubGateway) -> None:
    told = "message 1 is inside a step; the nearest points are 0 and 3"
    stub.on(FORK, problem(422, "inside_step", told, field="at", before=0, after=3))
    ran = bursar("sessions", "fork", "s1", "--at", "1")
    assert ran.status != 0
    assert told in ran.err


def test_an_export_is_a_new_file_or_what_is_printed(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    stub.on(EXPORT, Answer(DOCUMENT))
    file = tmp_path / "s1.json"
    ran = bursar("sessions", "export", "s1", str(file))
    assert (ran.status, ran.out) == (0, f"s1 with 2 messages is in {file}\n")
    assert file.read_bytes() == DOCUMENT
    assert bursar("sessions", "export", "s1").out.encode() == DOCUMENT
    again = bursar("sessions", "export", "s1", str(file))
    assert again.status != 0
    assert "exists" in again.err


def test_an_export_that_breaks_off_leaves_no_file(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    stub.on(EXPORT, Answer(DOCUMENT, cut=True))
    ran = bursar("sessions", "export", "s1", str(tmp_path / "s1.json"))
    assert ran.status != 0
    assert list(tmp_path.iterdir()) == []


def test_an_import_tells_what_was_made(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on(IMPORT, VIEW)
    file = tmp_path / "s1.json"
    file.write_bytes(DOCUMENT)
    ran = bursar("sessions", "import", str(file), "--new-id", "--limit-usd", "2")
    assert (ran.status, ran.out) == (0, "s2 has 5 messages; $1.25 were spent on it before\n")
    seen = stub.asked(IMPORT)[0]
    assert (seen.body, seen.query) == (json.loads(DOCUMENT), "new_id=true&limit_microusd=2000000")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(DOCUMENT)))
    ran = bursar("sessions", "import", "-", "--json")
    assert json.loads(ran.out)["message_count"] == 5
    assert stub.asked(IMPORT)[1].body == json.loads(DOCUMENT)


def test_a_refused_import_names_the_place(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    stub.on(IMPORT, problem(422, "invalid_input", "no", field="messages[3].tool_calls"))
    file = tmp_path / "s1.json"
    file.write_bytes(DOCUMENT)
    ran = bursar("sessions", "import", str(file))
    assert ran.status != 0
    assert "messages[3].tool_calls" in ran.err
    ran = bursar("sessions", "import", str(tmp_path / "nothing"))
    assert ran.status != 0
    assert "cannot read" in ran.err


def test_where_a_session_comes_from_is_shown(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {SESSIONS}/s2", VIEW | {"imported_from": "acme/s0"})
    shown = bursar("sessions", "show", "s2").out
    assert "s1, up to message 4" in shown
    assert "acme/s0" in shown


@pytest.mark.parametrize("content", ['{"format": 1', "[]", "{} {}", "", "\x00"])
def test_a_file_that_is_no_export_is_not_sent(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(content)
    ran = bursar("sessions", "import", str(file))
    assert (ran.status, stub.seen) == (2, [])
    assert ran.err.startswith("bursar: FILE: expected an exported session: ")
