"""Reading and changing the policies of a workspace."""

import json

import pytest

from bursar import workspaces
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.gate import policy_store
from bursar.gate.policies import layers_from
from bursar.gate.policy import Policy
from bursar.gate.policy_store import (
    MAX_POLICY_BYTES,
    PolicyLists,
    PolicyView,
    read_history,
    read_policy,
    read_rules,
    read_version,
    remove_policy,
    set_policy,
)
from bursar.registry import AgentEntry, Registry, announce
from bursar.store.keys import WorkspaceKeys
from bursar.store.store import Store
from support.stage import unchanged


@pytest.fixture
async def ws(store: Store) -> WorkspaceKeys:
    await workspaces.create(store, "acme")
    return store.workspace("acme")


async def test_a_policy_is_read_as_it_was_set(store: Store, ws: WorkspaceKeys) -> None:
    assert await read_policy(store, ws) == PolicyView("", 0)
    lists = PolicyLists(("exec://sudo **",), ("net://**",), ("write_report",))
    view = await set_policy(store, ws, lists, by="key:k")
    assert (view.version, view.by, view.blocked, view.ask, view.allow) == (
        1, "key:k", ("exec://sudo **",), ("net://**",), ("write_report",),
    )  # fmt: skip
    assert await read_policy(store, ws) == view
    assert await read_policy(store, ws, "support") == PolicyView("support", 0)


async def test_what_workers_read_is_what_is_in_force(store: Store, ws: WorkspaceKeys) -> None:
    for n in range(3):
        await set_policy(store, ws, PolicyLists(ask=(f"t{n}",)), by="key:k")
    await set_policy(store, ws, PolicyLists(blocked=("x",)), by="key:k", agent="support")
    fields = await store.redis.call("HGETALL", ws.policies)
    layers = layers_from(fields, "support", Policy(allow=["y"])).layers
    assert [layer.label for layer in layers] == [
        "workspace policy, version 3",
        "workspace policy for agent support, version 4",
        "code of agent support",
    ]
    assert len(fields) == 2  # no history: that is read by people only


@pytest.mark.parametrize(
    ("lists", "field"),
    [
        (PolicyLists(allow=("ok", "not ok")), "policy.allow[1]"),
        (PolicyLists(ask=("ftp://x",)), "policy.ask[0]"),
        (PolicyLists(blocked=("file://../x",)), "policy.blocked[0]"),
        (PolicyLists(allow=("exec://bash **",)), "policy.allow[0]"),
        (PolicyLists(allow=("net://*.bücher.example:1",)), "policy.allow[0]"),
        (PolicyLists(allow=("x",) * 1001), "policy.allow"),
        (PolicyLists(allow=tuple(f"file://{n:01000}" for n in range(70))), "policy"),
    ],
)
async def test_a_wrong_policy_names_its_place_and_changes_nothing(
    store: Store, ws: WorkspaceKeys, lists: PolicyLists, field: str
) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await set_policy(store, ws, lists, by="key:k")
    assert caught.value.field == field


async def test_the_largest_policy_is_taken(store: Store, ws: WorkspaceKeys) -> None:
    allow = tuple(f"file://{n:01000}" for n in range(64))
    assert len(json.dumps(allow)) < MAX_POLICY_BYTES
    assert (await set_policy(store, ws, PolicyLists(allow=allow), by="key:k")).allow == allow


@pytest.mark.parametrize("agent", ["a b", "a:b", "../a", "x" * 65, "é"])
async def test_an_agent_has_a_name(store: Store, ws: WorkspaceKeys, agent: str) -> None:
    for call in (
        set_policy(store, ws, PolicyLists(), by="key:k", agent=agent),
        read_policy(store, ws, agent),
        remove_policy(store, ws, by="key:k", agent=agent),
        read_history(store, ws, agent),
        read_version(store, ws, 1, agent),
    ):
        with pytest.raises(InvalidInput) as caught:
            await call
        assert caught.value.field == "agent"


async def test_the_history_has_each_version_and_the_removal(
    store: Store, ws: WorkspaceKeys
) -> None:
    first = await set_policy(store, ws, PolicyLists(ask=("a",)), by="key:1")
    await set_policy(store, ws, PolicyLists(ask=("other",)), by="key:1", agent="support")
    await set_policy(store, ws, PolicyLists(ask=("b",)), by="key:2", expected=first.version)
    await remove_policy(store, ws, by="key:3", expected=3)
    history = await read_history(store, ws)
    assert [(view.version, view.by, view.ask, view.removed) for view in history] == [
        (4, "key:3", (), True), (3, "key:2", ("b",), False), (1, "key:1", ("a",), False),
    ]  # fmt: skip
    assert await read_version(store, ws, 1) == first
    assert (await read_version(store, ws, 2, "support")).ask == ("other",)
    for version, agent in ((2, ""), (1, "support"), (99, "")):
        with pytest.raises(NotFound) as caught:
            await read_version(store, ws, version, agent)
        assert caught.value.code == "policy_not_found"
    assert await read_history(store, ws, "nobody") == []
    assert (await read_policy(store, ws)).version == 0


async def test_of_two_changes_made_by_the_same_version_one_wins(
    store: Store, ws: WorkspaceKeys
) -> None:
    await set_policy(store, ws, PolicyLists(ask=("a",)), by="key:1", expected=0)
    await set_policy(store, ws, PolicyLists(ask=("b",)), by="key:1", expected=1)
    with pytest.raises(Conflict) as caught:
        await set_policy(store, ws, PolicyLists(ask=("c",)), by="key:2", expected=1)
    assert caught.value.code == "policy_changed"
    with pytest.raises(Conflict):
        await remove_policy(store, ws, by="key:2", expected=1)
    assert (await read_policy(store, ws)).ask == ("b",)


async def test_the_audit_entry_has_the_hash_and_the_version(
    store: Store, ws: WorkspaceKeys
) -> None:
    lists = PolicyLists(ask=("a",))
    await set_policy(store, ws, lists, by="key:1", agent="support")
    await remove_policy(store, ws, by="key:2", agent="support")
    entries = await store.redis.call("XRANGE", ws.audit, "-", "+")
    found = [json.loads(fields[b"d"]) for _, fields in entries]
    put, removed = found[-2:]
    assert (put["actor"], put["action"], put["outcome"]) == ("key:1", "policy.set", "version 1")
    assert put["details"] == {"scope": "agent:support", "hash": Policy(ask=["a"]).hash}
    assert (removed["action"], removed["outcome"]) == ("policy.remove", "version 2")


async def test_the_rules_of_an_agent_are_what_workers_judge_by(
    store: Store, ws: WorkspaceKeys
) -> None:
    code = Policy(allow=["write_report"])
    worker: dict[str, str | int] = {"id": "w1"}
    entries = [
        AgentEntry("support", "default", "m", policy=code.to_dict()),
        AgentEntry("old", "default", "m"),
    ]
    await announce(store, worker, entries)
    registry = Registry(store, max_age_s=0)
    await set_policy(store, ws, PolicyLists(ask=("a",)), by="key:1")
    await set_policy(store, ws, PolicyLists(ask=("b",)), by="key:1", agent="support")
    fields = await store.redis.call("HGETALL", ws.policies)
    rules = await read_rules(store, registry, ws, "support")
    assert rules == layers_from(fields, "support", code)
    assert len((await read_rules(store, registry, ws)).layers) == 1
    with pytest.raises(Conflict) as old:
        await read_rules(store, registry, ws, "old")
    assert old.value.code == "policy_unknown"
    with pytest.raises(InvalidInput) as unknown:
        await policy_store.read_rules(store, registry, ws, "nobody")
    assert unknown.value.code == "unknown_agent"
