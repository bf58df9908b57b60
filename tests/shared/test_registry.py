"""Which agents exist and who serves them now."""

import pytest

from bursar.errors import InvalidInput
from bursar.registry import (
    LIVE_MS,
    AgentEntry,
    Registry,
    announce,
    list_workers,
    redis_ms,
    withdraw,
)
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store


def worker(worker_id: str) -> dict[str, str | int]:
    return {
        "id": worker_id, "host": "h", "pid": 7, "group": "default", "slots": 3, "busy": 1,
        "agents": "reader", "started_ms": 5,
    }  # fmt: skip


READER = AgentEntry("reader", "default", "m1", "Reads.", "local:reader")


async def age(store: Store, ms: int) -> None:
    """Move the last announcement back."""
    await announce(store, worker("w1"), [READER])
    seen = await redis_ms(store) - ms
    raw = await store.redis.call("HGET", GlobalKeys.agents, "reader")
    now = raw[raw.index(b'"seen_ms":') :].split(b",")[0].split(b"}")[0]
    await store.redis.call(
        "HSET", GlobalKeys.agents, "reader", raw.replace(now, b'"seen_ms":%d' % seen)
    )
    await store.redis.call("ZADD", GlobalKeys.workers, seen, "w1")


async def test_an_announced_agent_is_live(store: Store) -> None:
    await announce(store, worker("w1"), [READER])
    entry = await Registry(store).require("reader")
    assert (entry.group, entry.manifest, entry.model, entry.live) == (
        "default", "m1", "local:reader", True,
    )  # fmt: skip


async def test_an_agent_nobody_announced_for_a_while_is_known_but_not_live(store: Store) -> None:
    await age(store, LIVE_MS + 1000)
    entry = await Registry(store).require("reader")
    assert not entry.live
    assert await list_workers(store) == []


async def test_an_agent_never_announced_is_refused_with_those_known(store: Store) -> None:
    await announce(store, worker("w1"), [READER])
    registry = Registry(store)
    assert await registry.find("nobody") is None
    with pytest.raises(InvalidInput, match="known agents: reader") as caught:
        await registry.require("nobody")
    assert (caught.value.field, caught.value.code) == ("agent", "unknown_agent")


async def test_with_no_agent_at_all_the_message_says_so(store: Store) -> None:
    with pytest.raises(InvalidInput, match="none yet"):
        await Registry(store).require("reader")


async def test_a_new_agent_is_found_although_the_last_reading_is_fresh(store: Store) -> None:
    registry = Registry(store, max_age_s=3600)
    assert await registry.entries() == {}
    await announce(store, worker("w1"), [READER])
    assert await registry.find("reader") is not None


async def test_readings_are_shared_for_a_while(store: Store) -> None:
    registry = Registry(store, max_age_s=3600)
    await announce(store, worker("w1"), [READER])
    first = await registry.entries()
    await announce(store, worker("w1"), [AgentEntry("other", "default", "m")])
    assert await registry.entries() is first


async def test_workers_are_listed_while_they_live_and_leave_when_they_stop(store: Store) -> None:
    await announce(store, worker("w1"), [READER])
    await announce(store, worker("w2"), [READER])
    views = {view.id: view for view in await list_workers(store)}
    assert set(views) == {"w1", "w2"}
    assert (views["w1"].slots, views["w1"].busy, views["w1"].pid) == (3, 1, 7)
    assert await store.redis.call("PTTL", GlobalKeys.worker("w1")) > 0
    await withdraw(store, "w1")
    assert [view.id for view in await list_workers(store)] == ["w2"]
    assert not await store.redis.call("EXISTS", GlobalKeys.worker("w1"))


async def test_workers_that_fell_silent_are_forgotten(store: Store) -> None:
    await age(store, 61_000)
    await announce(store, worker("w2"), [READER])
    assert await store.redis.call("ZRANGE", GlobalKeys.workers, 0, -1) == [b"w2"]
