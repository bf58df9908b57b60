"""``bursar approvals``: list, show, answer and watch without a terminal, against a stub."""

import json
import time
from pathlib import Path

import pytest

from support.command import Bursar
from support.samples import allowance, approval, session
from support.stub_gateway import StubGateway, problem

WS = "/v1/workspaces/default"
MANY = f"{WS}/approvals"
ONE = f"{MANY}/apr_1"
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_120.0)
    monkeypatch.delenv("BURSAR_FILES_ROOT", raising=False)


def test_the_list_says_what_is_urgent_and_how_long_there_is(
    bursar: Bursar, stub: StubGateway
) -> None:
    deferred = approval(
        id="apr_2", priority="critical", state="deferred", tool="shell", action="exec://ls",
        server="local",
    )  # fmt: skip
    stub.on(f"GET {MANY}", [deferred, approval()])
    head, first, second = bursar("approvals", "list").out.splitlines()
    assert head.split() == [
        "question", "urgency", "asked", "to", "be", "answered", "session", "tool", "what",
    ]  # fmt: skip
    assert first.split() == [
        "apr_2", "critical", "2", "min", "ago", "deferred", "s1", "shell", "shell", "exec://ls",
    ]  # fmt: skip
    assert second.split() == [
        "apr_1", "normal", "2", "min", "ago", "in", "3", "min", "s1", "send", "send",
    ]  # fmt: skip
    assert json.loads(bursar("approvals", "list", "--json").out)[0]["id"] == "apr_2"


def test_the_list_is_of_a_session_or_of_a_tree(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {MANY}", [])
    stub.on(f"GET {WS}/sessions/s1/approvals", [approval()])
    ran = bursar("approvals", "list", "--session", "s1")
    assert (ran.out, stub.seen[0].query) == ("no question is open\n", "session=s1")
    assert "apr_1" in bursar("approvals", "list", "--tree", "s1").out
    both = bursar("approvals", "list", "--tree", "s1", "--session", "s1")
    assert (both.status, "--session" in both.err) == (2, True)


def test_markup_and_escapes_of_a_name_stay_text_in_the_list(
    bursar: Bursar, stub: StubGateway
) -> None:
    name = "[red]x[/]\x1b[2J\u202e:smile:"
    stub.on(f"GET {MANY}", [approval(tool=name, action=f"tool://local/{name}", server=name)])
    out = bursar("approvals", "list").out
    assert out.count("[red]x[/]\\u001b[2J\\u202e:smile:") == 3


def test_json_on_a_terminal_steers_nothing(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {ONE}", approval(tool="a\x9b31m\u202eb\x1b[2J"))
    out = bursar("approvals", "show", "apr_1", "--json").out
    assert not {"\x9b", "\u202e", "\x1b"} & set(out)
    assert json.loads(out)["tool"] == "a\x9b31m\u202eb\x1b[2J"


def test_a_question_is_shown_with_its_diff_to_the_file_as_it_is_here(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "a.md").write_text("one\n")
    monkeypatch.setenv("BURSAR_FILES_ROOT", str(tmp_path))
    written = approval(
        tool="write_file",
        action="file+write://a.md",
        arguments='{"content":"two\\n","path":"a.md"}',
    )
    stub.on(f"GET {ONE}", written)
    stub.on(f"GET {WS}/sessions/s1", session(workspace_path="desk"))
    lines = bursar("approvals", "show", "apr_1").out.splitlines()
    assert {"│ -one", "│ +two"} <= {line.rstrip() for line in lines}


def test_an_unknown_question_is_one_line(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {ONE}", problem(404, "approval_not_found", "no such question"))
    ran = bursar("approvals", "show", "apr_1")
    assert (ran.status, ran.err) == (2, "bursar: no such question\n")


# -- answers


@pytest.mark.parametrize(
    ("argv", "body"),
    [
        (["--approve"], {"decision": "approve"}),
        (["--approve", "--scope", "tree"], {"decision": "approve", "scope": "tree"}),
        (["--deny", "--reason", "no"], {"decision": "deny", "reason": "no"}),
        (["--defer"], {"decision": "defer"}),
        (
            ["--approve", "--arguments", '{"to": "eve"}'],
            {"decision": "approve", "arguments": {"to": "eve"}},
        ),
        (
            ["--approve", "--allow", "send", "--uses", "3", "--for", "1h"],
            {
                "decision": "approve",
                "allowance": {"pattern": "send", "max_uses": 3, "expires_in_s": 3600},
            },
        ),
        (
            ["--approve", "--allow", "send", "--scope", "session"],
            {
                "decision": "approve",
                "allowance": {"pattern": "send", "scope": "session", "session": "s1"},
            },
        ),
    ],
    ids=str,
)
def test_an_answer_says_what_the_options_say_and_which_arguments_were_seen(
    bursar: Bursar, stub: StubGateway, argv: list[str], body: dict[str, object]
) -> None:
    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", approval(state="approved", decision="approve", answered_by="key:ann"))
    ran = bursar("approvals", "answer", "apr_1", *argv)
    assert ran.status == 0, ran.err
    assert stub.asked(f"POST {ONE}")[0].body == body | {"arguments_sha256": SHA}
    assert 'to  "bob"' in ran.out
    assert ran.out.splitlines()[-1].startswith("apr_1: approved; the call runs now")
    assert SHA[:12] in ran.out.splitlines()[-1]


def test_a_call_outside_is_allowed_together_with_its_place(
    bursar: Bursar, stub: StubGateway
) -> None:
    place = {"path": "/data/a", "operation": "write", "volume": "7"}
    stub.on(f"GET {ONE}", approval(outside=[place]))
    stub.on(f"POST {ONE}", approval(state="approved", decision="approve"))
    bursar("approvals", "answer", "apr_1", "--approve", "--allow", "file+write:///data/*")
    sent = stub.asked(f"POST {ONE}")[0].body["allowance"]
    assert sent == {"pattern": "file+write:///data/*", "paths": [place]}


def test_what_an_answer_allowed_is_said_with_how_to_take_it_back(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(f"GET {ONE}", approval())
    answered = approval(state="approved", decision="approve", scope="session", grant="alw_1")
    stub.on(f"POST {ONE}", answered)
    made = allowance(scope="session", session="s1", root="s1", pattern="tool://local/send")
    stub.on(f"GET {WS}/allowances", [made])
    ran = bursar("approvals", "answer", "apr_1", "--approve", "--scope", "session")
    assert ran.out.splitlines()[-2:] == [
        "tool://local/send needs no answer in its session from now on",
        "to take that back: bursar allowances revoke alw_1 --session s1",
    ]


def test_what_is_allowed_always_is_said_with_its_end(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", approval(state="approved", decision="approve", grant="cap_1"))
    capability = {
        "id": "cap_1", "workspace": "default", "patterns": ["send"], "scope": "workspace",
        "expires_ms": 1_002_592_000_000,
    }  # fmt: skip
    found = {"state": "valid", "capability": capability}
    stub.on(f"POST {WS}/capabilities/inspect", found)
    ran = bursar("approvals", "answer", "apr_1", "--approve", "--scope", "always")
    assert "in the workspace until 2001-10-" in ran.out
    assert ran.out.splitlines()[-1] == "to take that back: bursar capabilities revoke cap_1"


def test_an_answer_that_counts_is_told_though_the_gateway_went_away(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", approval(state="approved", decision="approve", grant="alw_1"))
    stub.on(f"GET {WS}/allowances", problem(503, "store_unavailable"))
    ran = bursar("approvals", "answer", "apr_1", "--approve", "--scope", "workspace")
    assert (ran.status, "alw_1" in ran.out) == (0, True)


@pytest.mark.parametrize(
    ("refusal", "status", "says"),
    [
        (problem(409, "already_answered", "x"), 4, "denied by key:bob, 2 min ago: no"),
        (problem(409, "approval_closed", "x"), 4, "Yours changed nothing"),
        (problem(409, "other_call", "x"), 2, "bursar approvals show apr_1"),
        (problem(403, "approver_only", "x"), 2, "bursar keys create NAME --approver"),
        (problem(422, "invalid_input", "once", field="scope"), 2, "bursar: --scope: once"),
        (problem(503, "store_unavailable", "away"), 1, "away"),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_a_refusal_says_why_and_what_to_do(
    bursar: Bursar, stub: StubGateway, refusal: object, status: int, says: str
) -> None:
    answered = approval(state="denied", answered_by="key:bob", answered_ms=1_000_000_000, note="no")
    stub.on(f"GET {ONE}", approval(), answered)
    stub.on(f"POST {ONE}", refusal)  # type: ignore[arg-type]
    ran = bursar("approvals", "answer", "apr_1", "--approve")
    assert (ran.status, says in ran.err) == (status, True), ran.err
    assert len(ran.err.splitlines()) == 1


def test_an_answer_whose_reply_is_lost_is_not_said_to_have_failed(
    bursar: Bursar, stub: StubGateway
) -> None:
    from support.stub_gateway import Answer

    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", Answer(drop=True))
    ran = bursar("approvals", "answer", "apr_1", "--approve")
    assert ran.status == 3
    assert "whether the answer counted is not known" in ran.err
    assert "bursar approvals show apr_1" in ran.err
    assert len(stub.asked(f"POST {ONE}")) == 1


def test_a_question_that_is_closed_is_not_answered(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {ONE}", approval(state="cancelled", why="the turn is cancelled"))
    ran = bursar("approvals", "answer", "apr_1", "--approve")
    assert ran.status == 4
    assert "cancelled: the turn is cancelled" in ran.err
    assert stub.asked(f"POST {ONE}") == []


def test_the_only_open_question_needs_no_id(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {MANY}", [approval()], [], [approval(), approval(id="apr_2")])
    stub.on(f"POST {ONE}", approval(state="denied", decision="deny", answered_by="key:ann"))
    assert bursar("approvals", "answer", "--deny").status == 0
    none = bursar("approvals", "answer", "--deny")
    assert (none.status, "no question is open" in none.err) == (2, True)
    many = bursar("approvals", "answer", "--deny")
    assert (many.status, "apr_1, apr_2" in many.err) == (2, True)
    assert len(stub.asked(f"POST {ONE}")) == 1


def test_arguments_come_from_a_file(bursar: Bursar, stub: StubGateway, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"to": "é"}')
    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", approval(state="approved", decision="approve", edited=True))
    path = tmp_path / "a.json"
    ran = bursar("approvals", "answer", "apr_1", "--approve", "--arguments", f"@{path}")
    assert stub.asked(f"POST {ONE}")[0].body["arguments"] == {"to": "é"}
    assert "approved, with other arguments" in ran.out
    missing = bursar("approvals", "answer", "apr_1", "--approve", "--arguments", f"@{path}x")
    assert (missing.status, "--arguments" in missing.err) == (2, True)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        ([], "--approve"),
        (["--approve", "--deny"], "--approve"),
        (["--deny", "--scope", "once"], "--scope"),
        (["--deny", "--allow", "send"], "--allow"),
        (["--defer", "--arguments", "{}"], "--arguments"),
        (["--approve", "--uses", "3"], "--uses"),
        (["--approve", "--for", "1h"], "--for"),
        (["--approve", "--for", "soon", "--allow", "send"], "--for"),
        (["--approve", "--allow", "send", "--scope", "once"], "--scope"),
        (["--approve", "--allow", "send", "--scope", "always"], "--scope"),
        (["--approve", "--allow", "send", "--arguments", "{}"], "--arguments"),
        (["--approve", "--scope", "tree", "--arguments", "{}"], "--scope"),
        (["--approve", "--arguments", "[1]"], "--arguments"),
        (["--approve", "--arguments", "{"], "--arguments"),
        (["--approve", "--arguments", "[" * 99_999], "--arguments"),
        (["--approve", "--hash", "00"], "--hash"),
        (["--reason", "x"], "--reason"),
        (["--approve", "--scope", "for-ever"], "--scope"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_answer_that_says_nothing_clear_is_refused_by_name(
    bursar: Bursar, stub: StubGateway, argv: list[str], names: str
) -> None:
    stub.on(f"GET {ONE}", approval())
    ran = bursar("approvals", "answer", "apr_1", *argv)
    assert (ran.status, names in ran.err) == (2, True), ran.err
    assert stub.asked(f"POST {ONE}") == []


def test_the_exit_statuses_are_documented(bursar: Bursar) -> None:
    said = " ".join(bursar("approvals", "answer", "--help").out.split())
    assert "4 somebody else was faster" in said


def test_an_answer_as_json_is_the_question_as_it_is_now(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {ONE}", approval())
    stub.on(f"POST {ONE}", approval(state="denied", answered_by="key:ann"))
    ran = bursar("approvals", "answer", "apr_1", "--deny", "--json")
    assert json.loads(ran.out)["answered_by"] == "key:ann"
