"""The installation at a glance: counters of all workspaces, workers, queues, what is blocked."""

from typing import Any

import httpx
import pytest

from bursar.queue import queue_name
from bursar.registry import announce
from bursar.store.keys import why_blocked
from bursar.store.store import Store
from support.gateway import Running, begin_turn
from support.offspring import spawn


async def _look(admin: httpx.AsyncClient) -> dict[str, Any]:
    answer = await admin.get("/v1/top")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_runs_waits_and_is_blocked_is_counted(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await announce(
        store,
        {"id": "w1", "host": "h", "pid": 1, "group": "default", "slots": 4, "busy": 1,
         "agents": "echo", "started_ms": 1},
        [],
    )  # fmt: skip
    await admin.post("/v1/workspaces", json={"id": "calm", "limit_microusd": 50})
    await admin.post(f"{base}/turns", json={"input": "go"})
    played = await begin_turn(store, "acme", sid)
    await spawn(store, played, [f"k{number}" for number in range(30)])
    await admin.patch("/v1/workspaces/acme", json={"paused": True})
    other = await admin.post("/v1/workspaces/acme/sessions", json={"agent": "echo"})
    await admin.post(
        f"/v1/workspaces/acme/sessions/{other.json()['id']}/turns", json={"input": "go"}
    )
    found = await _look(admin)
    loads = {load["id"]: load for load in found["workspaces"]}
    assert (loads["acme"]["running"], loads["acme"]["queued"]) == (1, 31)
    assert loads["acme"]["paused"] is True
    assert (loads["calm"]["limit_microusd"], loads["calm"]["queued"]) == (50, 0)
    assert [worker["id"] for worker in found["workers"]] == ["w1"]
    cap = store.settings.max_tree_running
    assert found["blocked"] == {"paused": 1, "tree": 30 - cap}
    assert found["queues"][queue_name("default")] == 1


async def test_it_is_for_administrators(admin: httpx.AsyncClient, live: Running) -> None:
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as client:
        assert (await client.get("/v1/top")).status_code == 403


@pytest.mark.parametrize("why", ["agent", "paused", "cap", "tree"])
def test_a_list_of_blocked_sessions_says_why(store: Store, why: str) -> None:
    shard = store.workspace("acme").shard
    assert why_blocked(getattr(shard, f"blocked_{why}")("acme/a:b~c")) == why
