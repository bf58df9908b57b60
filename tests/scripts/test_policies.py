"""Setting and removing policies: versions, what was seen, history, and an audit entry for each."""

import json
from typing import Any

import pytest

from bursar.audit.entries import Record
from bursar.errors import Conflict, LimitReached, NotFound
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts import policies
from bursar.store.scripts.policies import Put, put_policy
from bursar.store.store import Store
from support.stage import unchanged

Lists = dict[str, list[str]]


class Place:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.ws: WorkspaceKeys = store.workspace("acme")

    async def put(
        self, lists: Lists | None, scope: str = "ws", expected: int | None = None, by: str = "key:k"
    ) -> Put:
        record = Record(workspace="acme", actor=by, action="policy.set", decision="done")
        return await put_policy(self.store, self.ws, scope, lists, record, expected=expected)

    async def stored(self, scope: str = "ws") -> dict[str, Any]:
        found = await self.store.redis.call("HGET", self.ws.policies, scope)
        return json.loads(found) if found else {}

    async def counters(self) -> list[str]:
        names = ("policy_version", "gate_version", "audit_seq")
        return [text(v) for v in await self.store.redis.call("HMGET", self.ws.hash, *names)]

    async def audit(self) -> list[dict[str, Any]]:
        entries = await self.store.redis.call("XRANGE", self.ws.audit, "-", "+")
        return [json.loads(fields[b"d"]) for _, fields in entries]

    async def history(self, scope: str = "ws") -> str:
        return text(await self.store.redis.call("HGET", self.ws.policy_history, scope))


def lists(*allow: str) -> Lists:
    return {"blocked": [], "ask": [], "allow": list(allow)}


@pytest.fixture
async def place(any_store: Store) -> Place:
    found = Place(any_store)
    await any_store.redis.call("HSET", found.ws.hash, "id", "acme", "policy_version", 0)
    return found


async def test_a_policy_is_stored_with_version_time_and_author(place: Place) -> None:
    assert await place.put(lists("a")) == Put(1, changed=True)
    stored = await place.stored()
    assert stored.pop("at_ms") > 1_600_000_000_000
    assert stored == {**lists("a"), "version": 1, "by": "key:k"}
    assert await place.counters() == ["1", "1", "1"]


async def test_each_change_raises_the_versions_and_is_one_audit_entry(place: Place) -> None:
    await place.put(lists("a"))
    await place.put(lists("b"), scope="agent:support")
    await place.put(None)
    assert await place.counters() == ["3", "3", "3"]
    assert [entry["outcome"] for entry in await place.audit()] == [
        "version 1", "version 2", "version 3",
    ]  # fmt: skip
    assert [entry["seq"] for entry in await place.audit()] == [1, 2, 3]
    assert await place.stored() == {}
    assert (await place.stored("agent:support"))["version"] == 2


async def test_the_same_policy_again_changes_nothing(place: Place) -> None:
    await place.put(lists("a"), expected=0)
    async with unchanged(place.store):
        assert await place.put(lists("a"), expected=0) == Put(1, changed=False)
        assert await place.put(lists("a"), by="key:other") == Put(1, changed=False)


async def test_a_policy_that_begins_like_another_is_another(place: Place) -> None:
    await place.put(lists("a"))
    assert (await place.put(lists("a", "b"))).changed
    assert (await place.put(lists("a"))).changed


async def test_a_change_with_an_old_version_is_refused_with_the_present_one(place: Place) -> None:
    await place.put(lists("a"))
    await place.put(lists("x"), scope="agent:a")
    await place.put(lists("b"), expected=1)
    async with unchanged(place.store):
        for expected, change in ((1, lists("c")), (0, lists("c")), (2, None), (4, None)):
            with pytest.raises(Conflict) as caught:
                await place.put(change, expected=expected)
            assert (caught.value.code, caught.value.details["version"]) == ("policy_changed", 3)
        with pytest.raises(Conflict) as caught:
            await place.put(lists("c"), scope="agent:new", expected=3)
        assert caught.value.details["version"] == 0


async def test_versions_never_come_twice(place: Place) -> None:
    """A policy that was removed and made again is not the one that somebody saw before."""
    await place.put(lists("a"))
    await place.put(None)
    assert await place.put(lists("a"), expected=0) == Put(3, changed=True)
    with pytest.raises(Conflict):
        await place.put(lists("b"), expected=1)


async def test_what_is_not_there_cannot_be_removed(place: Place) -> None:
    async with unchanged(place.store):
        with pytest.raises(NotFound) as caught:
            await place.put(None)
        assert caught.value.code == "policy_not_found"
        with pytest.raises(Conflict):
            await place.put(None, expected=1)


async def test_the_last_versions_are_kept_for_each_policy(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "MAX_VERSIONS", 3)
    await place.put(lists("x"), scope="agent:a")
    for n in range(4):
        await place.put(lists(f"a{n}"))
    await place.put(None)
    assert await place.history() == "6,5,4"
    fields = await place.store.redis.call("HKEYS", place.ws.policy_history)
    assert sorted(map(text, fields)) == [
        "agent:a", "agent:a@1", "ws", "ws@4", "ws@5", "ws@6",
    ]  # fmt: skip
    last = json.loads(await place.store.redis.call("HGET", place.ws.policy_history, "ws@6"))
    assert (last["removed"], last["version"], last["by"]) == (True, 6, "key:k")


async def test_the_number_of_policies_is_bounded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "MAX_SCOPES", 2)
    await place.put(lists("a"))
    await place.put(lists("b"), scope="agent:b")
    async with unchanged(place.store):
        with pytest.raises(LimitReached) as caught:
            await place.put(lists("c"), scope="agent:c")
    assert caught.value.code == "too_many_policies"
    await place.put(lists("d"))
    await place.put(None)
    await place.put(lists("c"), scope="agent:c")


async def test_policies_that_were_removed_count_by_the_versions_that_are_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "MAX_SCOPES", 1)
    monkeypatch.setattr(policies, "MAX_VERSIONS", 2)
    await place.put(lists("a"), scope="agent:a")
    await place.put(None, scope="agent:a")
    with pytest.raises(LimitReached):
        await place.put(lists("b"), scope="agent:b")
    assert (await place.put(lists("a"), scope="agent:a")).changed


async def test_a_policy_needs_a_workspace(any_store: Store) -> None:
    async with unchanged(any_store):
        with pytest.raises(NotFound) as caught:
            await Place(any_store).put(lists("a"))
    assert caught.value.code == "workspace_not_found"


async def test_patterns_with_quotes_and_braces_are_stored_as_they_are(place: Place) -> None:
    odd = ['file://a"},{"b', "file://%d\\*", 'file://"version":7,']
    await place.put(lists(*odd))
    assert (await place.stored())["allow"] == odd
    assert not (await place.put(lists(*odd))).changed
