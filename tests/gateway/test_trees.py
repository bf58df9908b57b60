"""A session tree as it is read: who is in it, how far each is, what it costs, a page at a time."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bursar.sessions import locate
from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import begin_turn
from support.offspring import finish_child, spawn


async def _tree(client: httpx.AsyncClient, base: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"{base}/tree", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def family(
    admin: httpx.AsyncClient, store: Store, sid: str, base: str
) -> AsyncIterator[None]:
    """A root whose turn runs, with a child that is done, one that works and has a child, and one
    that was opened by hand.
    """
    await admin.post(f"{base}/turns", json={"input": "go"})
    played = await begin_turn(store, "acme", sid)
    first, second = await spawn(store, played, ["a", "b"])
    await finish_child(store, first, outcome="failed")
    await spawn(store, await begin_turn(store, "acme", second.sid), ["c"])
    body = {"agent": "echo", "parent": sid, "id": "hand", "limit_microusd": 5}
    await admin.post("/v1/workspaces/acme/sessions", json=body)
    account = locate(store, "acme", sid).account
    await store.redis.call("HSET", account, "posted", 700, "pending", 30)
    yield
    # Books that add up again are asked for at a test's end.
    await store.redis.call("HSET", account, "posted", 0, "pending", 0)


async def test_a_tree_has_everybody_in_the_order_of_opening(
    admin: httpx.AsyncClient, family: None, sid: str, base: str
) -> None:
    found = await _tree(admin, base)
    nodes = {node["id"].rpartition("~")[2]: node for node in found["nodes"]}
    assert list(nodes) in ([sid, "a", "b", "c", "hand"], [sid, "b", "a", "c", "hand"])
    assert [nodes[name]["depth"] for name in (sid, "a", "b", "c", "hand")] == [0, 1, 1, 2, 1]
    assert nodes["c"]["parent"] == f"{sid}~b"
    assert (nodes["a"]["state"], nodes["a"]["turn_state"]) == ("ended", "failed")
    assert (nodes["a"]["turn"], nodes["a"]["code"]) == ("trn_a", "told_to")
    assert (nodes["a"]["title"], nodes["a"]["steps"]) == ("about a", 1)
    assert nodes["b"]["turn_state"] == "running"
    assert (nodes["c"]["turn_state"], nodes["c"]["waiting_for"]) == ("queued", "")
    assert (nodes["hand"]["turn"], nodes["hand"]["turn_state"]) == ("", "")
    assert nodes["hand"]["purse"] == {
        "limit_microusd": 5,
        "posted_microusd": 0,
        "pending_microusd": 0,
    }
    assert (found["root"], found["cursor"]) == (sid, "")
    assert found["purse"]["posted_microusd"] == 700
    assert found["purse"]["pending_microusd"] == 30
    totals = found["totals"]
    assert (totals["sessions"], sum(totals["states"].values())) == (5, 5)
    assert (totals["states"]["ended"], totals["steps"]) == (1, 1)
    assert (totals["cost_microusd"], totals["pending_microusd"]) == (700, 30)


async def test_what_has_ended_may_be_left_out_and_is_counted(
    admin: httpx.AsyncClient, family: None, sid: str, base: str
) -> None:
    found = await _tree(admin, base, live=True)
    assert [node["id"].rpartition("~")[2] for node in found["nodes"]] == [sid, "b", "c", "hand"]
    assert found["totals"]["states"]["ended"] == 1


async def test_a_session_below_the_root_has_its_own_part_and_the_roots_purse(
    admin: httpx.AsyncClient, family: None, sid: str, base: str
) -> None:
    found = await _tree(admin, f"{base}~b")
    assert [node["id"] for node in found["nodes"]] == [f"{sid}~b", f"{sid}~c"]
    assert (found["root"], found["purse"]["posted_microusd"]) == (sid, 700)
    assert (found["totals"]["sessions"], found["totals"]["cost_microusd"]) == (2, 0)


async def test_pages_put_together_are_the_tree(
    admin: httpx.AsyncClient, family: None, base: str
) -> None:
    whole = await _tree(admin, base)
    nodes, cursor, pages = [], "", 0
    while True:
        page = await _tree(admin, base, limit=2, cursor=cursor)
        assert (page["totals"] is None) == bool(cursor)
        nodes += [node["id"] for node in page["nodes"]]
        cursor, pages = page["cursor"], pages + 1
        if not cursor:
            break
    assert nodes == [node["id"] for node in whole["nodes"]]
    assert pages == 3


async def test_a_session_that_is_deleted_between_pages_hides_no_other(
    admin: httpx.AsyncClient, family: None, sid: str, base: str
) -> None:
    first = await _tree(admin, base, limit=2)
    gone = first["nodes"][-1]["id"]
    whole = [node["id"] for node in (await _tree(admin, base))["nodes"]]
    assert gone == whole[1]
    deleted = await admin.delete(f"/v1/workspaces/acme/sessions/{sid}~hand")
    assert deleted.status_code == 204
    rest = await _tree(admin, base, limit=9, cursor=first["cursor"])
    assert [node["id"] for node in rest["nodes"]] == whole[2:-1]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "5-"}, "cursor"),
        ({"cursor": "-x"}, "cursor"),
    ],
)
async def test_what_is_no_page_is_refused(
    admin: httpx.AsyncClient, base: str, params: dict[str, Any], field: str
) -> None:
    answer = await admin.get(f"{base}/tree", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def _hash_reads(store: Store) -> int:
    """How often fields of a hash were read so far, on the whole server."""
    stats = await store.redis.call("INFO", "commandstats")
    found = re.search(r"cmdstat_hmget:calls=(\d+)", text(stats))
    return int(found[1]) if found else 0


async def test_ten_thousand_sessions_are_read_in_pipelines(
    admin: httpx.AsyncClient,
    store: Store,
    sid: str,
    base: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = locate(store, "acme", sid)
    for number in range(10_000):
        below = session.workspace.session(f"{sid}~n{number:05}")
        fields = ("id", below.id, "parent", sid, "state", "ended", "step_count", "2", "depth", "1")
        more = ("agent", "echo", "title", "", "created_ms", "5", "active_ms", "6")
        store.redis.call("HSET", below.hash, *fields, *more)
        added = store.redis.call("ZADD", session.members, 5 + number // 40, below.id)
        if number % 500 == 499:
            await added
    first = await _tree(admin, base)
    assert (len(first["nodes"]), first["totals"]["sessions"]) == (1000, 10_001)
    assert first["totals"]["steps"] == 20_000
    live = await _tree(admin, base, live=True)
    assert [node["id"] for node in live["nodes"]] == [sid]
    calls = await _hash_reads(store)
    second = await _tree(admin, base, cursor=first["cursor"], limit=10)
    assert second["nodes"][0]["id"] == f"{sid}~n00999"
    assert await _hash_reads(store) - calls < 100, "a page costs what is on it"
    monkeypatch.setattr("bursar.tree_views._IDS_A_READ", 7)  # 40 have the same time
    nodes: list[str] = []
    cursor = first["cursor"]
    while cursor and len(nodes) < 200:
        page = await _tree(admin, base, cursor=cursor, limit=50)
        nodes += [node["id"] for node in page["nodes"]]
        cursor = page["cursor"]
    assert nodes == [f"{sid}~n{number:05}" for number in range(999, 1199)]
    for start in range(0, 10_000, 1000):
        names = [f"{sid}~n{number:05}" for number in range(start, start + 1000)]
        await store.redis.call("DEL", *(session.workspace.session(name).hash for name in names))
    await store.redis.call("DEL", session.members)
