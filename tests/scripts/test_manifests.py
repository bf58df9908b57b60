"""manifest_accept: what was decided on becomes what is recorded, once, with an audit entry."""

from typing import Any

import pytest

from bursar.audit.entries import Record
from bursar.errors import Conflict
from bursar.store.keys import GlobalKeys
from bursar.store.scripts import manifests
from bursar.store.store import Store
from support.stage import Stage, unchanged

FIELD = "a/time/convert"
RECORD = Record(workspace="*", actor="key:k", action="mcp.accept", decision="done")


async def accept(store: Store, expected: bytes) -> None:
    await manifests.accept(store, FIELD, expected=expected, accepted=b"new", record=RECORD)


async def read(store: Store, key: str) -> Any:
    return await store.redis.call("HGET", key, FIELD)


@pytest.fixture
async def changed(stage: Stage) -> Store:
    await stage.store.redis.call("HSET", GlobalKeys.manifests, FIELD, "old")
    await stage.store.redis.call("HSET", GlobalKeys.manifests_seen, FIELD, "seen")
    return stage.store


async def test_a_tool_is_accepted_as_it_was_seen(changed: Store) -> None:
    await accept(changed, b"seen")
    assert await read(changed, GlobalKeys.manifests) == b"new"
    assert await read(changed, GlobalKeys.manifests_seen) is None
    ((entry, fields),) = await changed.redis.call("XRANGE", GlobalKeys.audit, "-", "+")
    assert entry == b"1-0"
    assert b'"seq":1' in fields[b"d"]


async def test_what_is_not_what_was_decided_on_is_refused(changed: Store) -> None:
    async with unchanged(changed):
        with pytest.raises(Conflict) as refused:
            await accept(changed, b"something else")
    assert refused.value.code == "manifest_changed"


async def test_a_repeat_changes_nothing(changed: Store) -> None:
    await accept(changed, b"seen")
    async with unchanged(changed):
        with pytest.raises(Conflict) as refused:
            await accept(changed, b"seen")
    assert refused.value.code == "manifest_not_changed"
