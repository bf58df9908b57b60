"""Each route does what it says; the errors they share are in `test_problems`."""

import httpx

from bursar.store.store import Store
from support.gateway import Running, begin_turn, play_turn

_MISSING = {"status": 404}


async def test_health_and_readiness_need_no_key(live: Running, store: Store) -> None:
    async with live.client("") as client:
        assert (await client.get("/healthz")).json() == {"status": "up"}
        ready = (await client.get("/readyz")).json()
    assert (ready["status"], ready["store"], ready["queue"]) == ("ready", "ok", "ok")
    assert ready["workers"] == 1
    assert ready["versions"].keys() == {"bursar", "redis", "schema"}


async def test_workspaces_are_made_read_changed_and_counted(admin: httpx.AsyncClient) -> None:
    body = {
        "id": "acme",
        "limit_microusd": 5,
        "warn_percent": 50,
        "max_running": 2,
        "max_sessions": 1,
    }
    made = await admin.post("/v1/workspaces", json=body)
    assert made.status_code == 201
    assert made.json()["budget"]["limit_microusd"] == 5
    again = await admin.post("/v1/workspaces", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "workspace_exists")
    changed = await admin.patch("/v1/workspaces/acme", json={"paused": True, "max_running": None})
    assert (changed.json()["paused"], changed.json()["max_running"]) == (True, None)
    assert changed.json()["max_sessions"] == 1
    assert (await admin.get("/v1/workspaces/acme")).json() == changed.json()
    assert (await admin.get("/v1/workspaces")).json() == [changed.json()]
    assert (await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo"})).is_success
    full = await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo"})
    assert (full.status_code, full.json()["code"]) == (429, "workspace_full")
    assert full.headers["retry-after"] == "5"
    assert (await admin.get("/v1/workspaces/acme/stats")).json()["sessions:live"] == 1
    assert (await admin.get("/v1/workspaces/nobody/stats")).status_code == 404


async def test_agents_and_workers_are_listed(admin: httpx.AsyncClient) -> None:
    (agent,) = (await admin.get("/v1/agents")).json()
    assert (agent["name"], agent["live"]) == ("echo", True)
    (worker,) = (await admin.get("/v1/workers")).json()
    assert (worker["id"], worker["slots"]) == ("w1", 1)


async def test_sessions_are_made_listed_changed_and_deleted(admin: httpx.AsyncClient) -> None:
    await admin.post("/v1/workspaces", json={"id": "acme"})
    path = "/v1/workspaces/acme/sessions"
    spec = {"agent": "echo", "user": "ann", "id": "mine", "title": "T", "workspace_path": "a/b"}
    made = await admin.post(path, json=spec)
    assert (made.status_code, made.json()["id"], made.json()["state"]) == (201, "mine", "idle")
    taken = await admin.post(path, json=spec)
    assert (taken.status_code, taken.json()["code"]) == (409, "session_exists")
    await admin.post(path, json={"agent": "echo", "user": "bob"})
    for query in ("user=ann", "workspace_path=a/b"):
        (found,) = (await admin.get(f"{path}?{query}")).json()["sessions"]
        assert found["id"] == "mine"
    page = (await admin.get(f"{path}?limit=1&state=idle")).json()
    rest = (await admin.get(f"{path}?limit=1&cursor={page['cursor']}")).json()
    assert {page["sessions"][0]["user"], rest["sessions"][0]["user"]} == {"ann", "bob"}
    patched = await admin.patch(f"{path}/mine", json={"tags": ["x"], "custom": {"n": 1}})
    assert (patched.json()["tags"], patched.json()["title"]) == (["x"], "T")
    assert (await admin.get(f"{path}/mine")).json()["custom"] == {"n": 1}
    assert (await admin.delete(f"{path}/mine")).status_code == 204
    assert (await admin.get(f"{path}/mine")).status_code == 404
    unknown = await admin.post("/v1/workspaces/nobody/sessions", json={"agent": "echo"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "workspace_not_found")


async def test_messages_are_added_read_and_cleared(admin: httpx.AsyncClient, base: str) -> None:
    for role, text in (("user", "a"), ("assistant", "b"), ("user", "c")):
        answer = await admin.post(f"{base}/messages", json={"role": role, "text": text})
        assert answer.status_code == 201
    last = (await admin.get(f"{base}/messages?last=2")).json()
    assert [(message["role"], message["text"]) for message in last] == [
        ("assistant", "b"),
        ("user", "c"),
    ]
    cleared = await admin.post(f"{base}/clear")
    assert (cleared.status_code, cleared.json()["context_start"]) == (200, 3)
    assert len((await admin.get(f"{base}/messages")).json()) == 3
    assert (await admin.get(f"{base}/messages?last=0")).status_code == 422
    assert (await admin.get("/v1/workspaces/acme/sessions/x/messages")).status_code == 404


async def test_a_turn_is_accepted_worked_off_and_read(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    accepted = await admin.post(f"{base}/turns", json={"input": "hi", "custom": {"a": 1}})
    assert accepted.status_code == 202
    body = accepted.json()
    assert accepted.headers["location"] == body["status_url"]
    assert body["events_url"] == f"{body['status_url']}/events"
    assert (await admin.get(body["status_url"])).json()["state"] == "queued"
    turn = await play_turn(store, "acme", sid)
    assert turn == body["turn"]
    ended = (await admin.get(body["status_url"])).json()
    assert (ended["state"], ended["output"], ended["steps"]) == ("succeeded", "done", 1)
    late = await admin.post(f"{body['status_url']}/cancel")
    assert (late.status_code, late.json()["state"]) == (202, "succeeded")


async def test_a_busy_session_refuses_what_would_mix_with_the_turn(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await admin.post(f"{base}/turns", json={"input": "hi"})
    message = await admin.post(f"{base}/messages", json={"role": "user", "text": "x"})
    assert (message.status_code, message.json()["code"]) == (409, "session_busy")
    assert (await admin.delete(base)).status_code == 409
    assert (await admin.post(f"{base}/clear")).status_code == 409


async def test_a_queued_turn_is_cancelled_at_once_and_a_running_one_is_asked(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    first = (await admin.post(f"{base}/turns", json={"input": "1"})).json()
    second = (await admin.post(f"{base}/turns", json={"input": "2"})).json()
    played = await begin_turn(store, "acme", sid)
    cancelled = await admin.post(f"{second['status_url']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    asked = await admin.post(f"{first['status_url']}/cancel")
    assert asked.json()["state"] == "running"
    await played.finish(outcome="cancelled")
    assert (await admin.get(first["status_url"])).json()["state"] == "cancelled"


async def test_ending_waits_for_accepted_inputs_unless_forced(
    admin: httpx.AsyncClient, base: str
) -> None:
    await admin.post(f"{base}/turns", json={"input": "1"})
    ending = (await admin.post(f"{base}/end")).json()
    assert (ending["state"], ending["ending"]) == ("queued", True)
    refused = await admin.post(f"{base}/turns", json={"input": "2"})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_ended")
    forced = await admin.post(f"{base}/end", json={"force": True})
    assert (forced.status_code, forced.json()["state"]) == (200, "ended")
