"""Workspaces: tenants with a budget, caps and a pause."""

import asyncio
from typing import Any

import pytest

from bursar import sessions, workspaces
from bursar.errors import BursarError, Conflict, InvalidInput, LimitReached, NotFound
from bursar.inbox import Inputs
from bursar.leases import Claimed, ClaimRefused
from bursar.messages import UserMessage
from bursar.registry import Registry
from bursar.store.keys import GlobalKeys
from bursar.store.scripts import leases
from bursar.store.store import Store
from support.stage import claimant, unchanged

SPEC = sessions.SessionSpec("echo")


async def test_a_workspace_is_unlimited_unless_told_otherwise(store: Store) -> None:
    made = await workspaces.create(store, "acme")
    assert (made.paused, made.max_running, made.max_sessions) == (False, None, None)
    assert made.budget.limit_microusd is None
    assert made.budget.warn_percent == 80
    assert await workspaces.list_workspaces(store) == ["acme"]


async def test_everything_given_is_kept(store: Store) -> None:
    made = await workspaces.create(
        store, "acme", limit_microusd=500, warn_percent=50, max_running=2, max_sessions=3
    )
    assert (made.max_running, made.max_sessions) == (2, 3)
    assert (made.budget.limit_microusd, made.budget.warn_percent) == (500, 50)


async def test_an_existing_workspace_is_not_created_again(store: Store) -> None:
    await workspaces.create(store, "acme", limit_microusd=500)
    async with unchanged(store):
        with pytest.raises(Conflict) as caught:
            await workspaces.create(store, "acme", limit_microusd=900, max_running=1)
    assert caught.value.code == "workspace_exists"


async def test_of_many_creators_one_wins_and_its_settings_hold(store: Store) -> None:
    wishes = (workspaces.create(store, "acme", max_running=i) for i in range(1, 11))
    outcomes = await asyncio.gather(*wishes, return_exceptions=True)
    won = [one for one in outcomes if isinstance(one, workspaces.WorkspaceView)]
    assert len(won) == 1
    assert (await workspaces.get(store, "acme")).max_running == won[0].max_running


async def test_an_unlisted_workspace_is_listed_when_created_again(store: Store) -> None:
    await workspaces.create(store, "acme")
    await store.redis.call("DEL", GlobalKeys.workspaces)
    with pytest.raises(Conflict):
        await workspaces.create(store, "acme")
    assert await workspaces.list_workspaces(store) == ["acme"]


async def test_ensure_makes_it_once_and_leaves_it_alone(store: Store) -> None:
    await workspaces.ensure(store, "acme")
    await workspaces.update(store, "acme", {"max_running": 3})
    async with unchanged(store):
        await workspaces.ensure(store, "acme")


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("limit_microusd", {"limit_microusd": 0}),
        ("warn_percent", {"warn_percent": 101}),
        ("max_running", {"max_running": 0}),
        ("max_sessions", {"max_sessions": -1}),
        ("max_sessions", {"max_sessions": True}),
    ],
)
async def test_a_bad_value_is_named_and_makes_nothing(
    store: Store, field: str, arguments: dict[str, Any]
) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await workspaces.create(store, "acme", **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["", "Acme", "a{b}", "a:b", "a/b", "x" * 49, "-a"])
async def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    for work in (workspaces.create(store, name), workspaces.get(store, name)):
        with pytest.raises(InvalidInput) as caught:
            await work
        assert caught.value.field == "workspace"


async def test_an_unknown_workspace_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await workspaces.get(store, "nowhere")
    with pytest.raises(NotFound):
        await workspaces.update(store, "nowhere", {"paused": True})


async def test_caps_change_and_go(store: Store) -> None:
    await workspaces.create(store, "acme", max_running=2)
    changed = await workspaces.update(store, "acme", {"max_running": None, "max_sessions": 7})
    assert (changed.max_running, changed.max_sessions) == (None, 7)


async def test_only_settings_can_be_changed(store: Store) -> None:
    await workspaces.create(store, "acme")
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await workspaces.update(store, "acme", {"created_ms": 5})
    assert caught.value.field == "created_ms"


async def test_a_full_workspace_refuses_one_more_session(store: Store, registry: Registry) -> None:
    await workspaces.create(store, "acme", max_sessions=1)
    first = await sessions.create(store, registry, "acme", SPEC)
    with pytest.raises(LimitReached) as caught:
        await sessions.create(store, registry, "acme", SPEC)
    assert caught.value.code == "workspace_full"
    await sessions.delete(store, "acme", first.id)
    await sessions.create(store, registry, "acme", SPEC)


async def test_a_paused_workspace_accepts_inputs_and_starts_nothing(
    store: Store, registry: Registry, inputs: Inputs
) -> None:
    await workspaces.create(store, "acme")
    made = await sessions.create(store, registry, "acme", SPEC)
    session = sessions.locate(store, "acme", made.id)
    assert (await workspaces.update(store, "acme", {"paused": True})).paused
    accepted = await inputs.put("acme", made.id, UserMessage("x"))
    assert accepted.outcome == "blocked"
    assert (await sessions.get(store, "acme", made.id)).blocked == "paused"
    refused = await leases.claim(store, session, claimant("w", 1000), owner="o")
    assert refused == ClaimRefused("blocked", "paused")
    await workspaces.update(store, "acme", {"paused": False})
    key = session.workspace.shard.blocked_paused("acme")
    assert await leases.unblock(store, session, why="paused", list_key=key)
    claimed = await leases.claim(store, session, claimant("w", 1000), owner="o")
    assert isinstance(claimed, Claimed)


async def test_stats_count_what_is_there(store: Store, registry: Registry, inputs: Inputs) -> None:
    await workspaces.create(store, "acme")
    assert await workspaces.read_stats(store, "acme") == {}
    made = await sessions.create(store, registry, "acme", SPEC)
    await inputs.put("acme", made.id, UserMessage("x"))
    stats = await workspaces.read_stats(store, "acme")
    assert {name: n for name, n in stats.items() if n} == {
        "sessions:live": 1, "sessions:queued": 1, "turns:queued": 1,
    }  # fmt: skip


async def test_one_workspace_does_not_see_the_other(store: Store, registry: Registry) -> None:
    await workspaces.create(store, "acme")
    await workspaces.create(store, "other")
    made = await sessions.create(store, registry, "acme", SPEC)
    with pytest.raises(BursarError):
        await sessions.get(store, "other", made.id)
    assert await workspaces.read_stats(store, "other") == {}
