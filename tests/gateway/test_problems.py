"""Every error class as HTTP, and every way in which a request itself can be wrong."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Denied,
    Fenced,
    GatewayUnreachable,
    InvalidInput,
    LimitReached,
    ModelError,
    NotFound,
    StoreUnavailable,
    StoreUnfit,
)
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from bursar_gateway.problems import WrongRequest, describe
from support.gateway import Running, running

_JSON = {"Content-Type": "application/json"}

_WRONG_BODIES: list[tuple[bytes, int, str, str | None]] = [
    (b"{", 400, "malformed_json", None),
    (b"", 422, "invalid_input", "body"),
    (b"null", 422, "invalid_input", "body"),
    (b"[]", 422, "invalid_input", "body"),
    (b'{"agent":"\xff"}', 400, "malformed_json", None),
    (b'{"agent":"echo"} x', 400, "malformed_json", None),
    (b'{"agent":1}', 422, "invalid_input", "agent"),
    (b'{"agent":"echo","limit_microusd":"5"}', 422, "invalid_input", "limit_microusd"),
    (b'{"agent":"echo","limit_microusd":1.5}', 422, "invalid_input", "limit_microusd"),
    (b'{"agent":"echo","limit_microusd":-1}', 422, "invalid_input", "limit_microusd"),
    (b'{"agent":"echo","limit_microusd":1e3}', 422, "invalid_input", "limit_microusd"),
    (b'{"agent":"echo","tags":["a",1]}', 422, "invalid_input", "tags[1]"),
    (b'{"agent":"echo","tags":["a","b,c"]}', 422, "invalid_input", "tags[1]"),
    (b'{"agent":"echo","colour":"red"}', 422, "invalid_input", "colour"),
    (b'{"agent":"nobody"}', 422, "unknown_agent", "agent"),
    (b'{"agent":"echo","user":"a{b}"}', 422, "invalid_input", "user"),
    (b'{"agent":"echo","id":"a:b"}', 422, "invalid_input", "id"),
    (b'{"agent":"echo","workspace_path":"../x"}', 422, "invalid_input", "workspace_path"),
    (b'{"agent":"echo","custom":{"a":' + b"[" * 100_000, 400, "malformed_json", None),
]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("expected x", field="a.b[0]"), 422, "invalid_input"),
        (NotFound("x", code="turn_not_found"), 404, "turn_not_found"),
        (Conflict("x"), 409, "conflict"),
        (Fenced("x"), 409, "fenced"),
        (LimitReached("x", code="inbox_full"), 429, "inbox_full"),
        (LimitReached("x", code="too_deep"), 429, "too_deep"),
        (BudgetRefused("x", account="ws", available_microusd=0), 402, "budget_exhausted"),
        (Denied("x"), 403, "denied"),
        (Denied("x", code="unauthenticated"), 401, "unauthenticated"),
        (StoreUnavailable("x"), 503, "store_unavailable"),
        (StoreUnfit("x"), 503, "store_unfit"),
        (ModelError("x"), 502, "model_error"),
        (RedisConnectionError("x"), 503, "store_unavailable"),
        (BursarError("secret"), 500, "internal"),
        (ValueError("secret"), 500, "internal"),
    ],
)
def test_every_error_has_one_status_and_a_stable_code(
    error: Exception, status: int, code: str
) -> None:
    problem = describe(error)
    assert (problem.body.status, problem.body.code) == (status, code)
    assert problem.body.type == f"urn:bursar:problem:{code}"
    assert b"secret" not in problem.encode()


def test_every_error_class_has_a_status_of_its_own() -> None:
    clients_own = {GatewayUnreachable}
    known = {
        # What workers raise among themselves never comes to a gateway.
        kind
        for kind in BursarError.__subclasses__()
        if kind.__module__[:13] != "bursar_worker"
    }
    for kind in known - clients_own - {WrongRequest}:
        error = kind("x", field="f") if issubclass(kind, InvalidInput) else kind("x")
        assert describe(error).body.status != 500, kind


def test_details_are_members_and_cannot_replace_the_standard_ones() -> None:
    encoded = describe(BudgetRefused("x", account="ws", status=1)).encode()
    assert b'"account":"ws"' in encoded
    assert b'"status":402' in encoded


def test_retry_after_stands_only_where_waiting_helps() -> None:
    full = LimitReached("x", code="inbox_full", retry_after_s=7)
    assert describe(full).headers == {"Retry-After": "7"}
    assert describe(LimitReached("x", code="too_deep")).headers == {}
    assert describe(StoreUnavailable("x")).headers == {"Retry-After": "1"}


async def test_wrong_bodies_name_the_place(admin: httpx.AsyncClient, sid: str) -> None:
    for content, status, code, field in _WRONG_BODIES:
        answer = await admin.post("/v1/workspaces/acme/sessions", content=content, headers=_JSON)
        problem = answer.json()
        found = (answer.status_code, problem["code"], problem.get("field"))
        assert found == (status, code, field), (content[:80], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["detail"]


async def test_wrong_queries_name_the_parameter(admin: httpx.AsyncClient, sid: str) -> None:
    for query in ("limit=x", "limit=0", "state=odd", "cursor=x"):
        answer = await admin.get(f"/v1/workspaces/acme/sessions?{query}")
        found = (answer.status_code, answer.json()["field"])
        assert found == (422, query.partition("=")[0])


async def test_unknown_paths_and_methods_are_problems(admin: httpx.AsyncClient) -> None:
    nowhere = await admin.get("/v2/x")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "route_not_found")
    wrong = await admin.put("/v1/workspaces")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]


@pytest.fixture
async def small(store: Store, gateway_settings: GatewaySettings) -> AsyncIterator[Running]:
    update = {"max_body_bytes": 2048, "allowed_hosts": ["example.org", "127.0.0.1"]}
    async with running(gateway_settings.model_copy(update=update)) as live:
        yield live


async def test_large_bodies_are_refused_whether_declared_or_chunked(small: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 500

    async with small.client() as client:
        declared = await client.post("/v1/workspaces", content=b" " * 4000, headers=_JSON)
        chunked = await client.post("/v1/workspaces", content=chunks(), headers=_JSON)
    for answer in (declared, chunked):
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_body_must_be_declared_as_json(admin: httpx.AsyncClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"Content-Type": kind} if kind else {}
        answer = await admin.post("/v1/workspaces", content=b'{"id":"acme"}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "not_json")
    listed = await admin.get("/v1/workspaces")
    assert listed.json() == []


async def test_only_allowed_hosts_are_served(small: Running) -> None:
    async with small.client() as client:
        for host in ("example.org", "EXAMPLE.org:80"):
            answer = await client.get("/v1/workspaces", headers={"Host": host})
            assert answer.status_code == 200, host
        for host in ("evil.org", "", "example.org.evil"):
            answer = await client.get("/v1/workspaces", headers={"Host": host})
            assert (answer.status_code, answer.json()["code"]) == (400, "host_not_allowed"), host


async def test_a_page_of_another_origin_is_refused(live: Running) -> None:
    async with live.client() as client:
        evil = await client.get("/v1/workspaces", headers={"Origin": "https://evil.org"})
        same = await client.get("/v1/workspaces", headers={"Origin": live.url})
    assert (evil.status_code, evil.json()["code"]) == (403, "origin_not_allowed")
    assert same.status_code == 200
    assert not [name for name in same.headers if name.startswith("access-control")]
    assert "set-cookie" not in same.headers


async def test_an_unexpected_error_shows_no_internals(
    live: Running,
    admin: httpx.AsyncClient,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise KeyError("secret")

    monkeypatch.setattr(live.gateway.inputs, "put", broken)
    answer = await admin.post(f"{base}/turns", json={"input": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "secret" in caplog.text
