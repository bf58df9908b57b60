"""api_key_change: a key and the entry that says who made it or took it away."""

import pytest

from bursar.audit.entries import Record
from bursar.errors import NotFound
from bursar.store.codec import decode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.api_keys import change_api_key
from bursar.store.store import Store
from support.stage import unchanged


def record(action: str) -> Record:
    return Record(workspace="", actor="key:root", action=action, decision="done")


async def actions(store: Store) -> list[str]:
    entries = await store.redis.call("XRANGE", GlobalKeys.audit, "-", "+")
    return [decode_json(fields[b"d"], dict[str, object])["action"] for _, fields in entries]  # type: ignore[misc]


async def test_a_key_is_added_and_taken_away_with_an_entry_each(any_store: Store) -> None:
    await change_api_key(any_store, "k1", b"stored", record("key.create"))
    assert text(await any_store.redis.call("HGET", GlobalKeys.api_keys, "k1")) == "stored"
    await change_api_key(any_store, "k1", b"", record("key.revoke"))
    assert await any_store.redis.call("EXISTS", GlobalKeys.api_keys) == 0
    assert await actions(any_store) == ["key.create", "key.revoke"]


async def test_a_key_that_is_not_there_cannot_be_taken_away(any_store: Store) -> None:
    async with unchanged(any_store):
        with pytest.raises(NotFound) as caught:
            await change_api_key(any_store, "k1", b"", record("key.revoke"))
    assert caught.value.code == "key_not_found"
