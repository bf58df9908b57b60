"""Both clients against a real HTTP server that speaks a gateway's routes."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from bursar.client import AsyncClient, Client, LimitChange
from bursar.client.routes import Routes
from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Denied,
    GatewayUnreachable,
    InvalidInput,
    LimitReached,
    NotFound,
    StoreUnavailable,
)
from support.both_clients import TURN, TURNS, Make, ask
from support.stub_gateway import Answer, StubGateway, event, problem, stream, turn_body

SESSION = {"id": "s1", "workspace": "acme", "user": "ann", "agent": "echo", "state": "idle"}
ACCOUNT = {
    "account": "ws",
    "limit_microusd": None,
    "posted_microusd": 1,
    "pending_microusd": 0,
    "available_microusd": None,
}
WORKSPACE = {
    "id": "acme",
    "created_ms": 1,
    "paused": False,
    "max_running": None,
    "max_sessions": None,
    "budget": ACCOUNT,
}

BUDGET = "/v1/workspaces/acme/budget"
SPENDING = {
    "by": "session", "since_ms": 0, "until_ms": 0, "total_microusd": 5, "entries": 1,
    "complete": True, "spenders": [{"name": "s1", "cost_microusd": 5, "tokens": 1, "calls": 1}],
}  # fmt: skip
AUDIT = {
    "workspace": "acme", "ok": True, "accounts": 1, "holds": 0, "entries": 0, "differences": [],
}  # fmt: skip

CALLS: list[tuple[str, Any, str, Any, Any]] = [
    ("get_readiness", (), "GET /readyz", None, {"status": "ready", "workers": 2}),
    ("list_agents", (), "GET /v1/agents", None, [{"name": "echo", "group": "default"}]),
    ("list_keys", (), "GET /v1/keys", None, []),
    ("revoke_key", ("k1",), "DELETE /v1/keys/k1", None, Answer(status=204)),
    ("list_workspaces", (), "GET /v1/workspaces", None, [WORKSPACE]),
    ("get_workspace", (), "GET /v1/workspaces/acme", None, WORKSPACE),
    (
        "update_workspace",
        ({"paused": True, "max_running": None},),
        "PATCH /v1/workspaces/acme",
        {"paused": True, "max_running": None},
        WORKSPACE,
    ),
    ("kill_workspace", (), "POST /v1/workspaces/acme/kill", {}, WORKSPACE),
    ("revive_workspace", (), "POST /v1/workspaces/acme/revive", None, WORKSPACE),
    ("get_stats", (), "GET /v1/workspaces/acme/stats", None, {"turns": 3}),
    ("get_session", ("s1",), "GET /v1/workspaces/acme/sessions/s1", None, SESSION),
    ("clear_session", ("s1",), "POST /v1/workspaces/acme/sessions/s1/clear", None, SESSION),
    ("delete_session", ("s1",), "DELETE /v1/workspaces/acme/sessions/s1", None, Answer(status=204)),
    (
        "end_session",
        ("s1",),
        "POST /v1/workspaces/acme/sessions/s1/end",
        {"force": False},
        SESSION,
    ),
    ("cancel_turn", ("t1",), f"POST {TURN}/cancel", {}, turn_body("running")),
    ("start_turn", ("s1", "hi"), f"POST {TURNS}", {"input": "hi"}, {"turn": "t1", "session": "s1"}),
    ("get_budget", (), "GET /v1/workspaces/acme/budget", None, ACCOUNT),
    (
        "set_budget",
        (LimitChange(limit_microusd=None),),
        "PATCH /v1/workspaces/acme/budget",
        {"limit_microusd": None},
        ACCOUNT,
    ),
    (
        "set_session_budget",
        ("s1", LimitChange(warn_percent=50)),
        "PATCH /v1/workspaces/acme/sessions/s1/budget",
        {"warn_percent": 50},
        ACCOUNT,
    ),
    (
        "set_session_budget",
        ("s1", LimitChange(token_limit=None, per_turn_microusd=5, acknowledge=True)),
        "PATCH /v1/workspaces/acme/sessions/s1/budget",
        {"token_limit": None, "per_turn_microusd": 5, "acknowledge": True},
        ACCOUNT,
    ),
    ("set_budget_period", ("day",), f"PUT {BUDGET}/period", {"period": "day"}, ACCOUNT),
    (
        "set_session_period",
        ("s1", "none"),
        "PUT /v1/workspaces/acme/sessions/s1/budget/period",
        {"period": "none"},
        ACCOUNT,
    ),
    ("reset_budget", (), f"POST {BUDGET}/reset", None, ACCOUNT),
    (
        "reset_session_budget",
        ("s1",),
        "POST /v1/workspaces/acme/sessions/s1/budget/reset",
        None,
        ACCOUNT,
    ),
    ("list_budget_questions", (), f"GET {BUDGET}/questions", None, []),
    ("deny_budget", ("s:s1",), f"POST {BUDGET}/deny", {"account": "s:s1"}, {"turns": 2}),
    ("get_ledger", (), f"GET {BUDGET}/ledger", None, [{"op": "limit"}]),
    ("get_spending", (), f"GET {BUDGET}/spenders", None, SPENDING),
    ("audit_budget", (), f"GET {BUDGET}/audit", None, AUDIT),
    (
        "checkpoint_ledger",
        (),
        f"POST {BUDGET}/checkpoint",
        {},
        {"checkpoint": "1-0", "accounts": 2},
    ),
    (
        "trim_ledger",
        ("1-0",),
        f"POST {BUDGET}/trim",
        {"checkpoint": "1-0"},
        {"entries": 3, "more": False},
    ),
]


@pytest.mark.parametrize(("name", "args", "route", "body", "answer"), CALLS)
async def test_a_method_sends_its_request_with_the_key_and_decodes_the_answer(
    stub: StubGateway, make: Make, name: str, args: Any, route: str, body: Any, answer: Any
) -> None:
    stub.on(route, answer)
    got = await ask(getattr(make(stub.url), name)(*args))
    (seen,) = stub.seen
    assert (f"{seen.method} {seen.path}", seen.body) == (route, body)
    assert seen.headers["authorization"] == "Bearer secret"
    if isinstance(answer, dict) and "id" in answer:
        assert got.id == answer["id"]


async def test_a_session_view_stands_for_its_id_and_unknown_fields_are_ignored(
    stub: StubGateway, make: Make
) -> None:
    stub.on("GET /v1/workspaces/acme/sessions/s1", {**SESSION, "from_the_future": 1})
    client = make(stub.url)
    view = await ask(client.get_session("s1"))
    assert await ask(client.get_session(view)) == view


async def test_only_given_fields_and_filters_are_sent(stub: StubGateway, make: Make) -> None:
    stub.on("POST /v1/workspaces/acme/sessions", SESSION)
    stub.on("GET /v1/workspaces/acme/sessions", {"sessions": [SESSION], "cursor": "c"})
    client = make(stub.url)
    await ask(client.create_session("echo", user="ann", tags=("a",), limit_microusd=5))
    page = await ask(client.list_sessions(user="a b&c", limit=3))
    created, listed = stub.seen
    assert created.body == {"agent": "echo", "user": "ann", "tags": ["a"], "limit_microusd": 5}
    assert listed.query == "user=a+b%26c&limit=3"
    assert page.cursor == "c"


async def test_where_in_the_ledger_and_whose_budget_is_in_the_query(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"GET {BUDGET}/ledger", [])
    stub.on(f"GET {BUDGET}/spenders", SPENDING)
    stub.on(f"PUT {BUDGET}/period", ACCOUNT)
    stub.on(f"POST {BUDGET}/reset", ACCOUNT)
    client = make(stub.url)
    await ask(client.get_ledger(limit=5, after="1-0", before="9-0", since_ms=7))
    await ask(client.get_spending(by="model", since_ms=1, until_ms=2, limit=3))
    await ask(client.set_budget_period("day", time_zone="UTC", resets_ms=8, user="ann"))
    await ask(client.reset_budget(user="ann"))
    ledger, spending, period, reset = stub.seen
    assert ledger.query == "limit=5&after=1-0&before=9-0&since=7"
    assert spending.query == "by=model&since=1&until=2&limit=3"
    assert (period.query, reset.query) == ("user=ann", "user=ann")
    assert period.body == {"period": "day", "time_zone": "UTC", "resets_ms": 8}
    assert all("idempotency-key" in seen.headers for seen in (period, reset))


async def test_what_drops_entries_is_sent_once(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {BUDGET}/trim", Answer(drop=True))
    with pytest.raises(GatewayUnreachable):
        await ask(make(stub.url).trim_ledger("1-0"))
    assert len(stub.seen) == 1


async def test_an_id_cannot_leave_its_place_in_the_path(stub: StubGateway, make: Make) -> None:
    with pytest.raises(NotFound):
        await ask(make(stub.url).get_session("../../keys"))
    assert stub.seen[0].path == "/v1/workspaces/acme/sessions/..%2F..%2Fkeys"


PROBLEMS = [
    (problem(400, "malformed_json"), InvalidInput),
    (problem(401, "unauthenticated"), Denied),
    (problem(402, "budget_exhausted", account="ws"), BudgetRefused),
    (problem(403, "admin_only"), Denied),
    (problem(404, "session_not_found"), NotFound),
    (problem(409, "session_ended"), Conflict),
    (problem(413, "body_too_large"), InvalidInput),
    (problem(422, "unknown_agent", field="agent"), InvalidInput),
    (problem(429, "inbox_full"), LimitReached),
    (problem(503, "store_unavailable"), StoreUnavailable),
    (problem(500, "internal"), BursarError),
]


@pytest.mark.parametrize(("answer", "kind"), PROBLEMS)
async def test_a_problem_becomes_the_error_that_the_gateway_raised(
    stub: StubGateway, make: Make, answer: Answer, kind: type[BursarError]
) -> None:
    sent = msgspec.json.decode(answer.body)
    stub.on("GET /v1/workspaces/acme/sessions/s1", answer)
    with pytest.raises(BursarError) as caught:
        await ask(make(stub.url).get_session("s1"))
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code) == (answer.status, sent["code"])
    if sent["code"] == "unknown_agent":
        assert (error.field, str(error)) == ("agent", "agent: no")
    if sent["code"] == "budget_exhausted":
        assert error.details == {"account": "ws"}


async def test_an_error_that_is_no_problem_document_still_says_its_status(
    stub: StubGateway, make: Make
) -> None:
    page = Answer(b"<html>", 418, "text/html")
    stub.on("GET /v1/agents", page)
    with pytest.raises(BursarError, match="418") as caught:
        await ask(make(stub.url).list_agents())
    assert caught.value.code == "http_418"


@pytest.mark.parametrize("body", [b"<html>", b'{"no": "list"}'])
async def test_an_answer_of_another_shape_is_an_error_and_not_a_wrong_value(
    stub: StubGateway, make: Make, body: bytes
) -> None:
    stub.on("GET /v1/agents", Answer(body))
    with pytest.raises(BursarError) as caught:
        await ask(make(stub.url).list_agents())
    assert caught.value.code == "unexpected_answer"


@pytest.mark.parametrize(
    "bad", [Answer(drop=True), problem(503, "store_unavailable"), problem(502, "x")]
)
async def test_reads_are_repeated(stub: StubGateway, make: Make, bad: Answer) -> None:
    stub.on("GET /v1/agents", bad, bad, Answer(b"[]"))
    assert await ask(make(stub.url).list_agents()) == []
    assert len(stub.seen) == 3


async def test_reads_are_not_repeated_for_ever(stub: StubGateway, make: Make) -> None:
    stub.on("GET /v1/agents", problem(503, "store_unavailable"))
    with pytest.raises(StoreUnavailable):
        await ask(make(stub.url).list_agents())
    assert len(stub.seen) == 3


async def test_a_refusal_is_not_repeated(stub: StubGateway, make: Make) -> None:
    stub.on("GET /v1/agents", problem(403, "denied"))
    with pytest.raises(Denied):
        await ask(make(stub.url).list_agents())
    assert len(stub.seen) == 1


async def test_a_write_with_a_key_is_repeated_under_the_same_key(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"POST {TURNS}", Answer(drop=True), {"turn": "t1", "session": "s1"})
    client = make(stub.url)
    await ask(client.start_turn("s1", "hi"))
    await ask(client.start_turn("s1", "hi"))
    first, again, other = (seen.headers["idempotency-key"] for seen in stub.seen)
    assert first == again != other


async def test_a_write_without_a_key_is_sent_once(stub: StubGateway, make: Make) -> None:
    stub.on("POST /v1/keys", Answer(drop=True))
    with pytest.raises(GatewayUnreachable):
        await ask(make(stub.url).create_key("k"))
    assert len(stub.seen) == 1
    assert "idempotency-key" not in stub.seen[0].headers


async def test_retry_after_is_waited_for_up_to_a_bound(
    stub: StubGateway, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.client.problems.MAX_PAUSE_S", 0.01)
    stub.on("GET /v1/agents", problem(503, "store_unavailable", retry_after=3600), Answer(b"[]"))
    assert await ask(make(stub.url).list_agents()) == []


async def test_nobody_there_is_said_with_the_address(make: Make) -> None:
    with pytest.raises(GatewayUnreachable, match=r"http://127\.0\.0\.1:9"):
        await ask(make("http://127.0.0.1:9").list_agents())


async def test_silence_ends_at_the_timeout(stub: StubGateway, make: Make) -> None:
    stub.on("GET /v1/agents", Answer(b"[", hang_s=0.5))
    with pytest.raises(GatewayUnreachable, match="in time"):
        await ask(make(stub.url, timeout_s=0.05, retries=0).list_agents())


async def test_run_gives_the_turn_as_it_ended(stub: StubGateway, make: Make) -> None:
    stub.on(f"POST {TURNS}", stream(event(1, "turn.queued"), event(2, "turn.failed", code="x")))
    stub.on(f"GET {TURN}", turn_body("failed", code="x", reason="because", cost_microusd=3))
    result = await ask(make(stub.url).run("s1", "hi", custom={"a": 1}))
    assert (result.ok, result.code, result.text, result.cost_microusd) == (False, "x", "Hello", 3)
    assert stub.seen[0].body == {"input": "hi", "custom": {"a": 1}}
    assert stub.seen[0].headers["accept"] == "text/event-stream"


def test_the_default_address_and_key_come_from_the_environment(
    stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSAR_URL", stub.url + "/")
    monkeypatch.setenv("BURSAR_API_KEY", "from-env")
    stub.on("GET /v1/agents", Answer(b"[]"))
    with Client() as client:
        assert client.list_agents() == []
    assert stub.seen[0].headers["authorization"] == "Bearer from-env"
    monkeypatch.delenv("BURSAR_URL")
    with Client() as client:
        assert client.base_url == "http://127.0.0.1:8700"


def test_a_proxy_from_the_environment_is_not_asked_for_loopback(
    stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.on("GET /v1/agents", Answer(b"[]"))
    with Client(stub.url) as client:
        assert client.list_agents() == []


def test_both_clients_have_every_route() -> None:
    routes = {name for name in dir(Routes) if callable(getattr(Routes, name)) and name[0] != "_"}
    streams = {
        "turn_events", "session_events", "approval_events", "export_audit",
        "export_installation_audit", "export_session", "job_results",
    }  # fmt: skip
    # Its route has another name, because it is more than one: what is open, then what comes.
    followed = streams - {"approval_events"} | {"watch_approvals"}
    for client in (Client, AsyncClient):
        sent = {name for name, value in vars(client).items() if hasattr(value, "__wrapped__")}
        assert sent == routes - streams
        assert followed <= set(vars(client))


def test_importing_the_client_loads_neither_redis_nor_the_domain() -> None:
    heavy = "{'redis', 'arq', 'pydantic', 'bursar.store', 'bursar.sessions'}"
    code = f"import sys, bursar.client; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
