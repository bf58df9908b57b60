"""The kill switch of a workspace and the cap of its queued turns, over HTTP."""

from typing import Any

import httpx
import pytest

from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import PlayedTurn, Running, begin_turn, play_turn

WS = "/v1/workspaces/acme"


async def _session(admin: httpx.AsyncClient) -> str:
    """Another session of acme, by its path."""
    made = await admin.post(f"{WS}/sessions", json={"agent": "echo", "user": "ann"})
    return f"{WS}/sessions/{made.json()['id']}"


async def _put(admin: httpx.AsyncClient, base: str, **more: str) -> httpx.Response:
    return await admin.post(f"{base}/turns", json={"input": "x", **more})


@pytest.fixture
async def played(admin: httpx.AsyncClient, store: Store, sid: str, base: str) -> PlayedTurn:
    await _put(admin, base)
    return await begin_turn(store, "acme", sid)


async def test_a_kill_cancels_what_waits_and_what_runs(
    admin: httpx.AsyncClient, store: Store, base: str, played: PlayedTurn
) -> None:
    behind = (await _put(admin, base)).json()["status_url"]
    elsewhere = (await _put(admin, await _session(admin))).json()["status_url"]
    killed = await admin.post(f"{WS}/kill", json={"reason": "runaway agent"})
    assert (killed.status_code, killed.json()["killed"]) == (200, True)
    assert (await admin.get(WS)).json() == killed.json()
    for path in (behind, elsewhere):
        turn = (await admin.get(path)).json()
        assert (turn["state"], turn["reason"]) == ("cancelled", "runaway agent")
    record = store.workspace("acme").turn(played.turn)
    assert text(await store.redis.call("HGET", record, "cancel_reason")) == "runaway agent"
    await played.finish(outcome="cancelled")


async def test_a_killed_workspace_takes_no_inputs(
    admin: httpx.AsyncClient, base: str, played: PlayedTurn
) -> None:
    await admin.post(f"{WS}/kill")
    for if_busy in ("enqueue", "interrupt", "inject"):
        refused = await _put(admin, base, if_busy=if_busy)
        assert (refused.status_code, refused.json()["code"]) == (409, "workspace_killed")
        assert "revived" in refused.json()["detail"]
    stream = {"Accept": "text/event-stream"}
    refused = await admin.post(f"{base}/turns", json={"input": "x"}, headers=stream)
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_killed")


async def test_a_killed_workspace_takes_no_sessions(admin: httpx.AsyncClient, sid: str) -> None:
    await admin.post(f"{WS}/kill")
    refused = await admin.post(f"{WS}/sessions", json={"agent": "echo"})
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_killed")
    assert [each["id"] for each in (await admin.get(f"{WS}/sessions")).json()["sessions"]] == [sid]


async def test_the_end_of_a_pause_does_not_undo_a_kill(admin: httpx.AsyncClient, sid: str) -> None:
    await admin.post(f"{WS}/kill")
    resumed = await admin.patch(WS, json={"paused": False})
    assert (resumed.status_code, resumed.json()["code"]) == (409, "workspace_killed")
    capped = await admin.patch(WS, json={"max_running": 3, "paused": True})
    assert (capped.status_code, capped.json()["max_running"]) == (200, 3)
    assert (await admin.get(WS)).json()["killed"] is True


async def test_a_workspace_that_was_revived_works_on(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> None:
    await admin.patch(WS, json={"paused": True})
    await admin.post(f"{WS}/kill")
    revived = await admin.post(f"{WS}/revive")
    view = revived.json()
    assert (revived.status_code, view["killed"], view["paused"]) == (200, False, False)
    turn = (await _put(admin, base)).json()["turn"]
    assert await play_turn(store, "acme", sid) == turn
    again = await admin.post(f"{WS}/revive")
    assert (again.status_code, again.json()["code"]) == (409, "workspace_alive")


async def test_a_kill_may_be_repeated_and_needs_no_reason(
    admin: httpx.AsyncClient, base: str
) -> None:
    turn = (await _put(admin, base)).json()["status_url"]
    for body in (None, {}, {"reason": "again"}):
        assert (await admin.post(f"{WS}/kill", json=body)).json()["killed"] is True
    assert (await admin.get(turn)).json()["reason"] == "the workspace was killed"


@pytest.mark.parametrize("wrong", ["", "x" * 201, "a\tb", 1, None])
async def test_a_kill_for_a_reason_that_cannot_be_printed_stops_nothing(
    admin: httpx.AsyncClient, sid: str, wrong: Any
) -> None:
    answer = await admin.post(f"{WS}/kill", json={"reason": wrong})
    assert (answer.status_code, answer.json()["field"]) == (422, "reason")
    assert (await admin.get(WS)).json()["killed"] is False


@pytest.mark.parametrize("verb", ["kill", "revive"])
async def test_only_an_administrator_kills_and_revives_and_only_what_exists(
    live: Running, admin: httpx.AsyncClient, sid: str, verb: str
) -> None:
    await admin.post("/v1/workspaces", json={"id": "beta"})
    made = await admin.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as client:
        own = await client.post(f"{WS}/{verb}")
        foreign = await client.post(f"/v1/workspaces/beta/{verb}")
    unknown = await admin.post(f"/v1/workspaces/nobody/{verb}")
    assert (own.status_code, own.json()["code"]) == (403, "admin_only")
    for answer in (foreign, unknown):
        assert (answer.status_code, answer.json()["code"]) == (404, "workspace_not_found")
    names = {view["id"]: view["killed"] for view in (await admin.get("/v1/workspaces")).json()}
    assert names == {"acme": False, "beta": False}


# -- queued turns of a workspace


async def test_a_full_line_is_refused_until_a_turn_starts(
    admin: httpx.AsyncClient, store: Store
) -> None:
    made = await admin.post("/v1/workspaces", json={"id": "acme", "max_queued": 2})
    assert (made.status_code, made.json()["max_queued"]) == (201, 2)
    first, second = await _session(admin), await _session(admin)
    for base in (first, second):
        assert (await _put(admin, base)).status_code == 202
    full = await _put(admin, second)
    assert (full.status_code, full.json()["code"]) == (429, "workspace_busy")
    assert (full.headers["retry-after"], full.json()["retry_after_s"]) == ("2", 2)
    await begin_turn(store, "acme", first.rpartition("/")[2])
    assert (await _put(admin, second)).status_code == 202


async def test_a_full_line_stops_neither_joining_nor_other_workspaces(
    admin: httpx.AsyncClient, base: str, played: PlayedTurn
) -> None:
    await admin.patch(WS, json={"max_queued": 1})
    await _put(admin, base)
    assert (await _put(admin, base)).status_code == 429
    assert (await _put(admin, base, if_busy="inject")).json()["joined"] is True
    await admin.post("/v1/workspaces", json={"id": "beta"})
    made = await admin.post("/v1/workspaces/beta/sessions", json={"agent": "echo"})
    other = f"/v1/workspaces/beta/sessions/{made.json()['id']}"
    assert (await _put(admin, other)).status_code == 202


async def test_an_interrupt_that_finds_a_full_line_cancels_nothing(
    admin: httpx.AsyncClient, store: Store, base: str, played: PlayedTurn
) -> None:
    await admin.patch(WS, json={"max_queued": 1})
    await _put(admin, base)
    assert (await _put(admin, base, if_busy="interrupt")).status_code == 429
    record = store.workspace("acme").turn(played.turn)
    assert await store.redis.call("HEXISTS", record, "cancel_ms") == 0


async def test_the_cap_of_the_line_can_be_changed(admin: httpx.AsyncClient, base: str) -> None:
    assert (await admin.get(WS)).json()["max_queued"] is None
    await admin.patch(WS, json={"max_queued": 1})
    await _put(admin, base)
    assert (await _put(admin, base)).status_code == 429
    assert (await admin.patch(WS, json={"max_queued": 2})).json()["max_queued"] == 2
    assert (await _put(admin, base)).status_code == 202


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", True])
async def test_a_cap_that_is_none_is_refused_by_name(
    admin: httpx.AsyncClient, sid: str, wrong: Any
) -> None:
    made = await admin.post("/v1/workspaces", json={"id": "beta", "max_queued": wrong})
    changed = await admin.patch(WS, json={"max_queued": wrong})
    for answer in (made, changed):
        assert (answer.status_code, answer.json()["field"]) == (422, "max_queued")
    assert (await admin.get("/v1/workspaces/beta")).status_code == 404


async def test_null_gives_the_line_the_cap_of_the_installation(
    admin: httpx.AsyncClient, base: str
) -> None:
    await admin.patch(WS, json={"max_queued": 1})
    assert (await admin.patch(WS, json={"max_queued": None})).json()["max_queued"] is None
    for _ in range(2):
        assert (await _put(admin, base)).status_code == 202
    refused = await admin.patch(WS, json={"max_queued": 0})
    assert "or null for the default" in refused.json()["detail"]
