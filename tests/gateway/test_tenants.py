"""Two tenants over every route: what is another's looks exactly like what does not exist."""

import re
from unittest.mock import MagicMock

import httpx
import pytest

from bursar.settings import GatewaySettings
from bursar.store.store import Store
from bursar_gateway.app import build_routes
from bursar_gateway.gateway import Gateway
from support.gateway import Running, play_turn

_BODIES: dict[str, object] = {
    "create_session": {"agent": "echo"},
    "patch_session": {"title": "x"},
    "add_message": {"role": "user", "text": "x"},
    "create_turn": {"input": "x"},
    "patch_session_budget": {"limit_microusd": 50_000_000},
    "patch_workspace_budget": {"limit_microusd": 5_000_000},
    "patch_workspace": {"paused": True},
    "deny_budget": {"account": "ws"},
    "put_session_period": {"period": "day"},
    "put_workspace_period": {"period": "none"},
    "trim_budget_ledger": {"checkpoint": "1-0"},
}
_ADMIN_ONLY = {
    "audit_budget",
    "checkpoint_ledger",
    "kill_workspace",
    "patch_workspace",
    "patch_workspace_budget",
    "put_workspace_period",
    "reset_workspace_budget",
    "revive_workspace",
    "trim_budget_ledger",
}


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
_BELOW = [route for route in _ALL if re.search(r"\{[st]id:", route[1])]


def _fill(path: str, *, ws: str, sid: str, tid: str) -> str:
    for name, value in (("ws", ws), ("sid", sid), ("tid", tid)):
        path = path.replace(f"{{{name}:str}}", value)
    return path


def test_the_route_table_was_found() -> None:
    assert len(_ALL) >= 20
    assert {name for _, _, name in _ALL} >= set(_BODIES)


@pytest.fixture
async def theirs(admin: httpx.AsyncClient, store: Store, sid: str, base: str) -> dict[str, str]:
    """Workspace, session and turn of acme, and a session of beta's own in beta."""
    await admin.post(f"{base}/turns", json={"input": "hi"})
    turn = await play_turn(store, "acme", sid)
    await admin.post("/v1/workspaces", json={"id": "beta"})
    return {"ws": "acme", "sid": sid, "tid": turn}


@pytest.fixture
async def beta(live: Running, admin: httpx.AsyncClient) -> str:
    answer = await admin.post("/v1/keys", json={"name": "beta", "workspaces": ["beta"]})
    return str(answer.json()["token"])


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
    live: Running, theirs: dict[str, str], beta: str
) -> None:
    async with live.client(beta) as client:
        for route in _BELOW:
            foreign = _fill(route[1], **{**theirs, "ws": "beta"})
            unknown = _fill(route[1], ws="beta", sid="ses_nobody", tid="trn_nobody")
            await _same(client, route, foreign, unknown)


async def test_the_owner_reaches_every_route(
    live: Running, admin: httpx.AsyncClient, theirs: dict[str, str]
) -> None:
    """The other half of the difference: with acme's key nothing of this is a 404."""
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    last = ("end_session", "session_events", "delete_session")
    order = sorted(_ALL, key=lambda route: last.index(route[2]) if route[2] in last else -1)
    async with live.client(made.json()["token"]) as client:
        for route in order:
            method, path, name = route
            request = client.stream(method, _fill(path, **theirs), json=_BODIES.get(name))
            async with request as answer:
                expected = {403} if name in _ADMIN_ONLY else {200, 201, 202, 204, 409}
                assert answer.status_code in expected, route


async def test_malformed_ids_are_refused_on_every_route(
    admin: httpx.AsyncClient, theirs: dict[str, str]
) -> None:
    for bad in ("%7Bx%7D", "a%0Ab", "%00", "a%3Ab", "..%2F..", "%ff", "a%20b", "é", "x" * 65):
        for method, path, name in _BELOW:
            target = _fill(path, ws="acme", sid=bad, tid=bad)
            answer = await admin.request(method, target, json=_BODIES.get(name))
            assert answer.status_code in {404, 422}, (name, bad, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
