"""Policies over HTTP: read by whoever sees the workspace, changed by administrators."""

from typing import Any

import httpx
import pytest

from bursar.gate.policy import Policy
from bursar.registry import AgentEntry, announce
from bursar.store.codec import text
from bursar.store.store import Store
from support.gateway import Running

LISTS = {"blocked": ["exec://sudo **"], "ask": ["net://**"], "allow": ["write_report"]}
BASE = "/v1/workspaces/acme/policy"


@pytest.fixture
async def acme(admin: httpx.AsyncClient, sid: str) -> httpx.AsyncClient:
    """An administrator's client, once the workspace is there."""
    return admin


@pytest.fixture
async def tenant(live: Running, acme: httpx.AsyncClient) -> str:
    answer = await acme.post("/v1/keys", json={"name": "acme", "workspaces": ["acme"]})
    return str(answer.json()["token"])


async def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_policy_is_put_read_and_removed(acme: httpx.AsyncClient) -> None:
    empty = await acme.get(BASE)
    assert (empty.json()["version"], empty.headers["etag"]) == (0, '"0"')
    put = await acme.put(BASE, json=LISTS)
    assert put.status_code == 200
    assert (put.json()["version"], put.headers["etag"]) == (1, '"1"')
    read = (await acme.get(BASE)).json()
    assert read == put.json()
    assert {name: read[name] for name in LISTS} == LISTS
    assert read["by"].startswith("key:")
    assert (await acme.delete(BASE)).status_code == 204
    assert (await acme.get(BASE)).json()["version"] == 0
    await problem(await acme.delete(BASE), 404, "policy_not_found")


async def test_each_agent_has_one_of_its_own(acme: httpx.AsyncClient) -> None:
    await acme.put(BASE, json={"ask": ["a"]})
    put = await acme.put(f"{BASE}/agents/support", json={"ask": ["b"]})
    assert (put.json()["agent"], put.json()["version"]) == ("support", 2)
    assert (await acme.get(f"{BASE}/agents/support")).json()["ask"] == ["b"]
    assert (await acme.get(f"{BASE}/agents/other")).json()["version"] == 0
    assert (await acme.delete(f"{BASE}/agents/support")).status_code == 204
    assert (await acme.get(BASE)).json()["ask"] == ["a"]
    wrong = await acme.put(f"{BASE}/agents/a%20b", json={})
    assert (await problem(wrong, 422, "invalid_input"))["field"] == "agent"


async def test_a_change_is_seen_by_workers_at_their_next_call(
    acme: httpx.AsyncClient, store: Store
) -> None:
    async def version() -> str:
        key = store.workspace("acme").hash
        return text(await store.redis.call("HGET", key, "gate_version"))

    await acme.put(BASE, json=LISTS)
    assert await version() == "1"
    await acme.put(BASE, json=LISTS)
    assert await version() == "1"
    await acme.delete(BASE)
    assert await version() == "2"


@pytest.mark.parametrize("how", ["body", "header", "etag", "weak"])
async def test_a_change_made_by_an_old_version_is_refused(
    acme: httpx.AsyncClient, how: str
) -> None:
    async def put(version: int, *ask: str) -> httpx.Response:
        body: dict[str, Any] = {"ask": list(ask)}
        if how == "body":
            return await acme.put(BASE, json=body | {"expected_version": version})
        tag = {"header": "{}", "etag": '"{}"', "weak": 'W/"{}"'}[how].format(version)
        return await acme.put(BASE, json=body, headers={"If-Match": tag})

    assert (await put(0, "a")).status_code == 200
    assert (await put(1, "b")).json()["version"] == 2
    refused = await problem(await put(1, "c"), 409, "policy_changed")
    assert refused["version"] == 2
    assert (await acme.get(BASE)).json()["ask"] == ["b"]


async def test_a_removal_may_name_the_version_too(acme: httpx.AsyncClient) -> None:
    await acme.put(BASE, json=LISTS)
    await problem(await acme.delete(f"{BASE}?expected_version=9"), 409, "policy_changed")
    await problem(await acme.delete(BASE, headers={"If-Match": '"9"'}), 409, "policy_changed")
    assert (await acme.delete(f"{BASE}?expected_version=1")).status_code == 204


async def test_any_version_may_be_asked_for_but_one_has_to_be_there(
    acme: httpx.AsyncClient,
) -> None:
    anything = {"If-Match": "*"}
    await problem(await acme.put(BASE, json=LISTS, headers=anything), 409, "policy_changed")
    await acme.put(BASE, json=LISTS)
    assert (await acme.put(BASE, json={}, headers=anything)).status_code == 200


@pytest.mark.parametrize("tag", ["x", '"x"', "", '"1", "2"', "-1", "9" * 20])
async def test_a_header_that_is_no_version_is_refused(acme: httpx.AsyncClient, tag: str) -> None:
    answer = await acme.put(BASE, json=LISTS, headers={"If-Match": tag})
    assert (await problem(answer, 422, "invalid_input"))["field"] == "If-Match"
    both = await acme.put(BASE, json={"expected_version": 0}, headers={"If-Match": "0"})
    assert (await problem(both, 422, "invalid_input"))["field"] == "If-Match"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"allow": ["ok", "not ok"]}, "policy.allow[1]"),
        ({"ask": ["a"], "blocked": ["file://../x"]}, "policy.blocked[0]"),
        ({"allow": ["exec://python **"]}, "policy.allow[0]"),
        ({"allow": "a"}, "allow"),
        ({"allow": [1]}, "allow[0]"),
        ({"deny": []}, "deny"),
        ({"expected_version": -1}, "expected_version"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(
    acme: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await acme.put(BASE, json=body)
    assert (await problem(answer, 422, "invalid_input"))["field"] == field
    assert (await acme.get(BASE)).json()["version"] == 0


async def test_only_administrators_change_policies(
    live: Running, acme: httpx.AsyncClient, tenant: str
) -> None:
    await acme.put(BASE, json=LISTS)
    approver = await acme.post(
        "/v1/keys", json={"name": "a", "workspaces": ["acme"], "approver": True}
    )
    for token in (tenant, approver.json()["token"]):
        async with live.client(token) as client:
            for path in (BASE, f"{BASE}/agents/support"):
                await problem(await client.put(path, json={}), 403, "admin_only")
                await problem(await client.delete(path), 403, "admin_only")
                assert (await client.get(path)).status_code == 200
            assert (await client.get(f"{BASE}/history")).status_code == 200
            asked = await client.post(f"{BASE}/explain", json={"action": "x"})
            assert asked.status_code == 200
    assert (await acme.get(BASE)).json()["version"] == 1


async def test_a_foreign_workspace_has_no_policy_to_read_or_explain(
    live: Running, acme: httpx.AsyncClient
) -> None:
    made = await acme.post("/v1/keys", json={"name": "b", "workspaces": ["beta"]})
    async with live.client(made.json()["token"]) as client:
        for path in ("", "/agents/support", "/history", "/history/1"):
            await problem(await client.get(BASE + path), 404, "workspace_not_found")
        asked = await client.post(f"{BASE}/explain", json={"action": "x"})
        await problem(asked, 404, "workspace_not_found")
    for answer in (
        await acme.get("/v1/workspaces/nobody/policy"),
        await acme.put("/v1/workspaces/nobody/policy", json={}),
        await acme.delete("/v1/workspaces/nobody/policy"),
        await acme.post("/v1/workspaces/nobody/policy/explain", json={"action": "x"}),
    ):
        await problem(answer, 404, "workspace_not_found")


async def test_the_history_lists_and_shows_versions(acme: httpx.AsyncClient) -> None:
    await acme.put(BASE, json={"ask": ["a"]})
    await acme.put(f"{BASE}/agents/support", json={"ask": ["s"]})
    await acme.put(BASE, json={"ask": ["b"]})
    await acme.delete(BASE)
    history = (await acme.get(f"{BASE}/history")).json()
    assert [(view["version"], view["ask"], view["removed"]) for view in history] == [
        (4, [], True), (3, ["b"], False), (1, ["a"], False),
    ]  # fmt: skip
    of_agent = (await acme.get(f"{BASE}/history?agent=support")).json()
    assert [view["version"] for view in of_agent] == [2]
    assert (await acme.get(f"{BASE}/history/1")).json()["ask"] == ["a"]
    assert (await acme.get(f"{BASE}/history/2?agent=support")).json()["ask"] == ["s"]
    await problem(await acme.get(f"{BASE}/history/2"), 404, "policy_not_found")


async def test_an_action_is_explained_by_all_rules_in_force(
    acme: httpx.AsyncClient, store: Store
) -> None:
    code = Policy(allow=["exec://git push"])
    entry = AgentEntry(
        "support", "default", "m", policy=code.to_dict(), hooks={"pre_tool": ["no_secrets"]}
    )
    await announce(store, {"id": "w1"}, [entry])
    asked = {"action": "exec://git push", "agent": "support"}
    found = (await acme.post(f"{BASE}/explain", json=asked)).json()
    assert (found["verdict"], found["reason"]) == (
        "allow", "allow exec://git push (code of agent support)",
    )  # fmt: skip
    assert found["hooks"] == ["no_secrets"]
    await acme.put(BASE, json={"ask": ["exec://git **"]})
    await acme.put(f"{BASE}/agents/support", json={"blocked": ["exec://git push"]})
    found = (await acme.post(f"{BASE}/explain", json=asked)).json()
    assert found["verdict"] == "deny"
    assert (
        found["reason"] == "blocked exec://git push (workspace policy for agent support, version 2)"
    )
    assert [(rule["layer"], rule["decides"]) for rule in found["rules"]] == [
        ("workspace policy for agent support", True),
        ("workspace policy", False),
        ("code of agent support", False),
    ]
    for_all = (await acme.post(f"{BASE}/explain", json={"action": "exec://git push"})).json()
    assert (for_all["verdict"], for_all["agent"]) == ("ask", "")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"action": "no action"}, "action", "invalid_input"),
        ({"action": "net://x"}, "action", "invalid_input"),
        ({"action": "x", "agent": "nobody"}, "agent", "unknown_agent"),
        ({"action": "x", "effect": "some"}, "effect", "invalid_input"),
        ({"action": "x", "risk": "some"}, "risk", "invalid_input"),
        ({}, "action", "invalid_input"),
    ],
)
async def test_a_question_that_cannot_be_answered_names_its_field(
    acme: httpx.AsyncClient, body: dict[str, str], field: str, code: str
) -> None:
    answer = await acme.post(f"{BASE}/explain", json=body)
    assert (await problem(answer, 422, code))["field"] == field


async def test_of_an_old_worker_the_rules_cannot_be_told(
    acme: httpx.AsyncClient, store: Store
) -> None:
    await announce(store, {"id": "w1"}, [AgentEntry("old", "default", "m")])
    answer = await acme.post(f"{BASE}/explain", json={"action": "x", "agent": "old"})
    await problem(answer, 409, "policy_unknown")
