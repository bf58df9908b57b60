"""Putting a timer off: one of those who find it due gets it."""

from bursar.store.scripts.timers import defer_timer
from bursar.store.store import Store
from support.stage import unchanged


async def test_a_due_timer_is_put_off_once(any_store: Store) -> None:
    ws = any_store.workspace("acme")
    await any_store.redis.call("ZADD", ws.shard.timers, 1, "hooks acme/s a u 1")
    assert await defer_timer(any_store, ws, "hooks acme/s a u 1", for_ms=60_000)
    async with unchanged(any_store):
        assert not await defer_timer(any_store, ws, "hooks acme/s a u 1", for_ms=60_000)


async def test_a_timer_that_is_gone_does_not_come_back(any_store: Store) -> None:
    ws = any_store.workspace("acme")
    async with unchanged(any_store):
        assert not await defer_timer(any_store, ws, "hooks acme/s a u 1", for_ms=60_000)
