"""One Idempotency-Key, one effect: on every route that makes something."""

import asyncio

import httpx

from bursar.store.store import Store
from support.gateway import Running


def _once(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_the_same_request_is_answered_with_the_same_turn(
    admin: httpx.AsyncClient, base: str
) -> None:
    answers = [
        await admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k"))
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    stats = (await admin.get("/v1/workspaces/acme/stats")).json()
    assert stats["turns:queued"] == 1


async def test_another_body_under_the_same_key_is_refused(
    admin: httpx.AsyncClient, base: str
) -> None:
    await admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k"))
    other = await admin.post(f"{base}/turns", json={"input": "ho"}, headers=_once("k"))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_another_session_under_the_same_key_is_refused(
    admin: httpx.AsyncClient, base: str
) -> None:
    made = await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo"})
    other = f"/v1/workspaces/acme/sessions/{made.json()['id']}/turns"
    await admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k"))
    answer = await admin.post(other, json={"input": "hi"}, headers=_once("k"))
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")


async def test_ten_at_once_make_one_turn(admin: httpx.AsyncClient, base: str) -> None:
    answers = await asyncio.gather(
        *(admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k")) for _ in range(10))
    )
    assert len({answer.json()["turn"] for answer in answers}) == 1
    assert (await admin.get("/v1/workspaces/acme/stats")).json()["turns:queued"] == 1


async def test_callers_and_routes_do_not_share_keys(
    live: Running, admin: httpx.AsyncClient, base: str
) -> None:
    made = await admin.post("/v1/keys", json={"name": "x", "workspaces": ["acme"]})
    first = await admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k"))
    async with live.client(made.json()["token"]) as client:
        second = await client.post(f"{base}/turns", json={"input": "hi"}, headers=_once("k"))
    assert first.json()["turn"] != second.json()["turn"]
    body = {"agent": "echo"}
    session = await admin.post("/v1/workspaces/acme/sessions", json=body, headers=_once("k"))
    assert session.status_code == 201


async def test_sessions_and_messages_are_made_once(admin: httpx.AsyncClient, base: str) -> None:
    path, body = "/v1/workspaces/acme/sessions", {"agent": "echo"}
    made = [await admin.post(path, json=body, headers=_once("k")) for _ in range(2)]
    assert made[0].json()["id"] == made[1].json()["id"]
    message = {"role": "user", "text": "hi"}
    added = [
        await admin.post(f"{base}/messages", json=message, headers=_once("k")) for _ in range(2)
    ]
    assert [answer.json() for answer in added] == [{"index": 0}, {"index": 0}]
    assert len((await admin.get(f"{base}/messages")).json()) == 1


async def test_a_limit_is_changed_once_under_a_key(
    admin: httpx.AsyncClient, base: str, store: Store
) -> None:
    for limit in (5, 5):
        body = {"limit_microusd": limit}
        answer = await admin.patch("/v1/workspaces/acme/budget", json=body, headers=_once("k"))
        assert answer.status_code == 200
    ledger = (await admin.get("/v1/workspaces/acme/budget/ledger")).json()
    assert len(ledger) == 1
    other = await admin.patch(
        "/v1/workspaces/acme/budget", json={"limit_microusd": 6}, headers=_once("k")
    )
    assert (other.status_code, other.json()["code"]) == (409, "id_conflict")
    user = await admin.patch(
        "/v1/workspaces/acme/budget?user=ann", json={"limit_microusd": 5}, headers=_once("k")
    )
    assert (user.status_code, user.json()["limit_microusd"]) == (200, 5)


async def test_a_bad_key_is_refused(admin: httpx.AsyncClient, base: str) -> None:
    for key in ("", "x" * 129, "a b", "a\tb"):
        answer = await admin.post(f"{base}/turns", json={"input": "hi"}, headers=_once(key))
        assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
