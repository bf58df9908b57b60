"""Two tenants over every route: what is another's looks exactly like what does not exist."""

import re
from unittest.mock import MagicMock

import httpx
import pytest

from bursar.settings import GatewaySettings
from bursar.store.codec import text
from bursar.store.store import Store
from bursar_gateway.app import build_routes
from bursar_gateway.gateway import Gateway
from support.gateway import Running, begin_turn, play_turn
from support.questions import put_question

_BODIES: dict[str, object] = {
    "create_session": {"agent": "echo"},
    "patch_session": {"title": "x"},
    "fork_session": {"title": "x"},
    "import_session": {"schema_version": 1, "session": {"id": "other", "agent": "echo"}},
    "add_message": {"role": "user", "text": "x"},
    "create_turn": {"input": "x"},
    "patch_session_budget": {"limit_microusd": 50_000_000},
    "patch_workspace_budget": {"limit_microusd": 5_000_000},
    "patch_workspace": {"paused": True},
    "deny_budget": {"account": "ws"},
    "put_session_period": {"period": "day"},
    "put_workspace_period": {"period": "none"},
    "trim_budget_ledger": {"checkpoint": "1-0"},
    "trim_workspace_audit": {"to_seq": 1, "head": "x"},
    "accept_workspace_audit": {"reason": "x"},
    "put_policy": {"ask": ["x"]},
    "put_agent_policy": {"ask": ["x"]},
    "explain_policy": {"action": "x"},
    "mint_capability": {"patterns": ["x"]},
    "derive_capability": {"token": "x"},
    "inspect_capability": {"token": "x"},
    "import_capability": {"token": "x"},
    "answer_approval": {"decision": "deny", "arguments_sha256": "x"},
    "create_allowance": {"pattern": "x"},
    "revoke_allowances": {"scope": "workspace"},
    "import_allowances": {"entries": []},
    "create_job": {"agent": "echo", "inputs": ["x"]},
    "create_webhook": {"url": "https://example.org/"},
    "patch_webhook": {"paused": True},
}
_MORE = {"{agent:str}": "support", "{version:int}": "1", "{message:str}": "msg_1"}
"""Parts of paths that name nothing of a tenant's own."""
_ADMIN_ONLY = {
    "audit_budget",
    "checkpoint_ledger",
    "delete_agent_policy",
    "delete_policy",
    "kill_workspace",
    "patch_workspace",
    "patch_workspace_budget",
    "put_agent_policy",
    "put_policy",
    "put_workspace_period",
    "reset_workspace_budget",
    "revive_workspace",
    "trim_budget_ledger",
    "trim_workspace_audit",
    "accept_workspace_audit",
    "create_webhook",
    "delete_webhook",
    "get_webhook",
    "list_deliveries",
    "list_webhooks",
    "patch_webhook",
    "retry_delivery",
    "rotate_webhook",
    "test_webhook",
}
_APPROVER_ONLY = {
    "answer_approval",
    "create_allowance",
    "export_allowances",
    "import_allowances",
    "revoke_allowance",
    "revoke_allowances",
    "mint_capability",
    "import_capability",
    "revoke_capability",
    "derive_capability",  # or the token is a good one
}
_NOBODYS = {
    "sid": "ses_nobody",
    "tid": "trn_nobody",
    "approval": "apr_nobody",
    "allowance": "alw_nobody",
    "capability": "cap_nobody",
    "webhook": "whk_nobody",
    "job": "job_nobody",
}
"""An id for each part of a path that names something of a tenant's own."""


def _routes() -> list[tuple[str, str, str]]:
    """Method, path and name of every route below a workspace."""
    app = build_routes(MagicMock(spec=Gateway, settings=GatewaySettings()))
    return sorted(
        (method, route.path, handler.handler_name)
        for route in app.routes
        if "{ws:" in route.path
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods - {"OPTIONS"}
    )


_ALL = _routes()
_BELOW = [route for route in _ALL if re.search(rf"\{{({'|'.join(_NOBODYS)}):", route[1])]


def _fill(path: str, **ids: str) -> str:
    for name, value in ids.items():
        path = path.replace(f"{{{name}:str}}", value)
    for part, value in _MORE.items():
        path = path.replace(part, value)
    return path


def test_the_route_table_was_found() -> None:
    assert len(_ALL) >= 20
    assert {name for _, _, name in _ALL} >= set(_BODIES)
    ids = dict.fromkeys(("ws", *_NOBODYS), "x")
    assert [path for _, path, _ in _ALL if "{" in _fill(path, **ids)] == [], "an id of a new kind"


@pytest.fixture
async def theirs(admin: httpx.AsyncClient, store: Store, sid: str, base: str) -> dict[str, str]:
    """Workspace acme and what is in it: among others an open question and what people granted."""
    await admin.post(f"{base}/turns", json={"input": "hi"})
    turn = await play_turn(store, "acme", sid)
    await admin.put("/v1/workspaces/acme/policy", json={"ask": ["x"]})
    told = await admin.post("/v1/workspaces/acme/webhooks", json={"url": "https://example.org/"})
    webhook = told.json()["webhook"]["id"]
    await admin.patch(f"/v1/workspaces/acme/webhooks/{webhook}", json={"paused": True})
    granted = {}
    for kind, wish in (("allowances", {"pattern": "x"}), ("capabilities", {"patterns": ["x"]})):
        granted[kind] = (await admin.post(f"/v1/workspaces/acme/{kind}", json=wish)).json()
    await admin.post(f"{base}/turns", json={"input": "hi"})
    asking = await begin_turn(store, "acme", sid)
    version = text(await store.redis.call("HGET", store.workspace("acme").hash, "gate_version"))
    asked = await put_question(store, asking.lease, asking.turn, version=version)
    work = {"agent": "echo", "inputs": ["x"]}
    job = (await admin.post("/v1/workspaces/acme/jobs", json=work)).json()["id"]
    await admin.post("/v1/workspaces", json={"id": "beta"})
    return {
        "ws": "acme",
        "sid": sid,
        "tid": turn,
        "approval": asked.id,
        "allowance": granted["allowances"]["id"],
        "capability": granted["capabilities"]["capability"]["id"],
        "webhook": webhook,
        "job": job,
    }


@pytest.fixture
async def beta(live: Running, admin: httpx.AsyncClient) -> str:
    """The key of somebody who may do in beta all that is not for administrators."""
    wish = {"name": "beta", "workspaces": ["beta"], "approver": True}
    return str((await admin.post("/v1/keys", json=wish)).json()["token"])


async def _same(
    client: httpx.AsyncClient, route: tuple[str, str, str], foreign: str, unknown: str
) -> None:
    method, _, name = route
    body = _BODIES.get(name)
    first = await client.request(method, foreign, json=body)
    second = await client.request(method, unknown, json=body)
    assert first.status_code == 404, (route, first.text)
    assert (second.status_code, second.json()) == (404, first.json()), route
    assert "acme" not in first.text


async def test_a_foreign_workspace_does_not_exist_on_any_route(
    live: Running, theirs: dict[str, str], beta: str
) -> None:
    async with live.client(beta) as client:
        for route in _ALL:
            unknown = _fill(route[1], **{**theirs, "ws": "nobody"})
            await _same(client, route, _fill(route[1], **theirs), unknown)


async def test_foreign_ids_in_the_own_workspace_do_not_exist_on_any_route(
    live: Running, admin: httpx.AsyncClient, theirs: dict[str, str], beta: str
) -> None:
    async with live.client(beta) as client:
        for route in _BELOW:
            foreign = _fill(route[1], **{**theirs, "ws": "beta"})
            unknown = _fill(route[1], ws="beta", **_NOBODYS)
            caller = admin if route[2] in _ADMIN_ONLY else client
            await _same(caller, route, foreign, unknown)


async def test_foreign_ids_in_queries_and_bodies_do_not_exist(
    live: Running, theirs: dict[str, str], beta: str
) -> None:
    own = "/v1/workspaces/beta"
    session: dict[str, object] = {"scope": "session", "session": theirs["sid"]}
    async with live.client(beta) as client:
        for query in ("root", "session"):
            listed = await client.get(f"{own}/approvals?{query}={theirs['sid']}")
            assert (listed.status_code, listed.json()) == (200, []), query
        for path, wish in (
            ("allowances", session | {"pattern": "x"}),
            ("allowances/revoke", session),
            ("capabilities", session | {"patterns": ["x"]}),
        ):
            answer = await client.post(f"{own}/{path}", json=wish)
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found"), path
        listed = await client.get(f"{own}/allowances?session={theirs['sid']}")
        assert (listed.status_code, listed.json()["code"]) == (404, "session_not_found")
        child = {"agent": "echo", "parent": theirs["sid"]}
        below = await client.post(f"{own}/sessions", json=child)
        assert (below.status_code, below.json()["code"]) == (422, "parent_not_found")


async def test_the_owner_reaches_every_route(
    live: Running, admin: httpx.AsyncClient, theirs: dict[str, str]
) -> None:
    """The other half of the difference: with acme's key nothing of this is a 404."""
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    last = ("delete_job", "end_session", "session_events", "approval_events", "delete_session")
    order = sorted(_ALL, key=lambda route: last.index(route[2]) if route[2] in last else -1)
    async with live.client(made.json()["token"]) as client:
        for route in order:
            method, path, name = route
            request = client.stream(method, _fill(path, **theirs), json=_BODIES.get(name))
            async with request as answer:
                refused = name in _ADMIN_ONLY | _APPROVER_ONLY
                expected = {403} if refused else {200, 201, 202, 204, 409}
                assert answer.status_code in expected, route


async def test_malformed_ids_are_refused_on_every_route(
    admin: httpx.AsyncClient, theirs: dict[str, str]
) -> None:
    for bad in ("%7Bx%7D", "a%0Ab", "%00", "a%3Ab", "..%2F..", "%ff", "a%20b", "é", "x" * 65):
        for method, path, name in _BELOW:
            target = _fill(path, ws="acme", **dict.fromkeys(_NOBODYS, bad))
            answer = await admin.request(method, target, json=_BODIES.get(name))
            assert answer.status_code in {404, 422}, (name, bad, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
