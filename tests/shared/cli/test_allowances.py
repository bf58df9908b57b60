"""``bursar allowances``: list, add, revoke, export, import."""

import io
import json
import time
from pathlib import Path

import pytest

from support.command import Bursar
from support.samples import allowance
from support.stub_gateway import StubGateway, problem

WS = "/v1/workspaces/default"
MANY = f"{WS}/allowances"


def test_the_list_says_what_for_whom_and_for_how_long(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_120.0)
    place = {"path": "/data", "operation": "write", "volume": "7", "directory": True}
    limited = allowance(
        id="alw_2", scope="session", session="s1", root="s1", max_uses=3, uses_left=1,
        expires_ms=1_007_400_000, note="[bold]\x1b[2J", approval="apr_1", paths=[place],
        folder="/files/a",
    )  # fmt: skip
    stub.on(f"GET {MANY}", [allowance(), limited])
    _, first, second = bursar("allowances", "list", "--session", "s1").out.splitlines()
    assert first.split()[:5] == [
        "alw_1", "the", "workspace", "file+write://reports/**", "2",
    ]  # fmt: skip
    for part in (
        "session s1",
        "/files/a",
        "write of /data/**",
        "1 of 3",
        "in 2 h",
        "apr_1",
        "[bold]\\u001b[2J",
    ):
        assert part in second
    assert stub.seen[0].query == "session=s1"
    assert json.loads(bursar("allowances", "list", "--json").out)[1]["uses_left"] == 1


def test_nothing_allowed_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/acme/allowances", [])
    ran = bursar("allowances", "list", "-w", "acme")
    assert ran.out == "nothing is allowed beyond the policy\n"


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        ([], {}),
        (["--session", "s1"], {"scope": "session", "session": "s1"}),
        (["--tree", "s1"], {"scope": "tree", "session": "s1"}),
        (["--uses", "3", "--for", "8h"], {"max_uses": 3, "expires_in_s": 28_800}),
        (["--note", "x"], {"note": "x"}),
        (["--folder", "/files/a"], {"folder": "/files/a"}),
    ],
    ids=str,
)
def test_only_what_is_given_is_sent(
    bursar: Bursar, stub: StubGateway, argv: list[str], body: dict[str, object]
) -> None:
    stub.on(f"POST {MANY}", allowance())
    ran = bursar("allowances", "add", "send", *argv)
    assert (ran.status, "alw_1" in ran.out) == (0, True)
    assert stub.seen[0].body == {"pattern": "send"} | body


def test_a_place_outside_is_opened_with_its_volume(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    stub.on(f"POST {MANY}", allowance())
    bursar("allowances", "add", "file+write:///x/**", "--outside", f"write:{tmp_path}/")
    (place,) = stub.seen[0].body["paths"]
    assert (place["path"], place["directory"]) == (str(tmp_path), True)
    assert place["volume"]


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["add", "send", "--session", "a", "--tree", "b"], "--session"),
        (["add", "send", "--for", "long"], "--for"),
        (["add", "send", "--uses", "0"], "--uses"),
        (["add", "send", "--outside", "data"], "--outside"),
        (["revoke"], "--all"),
        (["revoke", "alw_1", "--all"], "ID"),
        (["import", "nowhere.json"], "FILE"),
    ],
    ids=str,
)
def test_a_command_that_says_nothing_clear_is_refused_by_name(
    bursar: Bursar, stub: StubGateway, argv: list[str], names: str
) -> None:
    ran = bursar("allowances", *argv)
    assert (ran.status, names in ran.err) == (2, True), ran.err
    assert stub.seen == []


def test_a_refusal_names_the_field(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {MANY}", problem(422, "invalid_input", "expected …", field="pattern"))
    ran = bursar("allowances", "add", "file://../x")
    assert (ran.status, ran.err) == (2, "bursar: pattern: expected …\n")


def test_some_are_revoked_and_one_that_is_not_there_says_where_to_look(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(f"DELETE {MANY}/alw_1", {})
    stub.on(f"DELETE {MANY}/alw_2", problem(404, "allowance_not_found"))
    ran = bursar("allowances", "revoke", "alw_1", "alw_2")
    assert ran.out == "alw_1 is revoked\n"
    assert (ran.status, "--session" in ran.err, "alw_2" in ran.err) == (2, True, True)
    bursar("allowances", "revoke", "alw_1", "--tree", "s1")
    assert stub.seen[-1].query == "session=s1"


def test_all_of_a_scope_are_revoked(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {MANY}/revoke", {"revoked": 2}, {"revoked": 1})
    assert bursar("allowances", "revoke", "--all", "--session", "s1").out == "2 are revoked\n"
    assert bursar("allowances", "revoke", "--all", "--yes").out == "1 is revoked\n"
    assert [seen.body for seen in stub.seen] == [
        {"scope": "session", "session": "s1"}, {"scope": "workspace"},
    ]  # fmt: skip


def test_an_export_is_what_import_takes(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on(f"GET {MANY}/export", [allowance()])
    stub.on(f"POST {MANY}/import", {"added": 1, "present": 2, "used_up": 3})
    file = tmp_path / "allowances.json"
    assert bursar("allowances", "export", "--out", str(file)).out == f"1 in {file}\n"
    ran = bursar("allowances", "import", str(file))
    assert ran.out == "1 taken, 2 were there, 3 had ended and stay so\n"
    assert stub.seen[-1].body == {"entries": [allowance()]}
    again = bursar("allowances", "export", "--out", str(file))
    assert (again.status, "exists" in again.err) == (2, True)
    piped = bursar("allowances", "export").out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
    assert bursar("allowances", "import", "-").status == 0


def test_a_file_that_is_no_export_is_said_to_and_why(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"id": 1}]')
    ran = bursar("allowances", "import", str(file))
    assert (ran.status, "no export" in ran.err) == (2, True)
    assert stub.seen == []
