"""``bursar policy``: show, set, unset, history, explain."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from bursar.cli.policy_files import read_policy_file
from support.command import Bursar
from support.stub_gateway import Answer, StubGateway, problem

POLICY = "/v1/workspaces/default/policy"
NONE: dict[str, Any] = {"agent": "", "version": 0}


def view(version: int = 3, agent: str = "", **lists: list[str]) -> dict[str, Any]:
    return {"agent": agent, "version": version, "at_ms": 1, "by": "key:k", **lists}


def test_a_policy_is_shown_in_the_form_that_set_takes(
    bursar: Bursar, stub: StubGateway, tmp_path: Path
) -> None:
    odd = 'file+read://a"b\\*\u00e9'
    stub.on(f"GET {POLICY}", view(blocked=["exec://sudo **"], allow=[odd, "x"]))
    out = bursar("policy", "show").out
    assert out.splitlines()[0] == (
        "# policy of workspace default for all agents, version 3 by key:k"
    )
    file = tmp_path / "policy.toml"
    file.write_text(out)
    assert read_policy_file(file) == {
        "blocked": ["exec://sudo **"], "ask": [], "allow": [odd, "x"],
    }  # fmt: skip


def test_no_policy_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {POLICY}/agents/support", {**NONE, "agent": "support"})
    ran = bursar("policy", "show", "--agent", "support")
    assert ran.out == "# policy of workspace default for agent support: none\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.toml", 'ask = ["net://**"]\nallow = ["x"]\n'),
        ("p.json", '{"ask": ["net://**"], "allow": ["x"]}'),
        ("p", ' {"ask": ["net://**"], "allow": ["x"]}'),
    ],
)
def test_a_file_takes_the_place_of_the_policy(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    stub.on(f"PUT {POLICY}", view(ask=["net://**"], allow=["x"]))
    ran = bursar("policy", "set", str(tmp_path / name), "--expect", "2", "--block", "y")
    assert (ran.status, "version 3" in ran.out) == (0, True)
    assert stub.seen[0].body == {
        "blocked": ["y"], "ask": ["net://**"], "allow": ["x"], "expected_version": 2,
    }  # fmt: skip


def test_a_policy_comes_from_a_pipe(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.on(f"PUT {POLICY}", view())
    monkeypatch.setattr("sys.stdin", io.StringIO('ask = ["a"]'))
    assert json.loads(bursar("policy", "set", "-", "--json").out)["version"] == 3
    assert stub.seen[0].body["ask"] == ["a"]
    assert "expected_version" not in stub.seen[0].body


def test_options_change_the_policy_that_is_there(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {POLICY}/agents/support", view(4, "support", ask=["a", "b"], allow=["c"]))
    stub.on(f"PUT {POLICY}/agents/support", view(5, "support"))
    ran = bursar(
        "policy", "set", "--agent", "support", "--ask", "a", "--ask", "d", "--block", "e",
        "--drop", "c",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert stub.seen[1].body == {
        "blocked": ["e"], "ask": ["a", "b", "d"], "allow": [], "expected_version": 4,
    }  # fmt: skip


def test_a_change_in_between_is_taken_into_account(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {POLICY}", view(3, ask=["a"]), view(4, ask=["b"]))
    stub.on(f"PUT {POLICY}", problem(409, "policy_changed", version=4), view(5))
    assert bursar("policy", "set", "--ask", "c").status == 0
    bodies = [seen.body for seen in stub.asked(f"PUT {POLICY}")]
    assert [(body["ask"], body["expected_version"]) for body in bodies] == [
        (["a", "c"], 3), (["b", "c"], 4),
    ]  # fmt: skip


def test_a_change_in_between_is_refused_where_a_version_is_expected(
    bursar: Bursar, stub: StubGateway
) -> None:
    stub.on(f"GET {POLICY}", view(4))
    stub.on(f"PUT {POLICY}", problem(409, "policy_changed", "it is at version 4", version=4))
    ran = bursar("policy", "set", "--ask", "c", "--expect", "3")
    assert (ran.status, "version 4" in ran.err) == (2, True)
    assert len(stub.asked(f"PUT {POLICY}")) == 1


def test_a_policy_that_never_rests_is_given_up(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {POLICY}", view(4))
    stub.on(f"PUT {POLICY}", problem(409, "policy_changed", version=4))
    assert bursar("policy", "set", "--ask", "c").status == 2
    assert len(stub.asked(f"PUT {POLICY}")) == 5


@pytest.mark.parametrize(
    ("text", "argv", "names"),
    [
        (None, ["set"], "FILE"),
        (None, ["set", "no-such-file"], "no-such-file"),
        ("ask = [", ["set"], "p.toml"),
        ('ask = ["ftp://x"]', ["set"], "policy.ask[0]"),
        ('deny = ["x"]', ["set"], "policy.deny"),
        ('ask = "x"', ["set"], "policy.ask"),
        ("", ["set", "--drop", "x"], "--drop"),
        (None, ["set", "--ask", "x", "--expect", "-1"], "--expect"),
        (None, ["explain", "x", "--effect", "some"], "--effect"),
        (None, ["history", "0"], "VERSION"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_sent(
    bursar: Bursar, stub: StubGateway, tmp_path: Path, text: str | None, argv: list[str], names: str
) -> None:
    if text is not None:
        (tmp_path / "p.toml").write_text(text)
        argv = [argv[0], str(tmp_path / "p.toml"), *argv[1:]]
    ran = bursar("policy", *argv)
    assert (ran.status, names in ran.err) == (2, True), ran.err
    assert stub.seen == []


def test_a_policy_is_removed(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"DELETE {POLICY}", Answer(status=204))
    stub.on(f"DELETE {POLICY}/agents/a", Answer(status=204))
    assert bursar("policy", "unset", "--expect", "3").out == (
        "policy of workspace default for all agents is removed\n"
    )
    assert bursar("policy", "unset", "-a", "a").out.endswith("for agent a is removed\n")
    assert [seen.query for seen in stub.seen] == ["expected_version=3", ""]


def test_the_history_is_a_table_and_each_version_a_policy(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 120.0)
    gone = {**view(4), "removed": True}
    stub.on(f"GET {POLICY}/history", [gone, view(3, ask=["a", "b"], allow=["c"])])
    head, first, second = bursar("policy", "history").out.splitlines()
    assert head.split() == ["version", "when", "by", "blocked", "ask", "allow"]
    assert first.split() == ["4", "1", "min", "ago", "key:k", "removed"]
    assert second.split()[-3:] == ["0", "2", "1"]
    assert json.loads(bursar("policy", "history", "--json").out)[0]["removed"]
    stub.on(f"GET {POLICY}/history/3", view(3, ask=["a"]))
    stub.on(f"GET {POLICY}/history/4", gone)
    assert '"a"' in bursar("policy", "history", "3", "-a", "x").out
    assert stub.seen[-1].query == "agent=x"
    assert "removed with version 4 by key:k" in bursar("policy", "history", "4").out


def test_no_history_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {POLICY}/history", [])
    assert bursar("policy", "history").out == "there never was one\n"


def explained(verdict: str, **more: Any) -> dict[str, Any]:
    return {
        "action": "exec://git push", "agent": "support", "effect": "at_most_once", "risk": "low",
        "verdict": verdict, "reason": "ask exec://git ** (workspace policy, version 3)",
        "needed": "a person's answer", "rules": [
            {"layer": "workspace policy", "version": 3, "listed": "ask", "pattern": "exec://git **",
             "decides": True},
            {"layer": "workspace policy for agent support", "version": 2, "listed": "allow",
             "pattern": "exec://git push", "decides": False},
            {"layer": "code of agent support", "version": 0, "listed": "allow",
             "pattern": "exec://git push", "decides": False},
        ], **more,
    }  # fmt: skip


def test_it_says_in_words_which_rule_decides_and_why(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {POLICY}/explain", explained("ask", hooks=["no_secrets"]))
    ran = bursar("policy", "explain", "exec://git push", "--agent", "support", "--risk", "high")
    assert ran.out.splitlines() == [
        "exec://git push: asked",
        "because: ask exec://git ** (workspace policy, version 3)",
        "speaks of it, too: allow exec://git push (workspace policy for agent support, version 2)",
        "speaks of it, too: allow exec://git push (code of agent support)",
        "needed: a person's answer",
        "hooks look at it first: no_secrets",
    ]
    assert stub.seen[0].body == {"action": "exec://git push", "agent": "support", "risk": "high"}


@pytest.mark.parametrize(("verdict", "status"), [("allow", 0), ("ask", 4), ("deny", 5), ("?", 5)])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_exit_status_is_the_verdict(
    bursar: Bursar, stub: StubGateway, verdict: str, status: int, flags: list[str]
) -> None:
    stub.on(f"POST {POLICY}/explain", explained(verdict))
    ran = bursar("policy", "explain", "exec://git push", *flags)
    assert ran.status == status
    assert not flags or json.loads(ran.out)["verdict"] == verdict


def test_what_rules_say_cannot_steer_the_terminal(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {POLICY}/explain", explained("deny", reason="blocked \x1b[2Jx", rules=[]))
    assert "\x1b" not in bursar("policy", "explain", "x").out
