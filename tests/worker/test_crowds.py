"""Many sessions and workspaces that cannot run hide none that can."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from bursar import workspaces
from bursar.agents import Agent
from bursar.clock import monotonic_s
from bursar.queue import connect_queue
from bursar.store.keys import ShardKeys
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from support.dead_worker import announce_agent
from support.workers import WORKSPACE, Site, site, working

SOON_S = 1.5
"""A round of the sweeper each half second, as in production, and some time to run a turn."""


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    await announce_agent(store)
    async with site(store) as made:
        yield made


def answering() -> Agent:
    return Agent(name="worker", model=ScriptedModel(["done"] * 9))


def neighbours(store: Store) -> Iterator[str]:
    """Names of workspaces in the shard of the one that the tests use."""
    shard = store.workspace(WORKSPACE).shard.shard
    names = (f"crowd{number}" for number in count())
    return (name for name in names if store.workspace(name).shard.shard == shard)


async def block(store: Store, shard: ShardKeys, list_key: str, refs: list[str]) -> None:
    """Put references into a blocked list, as scripts that block a session do."""
    for start in range(0, len(refs), 1000):
        members = [part for ref in refs[start : start + 1000] for part in (1, ref)]
        await store.redis.call("ZADD", list_key, *members)
    await store.redis.call("ZADD", shard.blocked, 1, list_key)


async def pause(store: Store, name: str, *, sessions_blocked: int) -> None:
    """A paused workspace with sessions that wait for the end of the pause."""
    ws = store.workspace(name)
    await store.redis.call("HSET", ws.hash, "paused", 1)
    refs = [f"{name}/s{number}" for number in range(sessions_blocked)]
    await block(store, ws.shard, ws.shard.blocked_paused(name), refs)


async def lose_bells(store: Store) -> None:
    queue = await connect_queue(store.settings)
    await queue.call("FLUSHDB")
    await queue.aclose()


async def overdue(place: Site) -> str:
    """The turn of a ready session whose bell was lost, so that only the sweeper can find it."""
    session = await place.session("worker")
    tid = await place.put(session)
    await lose_bells(place.store)
    shard = place.store.workspace(WORKSPACE).shard
    await place.store.redis.call("ZADD", shard.ready, "XX", 1, f"{WORKSPACE}/{session.id}")
    return tid


async def took_s(place: Site, tid: str) -> float:
    """Time until a turn has ended, from now."""
    began_s = monotonic_s()
    await place.ended(tid)
    return monotonic_s() - began_s


async def test_ten_thousand_blocked_sessions_do_not_hide_one_lost_bell(place: Site) -> None:
    store, shard = place.store, place.store.workspace(WORKSPACE).shard
    paused, full = [name for name, _ in zip(neighbours(store), range(2), strict=False)]
    await pause(store, paused, sessions_blocked=4000)
    capped = store.workspace(full)
    await store.redis.call("HSET", capped.hash, "paused", 0, "max_running", 1)
    await store.redis.call("HSET", capped.stats, "leases", 1)
    refs = [f"{full}/s{number}" for number in range(3000)]
    await block(store, shard, shard.blocked_cap(full), refs)
    unserved = [f"{WORKSPACE}/u{number}" for number in range(3000)]
    await block(store, shard, shard.blocked_agent("absent"), unserved)
    tid = await overdue(place)
    async with working(store, answering(), sweep_every_s=0.5):
        assert await took_s(place, tid) < SOON_S


async def test_paused_workspaces_in_front_do_not_hide_one_whose_pause_has_ended(
    place: Site,
) -> None:
    store, shard = place.store, place.store.workspace(WORKSPACE).shard
    await workspaces.update(store, WORKSPACE, {"paused": True})
    session = await place.session("worker")
    tid = await place.put(session)
    await workspaces.update(store, WORKSPACE, {"paused": False})
    for name, _ in zip(neighbours(store), range(150), strict=False):
        await pause(store, name, sessions_blocked=1)
    behind = shard.blocked_paused(WORKSPACE)
    await store.redis.call("ZADD", shard.blocked, "XX", 2, behind)
    assert int(await store.redis.call("ZRANK", shard.blocked, behind)) == 150
    async with working(store, answering(), sweep_every_s=0.5):
        assert await took_s(place, tid) < 2 * SOON_S


async def test_sessions_that_are_blocked_no_more_do_not_hide_one_behind_them(place: Site) -> None:
    """They ended or were cancelled meanwhile, and stand in the list for nothing."""
    store, shard = place.store, place.store.workspace(WORKSPACE).shard
    await workspaces.update(store, WORKSPACE, {"paused": True})
    session = await place.session("worker")
    tid = await place.put(session)
    await workspaces.update(store, WORKSPACE, {"paused": False})
    gone = [f"{WORKSPACE}/gone{number}" for number in range(50)]
    await block(store, shard, shard.blocked_paused(WORKSPACE), gone)
    async with working(store, answering(), sweep_every_s=0.5):
        assert await took_s(place, tid) < SOON_S


async def test_lost_bells_that_are_more_than_a_round_rings_for_are_found_in_the_next(
    place: Site,
) -> None:
    store, shard = place.store, place.store.workspace(WORKSPACE).shard
    tid = await overdue(place)
    crowd = [part for number in range(250) for part in (0, f"{WORKSPACE}/gone{number}")]
    await store.redis.call("ZADD", shard.ready, *crowd)
    async with working(store, answering(), sweep_every_s=0.5):
        assert await took_s(place, tid) < 3 * SOON_S
