"""Sessions as callers make, read and change them."""

from typing import Any

import msgspec
import pytest

from bursar import sessions, workspaces
from bursar.errors import BursarError, Conflict, InvalidInput, NotFound
from bursar.registry import Registry
from bursar.sessions import SessionSpec, SessionView, ancestors_of, is_near_limit, locate
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from support.stage import dump, unchanged


@pytest.fixture
async def acme(store: Store) -> Store:
    await workspaces.create(store, "acme")
    return store


async def create(store: Store, registry: Registry, **spec: Any) -> SessionView:
    return await sessions.create(store, registry, "acme", SessionSpec(**{"agent": "echo"} | spec))


async def test_a_session_has_defaults_for_all_but_its_agent(
    acme: Store, registry: Registry
) -> None:
    made = await create(acme, registry)
    assert (made.user, made.model, made.state, made.depth) == ("anonymous", "local:echo", "idle", 0)
    assert (made.root, made.parent, made.is_subagent) == (made.id, "", False)
    assert made.duration_ms >= 0
    read = await sessions.get(acme, "acme", made.id)
    assert msgspec.structs.replace(read, duration_ms=0) == msgspec.structs.replace(
        made, duration_ms=0
    )


async def test_everything_given_is_kept(acme: Store, registry: Registry) -> None:
    made = await create(
        acme,
        registry,
        id="my-id",
        user="ann@example.org",
        model="m2",
        title="A title",
        tags=("a", "b c"),
        custom={"x": [1, {"y": None}]},
        workspace_path="docs/2024",
        system_prompt="line one\nline two",
    )
    assert (made.id, made.user, made.model, made.title) == (
        "my-id",
        "ann@example.org",
        "m2",
        "A title",
    )
    assert (made.tags, made.custom) == (("a", "b c"), {"x": [1, {"y": None}]})
    assert made.workspace_path == "docs/2024"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "a{b}"),
        ("id", "a:b"),
        ("id", "x" * 65),
        ("user", "a b"),
        ("user", "{g}"),
        ("user", "a\x00"),
        ("parent", "../x"),
        ("title", "x" * 201),
        ("title", "a\x1b[31m"),
        ("title", "evil\u202etitle"),
        ("tags", tuple("abcdefghijklmnopq")),
        ("model", "m" * 129),
        ("model", "a\nb"),
        ("workspace_path", "/etc"),
        ("workspace_path", "a/../b"),
        ("workspace_path", "a//b"),
        ("workspace_path", "."),
        ("workspace_path", "a/{b}"),
        ("workspace_path", "a:b"),
        ("workspace_path", "a\\b"),
        ("workspace_path", "é" * 33),
        ("workspace_path", "a\nb"),
        ("system_prompt", "x" * (256 * 1024 + 1)),
        ("context", "x" * (256 * 1024 + 1)),
        ("custom", {"x": "y" * (256 * 1024)}),
        ("limit_microusd", 0),
        ("limit_microusd", -1),
        ("limit_microusd", 10_000_000_000_001),
        ("limit_microusd", True),
        ("per_action_microusd", 0),
        ("warn_percent", 101),
        ("warn_percent", -1),
    ],
)
async def test_a_bad_value_is_refused_by_name_and_makes_nothing(
    acme: Store, registry: Registry, field: str, value: Any
) -> None:
    async with unchanged(acme):
        with pytest.raises(InvalidInput) as caught:
            await create(acme, registry, **{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("tag", ["", "a,b", "x" * 33, "a\x07"])
async def test_a_bad_tag_is_named_by_its_place(acme: Store, registry: Registry, tag: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(acme, registry, tags=("fine", tag))
    assert caught.value.field == "tags[1]"


async def test_a_single_action_is_bounded_by_the_limit(acme: Store, registry: Registry) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(acme, registry, limit_microusd=5, per_action_microusd=6)
    assert caught.value.field == "per_action_microusd"
    made = await create(acme, registry, limit_microusd=5)
    account = (await dump(acme))[locate(acme, "acme", made.id).account][0]
    assert account[b"per_action"] == b"5"


async def test_an_agent_nobody_ever_served_is_refused(acme: Store, registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="known agents: echo") as caught:
        await create(acme, registry, agent="nobody")
    assert (caught.value.field, caught.value.code) == ("agent", "unknown_agent")


async def test_the_same_key_makes_one_session(acme: Store, registry: Registry) -> None:
    key = Idempotency("sessions", "k", "f")
    spec = SessionSpec("echo")
    first = await sessions.create(acme, registry, "acme", spec, key)
    again = await sessions.create(acme, registry, "acme", spec, key)
    assert again.id == first.id
    with pytest.raises(Conflict) as caught:
        await sessions.create(acme, registry, "acme", spec, Idempotency("sessions", "k", "g"))
    assert caught.value.code == "idempotency_conflict"


async def test_a_child_takes_after_its_parent(acme: Store, registry: Registry) -> None:
    root = await create(
        acme,
        registry,
        user="ann",
        model="m2",
        workspace_path="docs",
        context="c",
        system_prompt="p",
    )
    child = await create(acme, registry, parent=root.id, user="bob")
    assert (child.user, child.model, child.workspace_path) == ("ann", "m2", "docs")
    assert (child.root, child.depth, child.is_subagent) == (root.id, 1, True)
    texts = await acme.redis.call("HGETALL", locate(acme, "acme", child.id).text)
    assert texts == {b"context": b"c"}
    grandchild = await create(acme, registry, parent=child.id)
    keys = locate(acme, "acme", grandchild.id)
    assert await ancestors_of(acme, keys, parent=child.id, root=root.id) == (root.id, child.id)
    assert await ancestors_of(acme, keys, parent="", root=grandchild.id) == ()


async def test_an_unknown_parent_is_refused(acme: Store, registry: Registry) -> None:
    with pytest.raises(InvalidInput) as caught:
        await create(acme, registry, parent="nobody")
    assert caught.value.code == "parent_not_found"


async def test_a_patch_changes_what_is_given(acme: Store, registry: Registry) -> None:
    made = await create(acme, registry, title="old", tags=("a",))
    changed = await sessions.patch(acme, "acme", made.id, title="new", custom={"k": 1})
    assert (changed.title, changed.tags, changed.custom) == ("new", ("a",), {"k": 1})
    assert (await sessions.patch(acme, "acme", made.id, tags=())).tags == ()


async def test_sessions_of_another_workspace_do_not_exist_here(
    acme: Store, registry: Registry
) -> None:
    await workspaces.create(acme, "other")
    made = await create(acme, registry)
    for work in (sessions.get, sessions.clear, sessions.delete):
        with pytest.raises(NotFound) as caught:
            await work(acme, "other", made.id)
        assert caught.value.code == "session_not_found"
    with pytest.raises(NotFound):
        await sessions.patch(acme, "other", made.id, title="x")


async def test_a_view_shows_no_text_and_no_secret(acme: Store, registry: Registry) -> None:
    made = await create(acme, registry, title="private", custom={"secret": 1})
    assert repr(made) == f"<Session acme/{made.id} idle 0 messages>"
    assert not hasattr(made, "owner")


async def test_an_unknown_workspace_is_refused(store: Store, registry: Registry) -> None:
    with pytest.raises(BursarError) as caught:
        await sessions.create(store, registry, "nowhere", SessionSpec("echo"))
    assert caught.value.code == "workspace_not_found"


@pytest.mark.parametrize(
    ("tokens", "near"), [(0, False), (84, False), (85, False), (86, True), (100, True)]
)
def test_near_the_limit_is_strictly_above_the_threshold(tokens: int, near: bool) -> None:
    assert is_near_limit(tokens, 100, 85) is near
