"""Who gets in, how far, and for how long after a key was revoked."""

import asyncio
import time

import httpx

from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store
from support.gateway import Running, events, take

_WRONG_HEADERS = [
    None,
    "",
    "Bearer",
    "Bearer wrong",
    "Basic root-of-the-tests",
    "Bearer root-of-the-test",
    "Bearer bk_0000_0000",
    "Bearer bk_x:y_z",
    "Bearer bk__",
    "root-of-the-tests",
]
_ADMIN_ONLY: list[tuple[str, str, object]] = [
    ("POST", "/v1/workspaces", {"id": "mine"}),
    ("PATCH", "/v1/workspaces/acme", {"max_running": None}),
    ("PATCH", "/v1/workspaces/acme/budget", {"limit_microusd": None}),
    ("PUT", "/v1/workspaces/acme/budget/period", {"period": "day"}),
    ("POST", "/v1/workspaces/acme/budget/reset", None),
    ("GET", "/v1/workspaces/acme/budget/audit", None),
    ("POST", "/v1/workspaces/acme/budget/checkpoint", None),
    ("POST", "/v1/workspaces/acme/budget/trim", {"checkpoint": "1-0"}),
    ("POST", "/v1/keys", {"name": "x", "workspaces": ["*"], "admin": True}),
    ("GET", "/v1/keys", None),
    ("DELETE", "/v1/keys/x", None),
    ("GET", "/v1/workers", None),
    ("GET", "/v1/mcp/manifests", None),
    ("POST", "/v1/mcp/manifests/accept", {"agent": "echo", "server": "time"}),
]
_BAD_KEYS: list[tuple[object, str]] = [
    ({"name": "", "workspaces": ["acme"]}, "name"),
    ({"name": "x" * 65, "workspaces": ["acme"]}, "name"),
    ({"name": "x\n", "workspaces": ["acme"]}, "name"),
    ({"name": "x", "workspaces": []}, "workspaces"),
    ({"name": "x", "workspaces": ["acme", "A{}"]}, "workspaces[1]"),
    ({"name": "x", "workspaces": ["acme"], "admin": True}, "workspaces"),
    ({"name": "x"}, "workspaces"),
    ({"name": "x", "workspaces": ["acme"], "admin": "yes"}, "admin"),
]


async def _key(
    admin: httpx.AsyncClient, *workspaces: str, is_admin: bool = False
) -> tuple[str, str]:
    body = {"name": "test", "workspaces": workspaces, "admin": is_admin}
    answer = await admin.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]["id"], answer.json()["token"]


async def test_every_kind_of_wrong_key_gets_the_same_answer(live: Running, base: str) -> None:
    async with live.client("") as client:
        for header in _WRONG_HEADERS:
            headers = {} if header is None else {"Authorization": header}
            answer = await client.get(base, headers=headers)
            assert answer.status_code == 401, header
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json() == {
                "type": "urn:bursar:problem:unauthenticated",
                "title": "Unauthorized",
                "status": 401,
                "detail": "a valid API key is needed",
                "code": "unauthenticated",
            }


async def test_the_right_id_with_another_secret_is_refused(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    _, token = await _key(admin, "acme")
    _, other = await _key(admin, "acme")
    crossed = token.rpartition("_")[0] + "_" + other.rpartition("_")[2]
    async with live.client(token) as good, live.client(crossed) as bad:
        assert (await good.get(base)).status_code == 200
        assert (await bad.get(base)).status_code == 401


async def test_a_key_sees_its_workspaces_and_no_others(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    await admin.post("/v1/workspaces", json={"id": "beta"})
    _, token = await _key(admin, "beta")
    async with live.client(token) as client:
        seen = (await client.get("/v1/workspaces")).json()
        assert [workspace["id"] for workspace in seen] == ["beta"]
        foreign, unknown = await client.get(base), await client.get(base.replace("acme", "nobody"))
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.json() == unknown.json()
        assert (await client.get("/v1/workspaces/beta")).status_code == 200


async def test_what_only_administrators_may(
    live: Running, admin: httpx.AsyncClient, sid: str
) -> None:
    _, plain = await _key(admin, "*")
    async with live.client(plain) as client:
        for method, path, body in _ADMIN_ONLY:
            answer = await client.request(method, path, json=body)
            found = (answer.status_code, answer.json()["code"])
            assert found == (403, "admin_only"), (method, path)


async def test_a_stored_administrator_may(live: Running, admin: httpx.AsyncClient) -> None:
    _, token = await _key(admin, "*", is_admin=True)
    async with live.client(token) as client:
        assert (await client.post("/v1/workspaces", json={"id": "mine"})).status_code == 201


async def test_a_tenant_may_set_limits_of_its_users(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    _, token = await _key(admin, "acme")
    async with live.client(token) as client:
        path = "/v1/workspaces/acme/budget"
        answer = await client.patch(f"{path}?user=ann", json={"limit_microusd": 5})
        assert (answer.status_code, answer.json()["limit_microusd"]) == (200, 5)
        assert (await client.post(f"{path}/reset?user=ann")).status_code == 200
        period = await client.put(f"{path}/period?user=ann", json={"period": "day"})
        assert (period.status_code, period.json()["period"]) == (200, "day")


async def test_a_revoked_key_is_refused_within_a_second_by_other_gateways_too(
    live: Running, admin: httpx.AsyncClient, base: str, store: Store
) -> None:
    key_id, token = await _key(admin, "acme")
    async with live.client(token) as client:
        assert (await client.get(base)).status_code == 200
        # As another gateway revokes: this one's cache does not hear of it.
        await store.redis.call("HDEL", GlobalKeys.api_keys, key_id)
        deadline = time.monotonic() + 1.2
        while (await client.get(base)).status_code == 200:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_revoking_here_takes_effect_at_once(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    key_id, token = await _key(admin, "acme")
    async with live.client(token) as client:
        assert (await client.get(base)).status_code == 200
        assert (await admin.delete(f"/v1/keys/{key_id}")).status_code == 204
        assert (await client.get(base)).status_code == 401
    assert (await admin.delete(f"/v1/keys/{key_id}")).status_code == 404


async def test_a_stream_ends_when_its_key_is_revoked(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    key_id, token = await _key(admin, "acme")
    async with live.client(token) as client, events(client, f"{base}/events") as source:
        await take(source, 1)
        await admin.delete(f"/v1/keys/{key_id}")
        await asyncio.sleep(1.05)  # the promise is "within a second"
        await admin.post(f"{base}/messages", json={"role": "user", "text": "secret"})
        assert await take(source, 99) == []


async def test_keys_are_stored_as_keyed_hashes(
    live: Running, admin: httpx.AsyncClient, store: Store, base: str
) -> None:
    _, token = await _key(admin, "acme")
    secret = token.rpartition("_")[2]
    stored = await store.redis.call("HGETALL", GlobalKeys.api_keys)
    assert secret not in text(next(iter(stored.values())))
    listed = await admin.get("/v1/keys")
    assert secret not in listed.text
    assert listed.json()[0]["workspaces"] == ["acme"]
    async with live.client(token) as client:
        assert (await client.get(base)).status_code == 200
        live.gateway.store.pepper = "another"
        live.gateway.keys._good.clear()
        assert (await client.get(base)).status_code == 401


async def test_bad_keys_are_refused_by_field(admin: httpx.AsyncClient) -> None:
    for body, field in _BAD_KEYS:
        answer = await admin.post("/v1/keys", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field), body
