"""``bursar tree``, ``bursar top`` and what ``bursar run`` says of sub-agents, against a stub."""

import json
from typing import Any

import pytest

from bursar.cli.live import LiveView
from bursar.cli.output import console
from bursar.cli.tree_view import TreeProgress, tree_picture
from bursar.client import ClientEvent, Purse, TreeNode, TreeTotals, TreeView
from support.command import Bursar
from support.samples import account, session
from support.stub_gateway import StubGateway, event, problem, reply, stream, turn_body

WS = "/v1/workspaces/default"
TREE = f"GET {WS}/sessions/s1/tree"
EVENTS = f"GET {WS}/sessions/s1/events"


def node(sid: str, parent: str = "", state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": sid, "parent": parent, "depth": int(bool(parent)), "agent": "leaf", "title": "",
        "state": state, "turn_state": state, "purse": {"posted_microusd": 1500}, **more,
    }  # fmt: skip


def view(state: str, *children: dict[str, Any], ended: int = 0, cursor: str = "") -> dict[str, Any]:
    states = {"ended": ended} if ended else {}
    return {
        "root": "s1",
        "purse": {"limit_microusd": 1_000_000, "posted_microusd": 500_000, "pending_microusd": 9},
        "nodes": [node("s1", state=state, agent="lead"), *children],
        "totals": {"sessions": 1 + len(children), "states": states, "steps": 7},
        "cursor": cursor,
    }


def below(seq: int, kind: str, *, kid: str = "kid", **data: Any) -> bytes:
    return event(seq, kind, session=f"s1~{kid}", turn=f"trn_{kid}", place=f"1.{seq}", **data)


def test_a_tree_is_shown_once(bursar: Bursar, stub: StubGateway) -> None:
    kid = node("s1~kid", "s1", "waiting", title="read\x1b[2J it", waiting_for="budget")
    grandkid = node("s1~deep", "s1~kid", "ended", turn_state="failed", code="timed_out")
    stub.on(TREE, view("running", grandkid, kid, ended=1))
    ran = bursar("tree", "s1", "--once")
    assert ran.status == 0
    assert "\x1b" not in ran.out
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert lines[0].startswith("$0.500009 of $1.00 ")
    assert lines[1].startswith("1 of 2 sub-agents ended ")
    assert lines[1].count("7 steps") == 1
    assert lines[2] == "1 waits for money; see `bursar budget questions`"
    assert [line.split("  ")[0] or line.strip().split()[0] for line in lines[4:]] == [
        "s1", "kid", "deep",
    ]  # fmt: skip
    assert "waiting: budget" in lines[5]
    assert "failed: timed_out" in lines[6]


def test_a_tree_is_followed_until_its_root_rests(bursar: Bursar, stub: StubGateway) -> None:
    kid = node("s1~kid", "s1")
    stub.on(TREE, view("waiting", kid), view("running", kid, ended=1), view("idle", kid, ended=1))
    stub.on(EVENTS, stream(below(1, "turn.started"), hang_s=10))
    ran = bursar("tree", "s1")
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert [line.partition(" · ")[2][:6] for line in lines] == ["0 of 1", "1 of 1"]
    assert stub.asked(EVENTS)[0].query == "tree=true"


def test_a_tree_as_json_is_one_document_a_look(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TREE, view("ended"))
    ran = bursar("tree", "s1", "--json")
    (found,) = [json.loads(line) for line in ran.out.splitlines()]
    assert (found["root"], found["nodes"][0]["state"]) == ("s1", "ended")


def test_a_followed_tree_ends_with_its_session(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TREE, view("idle"), view("ended"))
    stub.on(EVENTS, stream(event(1, "session.ended", turn="", place="1.0")))
    ran = bursar("tree", "s1", "--follow", "--json")
    assert [json.loads(line)["nodes"][0]["state"] for line in ran.out.splitlines()] == [
        "idle",
        "ended",
    ]


def test_of_a_large_tree_what_is_alive_is_read(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TREE, view("running", cursor="5-x"), view("running", node("s1~kid", "s1")))
    ran = bursar("tree", "s1", "--once", "--json")
    assert len(json.loads(ran.out)["nodes"]) == 2
    assert [seen.query for seen in stub.asked(TREE)] == ["", "live=true"]


def test_a_tree_that_cannot_be_read_fails(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(TREE, problem(404, "session_not_found"))
    assert bursar("tree", "s1").status == 2
    stub.replace(TREE, view("running"))
    stub.on(EVENTS, problem(403, "no"))
    assert bursar("tree", "s1").status == 2


def test_a_small_terminal_shows_those_that_work_before_others() -> None:
    kids = [
        TreeNode(f"s1~k{n}", "s1", 1, "leaf", "", "ended" if n < 8 else "running")
        for n in range(10)
    ]
    root = TreeNode("s1", "", 0, "lead", "", "waiting")
    found = TreeView("s1", Purse(), [root, *kids], TreeTotals(11, {"ended": 8}))
    console.cache_clear()
    with console().capture() as captured:
        console().print(tree_picture(found, height=9))
    console.cache_clear()
    shown = captured.get()
    assert "k8" in shown
    assert "k9" in shown
    assert "k0" in shown
    assert "k2" not in shown
    assert "… and 6 more" in shown


def test_that_sub_agents_wait_for_money_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def waits(kid: str, account: str, kind: str = "exhausted") -> ClientEvent:
        data = {
            "reason": "budget", "account": account, "kind": kind,
            "available_microusd": 1500, "requested_microusd": 2_000_000,
        }  # fmt: skip
        return ClientEvent("7-1", "turn.waiting", data, session=f"s1~{kid}", turn=f"t{kid}")

    console.cache_clear()
    view = LiveView("s1", workspace="default")
    view.show(waits("a", "s:s1"))
    view.show(waits("b", "s:s1"))
    view.show(waits("c", "user:ada", "contended"))
    for kid in "abc":
        view.show(ClientEvent("7-1", "turn.resumed", {}, session=f"s1~{kid}", turn=f"t{kid}"))
    view.show(waits("a", "s:s1"))
    console.cache_clear()
    dry = [
        "… sub-agents wait for money: s:s1 has $0.0015 left; the next call needs up to $2.00",
        "  to give more: bursar budget set USD --session s1",
    ]
    held = (
        "… sub-agents wait for money: user:ada has $0.0015 left, others hold the rest; "
        "the next call needs up to $2.00"
    )
    assert capsys.readouterr().out.splitlines() == [*dry, held, *dry]


def test_run_tells_of_each_sub_agent_that_ended(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}/sessions", session())
    stub.on(f"GET {WS}/sessions/s1", session())
    stub.on(f"GET {WS}/sessions/s1/budget", {"account": account(), "path": [account()]})
    stub.on(f"GET {WS}/turns/t1", turn_body())
    spawned: dict[str, Any] = {
        "child": "s1~kid",
        "agent": "leaf",
        "description": "read \x1b[2J one",
    }
    frames = [
        event(1, "turn.queued", place="1.0"),
        below(1, "session.created"),
        below(2, "turn.queued"),
        event(2, "child.spawned", place="2.2", **spawned),
        below(3, "turn.started", worker="w1"),
        below(4, "tool.started", name="secret", arguments={}),
        below(5, "usage", cost_microusd=1200),
        below(6, "turn.succeeded"),
        below(7, "turn.failed", kid="two", code="timed_out"),
        event(3, "text.delta", text="Both ", place="3.7"),
        event(4, "text.delta", text="are in", place="4.7"),
        event(5, "turn.succeeded", place="5.7"),
    ]
    stub.on(f"POST {WS}/sessions/s1/turns", stream(*frames))
    ran = bursar("run", "echo", "hi")
    assert ran.status == 0, ran.err
    assert ran.out.splitlines()[:3] == [
        "⋔ read \N{REPLACEMENT CHARACTER}[2J one (leaf) is done, $0.0012",
        "⋔ two: failed: timed_out, $0.00",
        "Both are in",
    ]
    assert "secret" not in ran.out
    assert stub.asked(f"POST {WS}/sessions/s1/turns")[0].query == "tree=true"


def told(kind: str, sid: str = "s1~a", **data: Any) -> ClientEvent:
    return ClientEvent("7-1.1", kind, {"session": sid, **data}, session=sid)


def test_progress_counts_states_and_what_is_waited_for() -> None:
    progress = TreeProgress("s1")
    assert not progress.is_open
    progress.take(told("child.spawned", "s1", child="s1~detached", agent="leaf"))
    assert not progress.is_open, "one that nobody waits for is not in the stream of a turn"
    for sid in ("s1~a", "s1~b", "s1~c", "s1~d"):
        progress.take(told("turn.queued", sid))
    progress.take(told("turn.started", "s1~a"))
    progress.take(told("turn.started", "s1~b"))
    progress.take(told("turn.waiting", "s1~b", reason="approval"))
    assert progress.take(told("turn.cancelled", "s1~c", code="cancelled"))
    assert progress.line() == (
        "⋔ sub-agents: 1 running · 1 waiting · 1 queued · 1 of 4 done · 1 cancelled"
        " (1 for approval) · $0.00"
    )
    progress.take(told("turn.resumed", "s1~b"))
    progress.take(told("usage", "s1~b", cost_microusd=2_000_000))
    assert "2 running" in progress.line()
    assert progress.line().endswith("$2.00")
    for sid in ("s1~a", "s1~b", "s1~d"):
        progress.take(told("turn.succeeded", sid))
    assert not progress.is_open


def test_on_a_terminal_one_line_about_sub_agents_is_replaced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    console.cache_clear()
    live = LiveView("s1", workspace="default")
    for one in (told("turn.queued"), told("turn.started"), told("text.delta", "s1", text="Hi\n")):
        live.show(one)
    live.end()
    console.cache_clear()
    shown = capsys.readouterr().out
    assert shown.count("sub-agents") == 3
    assert shown.count("\r\x1b[2K") == 3
    assert shown.count("\n") == 1


def installation() -> dict[str, Any]:
    return {
        "workers": [
            {"id": "w1", "host": "h", "pid": 1, "group": "default", "slots": 8, "busy": 3,
             "agents": "echo", "started_ms": 1, "seen_ms": 2},
        ],
        "workspaces": [
            {"id": "calm", "running": 0, "queued": 0, "waiting": 0, "paused": True},
            {"id": "busy", "running": 3, "queued": 2, "waiting": 1, "limit_microusd": 2_000_000,
             "posted_microusd": 900_000, "pending_microusd": 100_000},
        ],
        "queues": {"arq:default": 4, "arq:other": 0},
        "blocked": {"cap": 2},
    }  # fmt: skip


def test_top_shows_the_installation(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/top", reply(installation()))
    out = bursar("top", "--once").out
    assert "1 worker, 3 of 8 slots busy · 3 running · 2 queued · 1 waiting · $0.90 spent" in out
    assert out.index("busy  ") < out.index("calm")
    assert "$1.00 of $2.00" in out
    assert "paused" in out
    assert "not heard yet: 4 in arq:default" in out
    assert "2 blocked: their workspace's cap is reached" in out
    ran = bursar("top", "--once", "--json")
    assert json.loads(ran.out)["blocked"] == {"cap": 2}
