"""Forks, exports and imports over HTTP."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from bursar.messages import UserMessage
from bursar.settings import GatewaySettings
from bursar.store.store import Store
from support.gateway import play_turn, running
from support.histories import TALK, tell

IMPORT = "/v1/workspaces/acme/sessions/import"


@pytest.fixture
async def told(store: Store, sid: str) -> str:
    await tell(store, "acme", sid, TALK)
    return sid


async def test_a_fork_goes_on_by_itself(
    admin: httpx.AsyncClient, store: Store, base: str, told: str
) -> None:
    made = await admin.post(f"{base}/fork", json={"at": 4, "title": "Another way"})
    assert (made.status_code, made.json()["forked_at"]) == (201, 4)
    fork = made.json()["id"]
    path = f"/v1/workspaces/acme/sessions/{fork}"
    assert (await admin.get(path)).json()["title"] == "Another way"
    assert (await admin.post(f"{path}/turns", json={"input": "hi"})).status_code == 202
    await play_turn(store, "acme", fork)
    assert (await admin.get(path)).json()["message_count"] == 7
    assert (await admin.get(base)).json()["message_count"] == len(TALK)
    whole = await admin.post(f"{base}/fork")
    assert (whole.status_code, whole.json()["message_count"]) == (201, len(TALK))
    budget = (await admin.get(f"{path}/budget")).json()["account"]
    assert budget["posted_microusd"] == 0


async def test_a_point_inside_a_step_is_a_problem_with_the_nearest_points(
    admin: httpx.AsyncClient, base: str, told: str
) -> None:
    refused = await admin.post(f"{base}/fork", json={"at": 2})
    assert refused.status_code == 422
    problem = refused.json()
    assert (problem["field"], problem["code"]) == ("at", "inside_step")
    assert (problem["before"], problem["after"]) == (0, 3)
    for body, field in (({"at": "2"}, "at"), ({"user": "x"}, "user"), ({"parent": told}, "parent")):
        refused = await admin.post(f"{base}/fork", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)


async def test_one_key_makes_one_fork_however_often_it_is_sent(
    admin: httpx.AsyncClient, base: str, told: str
) -> None:
    once = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(admin.post(f"{base}/fork", json={"at": 4}, headers=once) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await admin.post(f"{base}/fork", json={"at": 5}, headers=once)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    listed = (await admin.get("/v1/workspaces/acme/sessions")).json()["sessions"]
    assert len(listed) == 2


async def test_a_document_leaves_and_comes_back(
    admin: httpx.AsyncClient, base: str, told: str
) -> None:
    answer = await admin.get(f"{base}/export")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["content-disposition"] == f'attachment; filename="session-{told}.json"'
    assert len(answer.json()["messages"]) == len(TALK)
    headers = {"Content-Type": "application/json"}
    taken = await admin.post(IMPORT, content=answer.content, headers=headers)
    assert (taken.status_code, taken.json()["code"]) == (409, "session_exists")
    beside = await admin.post(
        IMPORT, content=answer.content, headers=headers, params={"new_id": True}
    )
    assert (beside.status_code, beside.json()["imported_from"]) == (201, f"acme/{told}")
    assert (await admin.delete(base)).status_code == 204
    limited = {"limit_microusd": 1234, "token_limit": 99}
    back = await admin.post(IMPORT, content=answer.content, headers=headers, params=limited)
    assert (back.status_code, back.json()["id"]) == (201, told)
    budget = (await admin.get(f"{base}/budget")).json()["account"]
    assert (budget["limit_microusd"], budget["token_limit"]) == (1234, 99)
    again = (await admin.get(f"{base}/export")).json()
    assert again["messages"] == answer.json()["messages"]


async def test_one_key_makes_one_import(admin: httpx.AsyncClient, base: str, told: str) -> None:
    document = (await admin.get(f"{base}/export")).json()
    once, new = {"Idempotency-Key": "k"}, {"new_id": True}
    ids = {
        (await admin.post(IMPORT, json=document, headers=once, params=new)).json()["id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    for body, params in ((document, {}), (document | {"exported_ms": 1}, new)):
        other = await admin.post(IMPORT, json=body, headers=once, params=params)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


async def test_what_is_wrong_in_a_document_is_named(admin: httpx.AsyncClient, sid: str) -> None:
    good: dict[str, Any] = {"schema_version": 1, "session": {"id": "s1", "agent": "echo"}}
    calls = [{"role": "user", "text": "x"}, {"role": "assistant", "tool_calls": [{"id": "c"}]}]
    for body, field in (
        (good | {"schema_version": 2}, "schema_version"),
        (good | {"messages": calls}, "messages[1].tool_calls[0].name"),
        (good | {"session": {"id": "s1", "agent": "nobody"}}, "session.agent"),
        ([], "body"),
    ):
        refused = await admin.post(IMPORT, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field), refused.text
    headers = {"Content-Type": "application/json"}
    broken = await admin.post(IMPORT, content=b'{"schema_version":1,', headers=headers)
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_json")
    unknown = await admin.post("/v1/workspaces/nobody/sessions/import", json=good)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "workspace_not_found")


async def test_a_document_has_a_bound_of_its_own(
    store: Store, gateway_settings: GatewaySettings, admin: httpx.AsyncClient, sid: str
) -> None:
    update = {"max_body_bytes": 2048, "max_import_bytes": 20_000}
    async with running(gateway_settings.model_copy(update=update)) as small, small.client() as http:

        def document(size: int) -> dict[str, Any]:
            message = {"role": "user", "text": "x" * size}
            session = {"id": f"s{size}", "agent": "echo"}
            return {"schema_version": 1, "session": session, "messages": [message]}

        assert (await http.post(IMPORT, json=document(15_000))).status_code == 201
        refused = await http.post(IMPORT, json=document(20_000))
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        body = {"agent": "echo", "system_prompt": "x" * 3000}
        assert (await http.post("/v1/workspaces/acme/sessions", json=body)).status_code == 413


async def test_no_session_has_the_name_of_the_route(admin: httpx.AsyncClient, sid: str) -> None:
    named = await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo", "id": "import"})
    assert (named.status_code, named.json()["field"]) == (422, "id")


async def test_an_export_that_breaks_off_breaks_the_connection(
    admin: httpx.AsyncClient, store: Store, base: str, sid: str
) -> None:
    await tell(store, "acme", sid, [UserMessage("x" * 20_000)] * 100)
    await store.redis.call("HINCRBY", store.workspace("acme").session(sid).hash, "message_count", 1)
    with pytest.raises(httpx.RemoteProtocolError):
        await admin.get(f"{base}/export")


async def test_a_large_session_leaves_and_comes_back(
    admin: httpx.AsyncClient, store: Store, base: str, sid: str
) -> None:
    await tell(store, "acme", sid, [UserMessage("x" * 4_000)] * 1_500)
    document = (await admin.get(f"{base}/export")).content
    assert len(document) > 5 * 1024 * 1024
    headers = {"Content-Type": "application/json"}
    made = await admin.post(IMPORT, content=document, headers=headers, params={"new_id": True})
    assert (made.status_code, made.json()["message_count"]) == (201, 1_500)
    again = await admin.get(f"/v1/workspaces/acme/sessions/{made.json()['id']}/export")
    assert json.loads(again.content)["messages"] == json.loads(document)["messages"]
