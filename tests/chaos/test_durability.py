"""The short form of `bench durability`: what was acknowledged outlives the server's death."""

import random
from pathlib import Path

from bench.acknowledged import Load, kill_under_load, missing, promote_under_load

from bursar.embedded import EmbeddedServer
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.store import Store

SEED = 20261125


async def strict(url: str) -> Store:
    return await open_store(Settings(redis_url=url, durability="strict", wait_replicas=0))


async def test_a_killed_server_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    with EmbeddedServer(data=tmp_path, extra=("--appendfsync", "always")) as server:
        store = await strict(server.url)
        done = await kill_under_load(store, server, kills=3, callers=32, chance=random.Random(SEED))
        await store.aclose()
    assert (done.lost, done.wrong) == ([], [])
    assert done.kills == 3
    assert done.acknowledged > 300
    assert done.repeats > 0, "nothing was under way when it died"


async def test_a_promoted_replica_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    done = await promote_under_load(tmp_path, callers=32, chance=random.Random(SEED))
    assert done.lost == []
    assert done.acknowledged > 100
    assert done.repeats > 0


async def test_a_loss_would_be_seen(tmp_path: Path) -> None:
    """What the two above rest on: each way to lose something is named."""
    with EmbeddedServer(data=tmp_path, extra=("--appendfsync", "always")) as server:
        store = await strict(server.url)
        load = await Load.open(store, 3)
        ids = []
        for spender in load.spenders:
            await spender.reserve(1, 500, secret="s")
            ids.append(spender.hold_id(1))
        await load.spenders[2].commit(1, 400, secret="s")
        await store.redis.call("DEL", store.workspace("durable").hold(ids[0]))
        # One that is gone, one whose end is gone; the third is as it was said to be.
        found = await missing(store, {ids[0]}, {ids[1], ids[2]})
        assert [each.split()[0] for each in found] == ids[:2]
        await store.aclose()
