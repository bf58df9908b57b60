"""``sessions``, ``keys``, ``workspaces``: what they ask and what they print."""

import json

from support.command import Bursar
from support.samples import session, workspace
from support.stub_gateway import Answer, StubGateway, problem

WS = "/v1/workspaces/default"
_ALIVE = problem(409, "workspace_alive", "the workspace was not killed")


def test_sessions_are_listed_with_whole_ids(bursar: Bursar, stub: StubGateway) -> None:
    long = "ses_" + "x" * 40
    page = {"sessions": [session(id=long, title="t\x1bitle", token_count=1234)], "cursor": "more"}
    stub.on(f"GET {WS}/sessions", page)
    ran = bursar("sessions", "list", "--user", "ann", "--state", "idle", "--limit", "3")
    assert (ran.status, long in ran.out, "1,234" in ran.out) == (0, True, True)
    assert "\x1b" not in ran.out
    assert "--limit" in ran.err
    assert stub.seen[0].query == "user=ann&state=idle&roots=true&limit=3"


def test_sessions_json_is_an_array(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {WS}/sessions", {"sessions": [session()]})
    ran = bursar("sessions", "list", "--json")
    assert [one["id"] for one in json.loads(ran.out)] == ["s1"]


def test_no_sessions_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/acme/sessions", {"sessions": []})
    assert "acme" in bursar("sessions", "list", "-w", "acme").out


def test_a_session_is_shown(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {WS}/sessions/s1", session(state="running", ending=True, worker="w1"))
    out = bursar("sessions", "show", "s1").out
    assert "running (ending)" in out
    assert "w1" in out
    assert "title" not in out


def test_a_session_says_what_of_it_its_model_is_shown(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {WS}/sessions/s1", session(token_count=1234, context_start=40, summarised=True))
    assert "with a summary of the first 40 messages" in bursar("sessions", "show", "s1").out
    stub.on(f"GET {WS}/sessions/s2", session(context_start=40))
    assert "without the first 40 messages" in bursar("sessions", "show", "s2").out
    stub.on(f"GET {WS}/sessions/s3", session())
    assert "the first" not in bursar("sessions", "show", "s3").out


def test_messages_are_printed_with_calls_and_results(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(
        f"GET {WS}/sessions/s1/messages",
        [
            {"role": "user", "text": "go"},
            {"role": "assistant", "tool_calls": [{"id": "c", "name": "search", "arguments": "{}"}]},
            {"role": "tool", "call_id": "c", "name": "search", "output": "x", "is_error": True},
            {"role": "assistant", "text": "done"},
        ],
    )
    ran = bursar("sessions", "messages", "s1", "--last", "4")
    assert ran.out.splitlines() == [
        *("user", "go", "assistant", "→ search {}", "tool search failed", "x", "assistant", "done")
    ]
    assert stub.seen[0].query == "last=4"


def test_ending_deleting_and_cancelling(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"POST {WS}/sessions/s1/end", session(state="ended"))
    stub.on(f"DELETE {WS}/sessions/s1", Answer(status=204))
    stub.on(f"GET {WS}/sessions/s1", session(turn="t1"), session())
    stub.on(f"POST {WS}/turns/t1/cancel", {"id": "t1", "session": "s1", "state": "running"})
    assert "ended" in bursar("sessions", "end", "s1", "--force").out
    assert stub.seen[0].body == {"force": True}
    assert "deleted" in bursar("sessions", "delete", "s1").out
    assert "being cancelled" in bursar("sessions", "cancel", "s1").out
    idle = bursar("sessions", "cancel", "s1")
    assert (idle.status, "no turn runs" in idle.err) == (2, True)


def test_a_cancel_carries_its_reason(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(f"GET {WS}/sessions/s1", session(turn="t1"))
    ended = {"id": "t1", "session": "s1", "state": "cancelled", "reason": "too slow"}
    stub.on(f"POST {WS}/turns/t1/cancel", ended | {"state": "running", "reason": ""}, ended)
    cancel = ["sessions", "cancel", "s1", "--reason", "too slow"]
    assert bursar(*cancel).out == "t1 is being cancelled\n"
    assert bursar(*cancel).out == "t1 is cancelled\n"
    printed = json.loads(bursar(*cancel, "--json").out)
    assert (printed["id"], printed["state"], printed["reason"]) == ("t1", "cancelled", "too slow")
    bodies = [seen.body for seen in stub.asked(f"POST {WS}/turns/t1/cancel")]
    assert bodies == [{"reason": "too slow"}] * 3
    bursar("sessions", "cancel", "s1")
    assert stub.seen[-1].body == {}


def test_a_new_key_is_all_that_stdout_gets(bursar: Bursar, stub: StubGateway) -> None:
    key = {"id": "k1", "name": "ci", "workspaces": ["acme"], "admin": False, "created_ms": 1}
    stub.on("POST /v1/keys", {"key": key, "token": "bk_k1_secret"})
    stub.on("GET /v1/keys", [key | {"approver": True}])
    stub.on("DELETE /v1/keys/k1", Answer(status=204))
    assert bursar("keys", "create", "ci", "--workspaces", "acme, beta").out == "bk_k1_secret\n"
    assert stub.seen[0].body == {
        "name": "ci", "workspaces": ["acme", "beta"], "admin": False, "approver": False,
    }  # fmt: skip
    assert bursar("keys", "create", "ann", "--approver").status == 0
    assert stub.seen[1].body["approver"] is True
    head, row = bursar("keys", "list").out.splitlines()
    assert head.split() == ["key", "name", "workspaces", "admin", "approver", "created"]
    assert row.split()[:4] == ["k1", "ci", "acme", "yes"], "not admin, but approver"
    assert "revoked" in bursar("keys", "revoke", "k1").out


def test_workspaces(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces", [workspace()])
    stub.on("POST /v1/workspaces", workspace())
    stub.on("PATCH /v1/workspaces/acme", workspace(paused=True), workspace())
    listed = bursar("workspaces", "list").out
    assert "acme" in listed
    assert "open" in listed
    assert "acme" in bursar("workspaces", "create", "acme", "--limit-usd", "5").out
    assert stub.seen[1].body == {"id": "acme", "limit_microusd": 5_000_000}
    assert "paused" in bursar("workspaces", "pause", "acme").out
    assert "open" in bursar("workspaces", "resume", "acme").out
    assert [seen.body for seen in stub.seen[2:]] == [{"paused": True}, {"paused": False}]


def test_a_workspace_is_killed_and_revived(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("POST /v1/workspaces/acme/kill", workspace(killed=True, paused=True))
    stub.on("POST /v1/workspaces/acme/revive", workspace(), workspace(), _ALIVE)
    kill = ["workspaces", "kill", "acme"]
    assert bursar(*kill, "--reason", "runaway agent").out == "workspace acme is killed\n"
    assert json.loads(bursar(*kill, "--json").out)["killed"] is True
    assert [seen.body for seen in stub.seen] == [{"reason": "runaway agent"}, {}]
    assert bursar("workspaces", "revive", "acme").out == "workspace acme is open\n"
    assert json.loads(bursar("workspaces", "revive", "acme", "--json").out)["killed"] is False
    alive = bursar("workspaces", "revive", "acme")
    assert (alive.status, alive.err) == (2, "bursar: the workspace was not killed\n")


def test_a_workspace_is_made_with_its_caps_and_listed_with_them(
    bursar: Bursar, stub: StubGateway
) -> None:
    made = workspace(max_running=31, max_sessions=32, max_queued=33)
    stub.on("POST /v1/workspaces", made)
    stub.on("GET /v1/workspaces", [made, workspace(id="beta", killed=True, paused=True)])
    create = ["workspaces", "create", "acme", "--max-queued", "33"]
    assert bursar(*create).out == "workspace acme is open\n"
    assert stub.seen[0].body == {"id": "acme", "max_queued": 33}
    assert json.loads(bursar(*create, "--json").out)["max_queued"] == 33
    head, acme, beta = bursar("workspaces", "list").out.splitlines()
    assert "queued max" in head
    assert acme.split()[:5] == ["acme", "open", "31", "32", "33"]
    assert beta.split()[:3] == ["beta", "killed", "7"]


def test_a_cap_of_nothing_is_not_sent(bursar: Bursar, stub: StubGateway) -> None:
    ran = bursar("workspaces", "create", "acme", "--max-queued", "0")
    assert (ran.status, "--max-queued" in ran.err) == (2, True)
    assert stub.seen == []
