"""`strict`: what must not be lost is on disk and on replicas before it is acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.embedded import EmbeddedServer
from bursar.errors import StoreUnavailable
from bursar.ids import new_id
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts import accounts, budgets, leases, turns
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.stage import Stage
from support.tool_calls import start_tool
from support.topologies import Replicated, paused

TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """A primary and one replica."""
    servers = Replicated(tmp_path_factory.mktemp("pair"), replicas=1)
    yield servers
    servers.stop()


def strict(url: str, *, replicas: int = 1) -> Settings:
    return Settings(
        redis_url=url, durability="strict", wait_replicas=replicas, redis_timeout_s=TIMEOUT_S
    )


@pytest.fixture
async def store(pair: Replicated) -> AsyncIterator[Store]:
    opened = await open_store(strict(pair.url))
    yield opened
    await opened.aclose()


async def running(store: Store) -> tuple[Stage, Any, str]:
    """A turn under way in a workspace of its own."""
    stage = await Stage.build(store, workspace=new_id("ws").replace("_", "-"))
    lease, turn = await stage.running()
    return stage, lease, turn


async def persist(operation: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat as drives do; the replica needs a moment to wake up."""
    for _ in range(20):
        try:
            return await operation()
        except StoreUnavailable:
            continue
    raise AssertionError("it was never acknowledged")


async def waits(store: Store) -> int:
    """How many waits the server has been asked for."""
    stats = await store.redis.call("INFO", "commandstats")
    return int(stats.get("cmdstat_wait", {}).get("calls", 0))


async def test_nothing_is_acknowledged_while_the_replica_is_silent(
    pair: Replicated, store: Store
) -> None:
    stage, lease, _ = await running(store)
    with paused(pair.replicas[0]), pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await stage.reserve(lease, 10)
    # It was written all the same; only the answer was held back. The repeat finds it.
    hold = await persist(lambda: stage.reserve(lease, 10))
    assert (await stage.hash(hold.key))["state"] == "open"
    assert (await stage.hash(stage.session.account))["pending"] == "10"


async def test_a_repeat_waits_too_although_it_writes_nothing(pair: Replicated) -> None:
    """On a new connection a plain WAIT would answer at once: nothing was written on it."""
    first, second = await open_store(strict(pair.url)), await open_store(strict(pair.url))
    stage, lease, _ = await running(first)
    repeating = Stage(second, stage.ws, stage.session, stage.facts)
    with paused(pair.replicas[0]):
        for each in (stage, repeating, repeating):
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await each.reserve(lease, 10)
    assert (await persist(lambda: repeating.reserve(lease, 10))).cost_microusd == 10
    await first.aclose()
    await second.aclose()


async def test_stream_appends_do_not_stand_behind_a_wait(pair: Replicated, store: Store) -> None:
    stage, lease, turn = await running(store)
    other, other_lease, _ = await running(store)
    with paused(pair.replicas[0]):
        reserving = asyncio.ensure_future(stage.reserve(lease, 10))
        began = time.monotonic()
        for _ in range(20):
            await turns.append_events(store, other_lease, [other.event("text.delta", turn)])
        assert time.monotonic() - began < TIMEOUT_S / 2
        assert not reserving.done()
        with pytest.raises(StoreUnavailable):
            await reserving


async def test_callers_in_flight_share_a_wait(store: Store) -> None:
    stage, lease, _ = await running(store)
    before = await waits(store)
    await asyncio.gather(*(stage.reserve(lease, 1, hold_id=f"h/{i}") for i in range(300)))
    assert 1 <= await waits(store) - before <= 10


async def test_only_what_must_not_be_lost_waits(store: Store) -> None:
    stage, lease, turn = await running(store)
    ws = stage.ws.id

    async def count(operation: Callable[[], Awaitable[Any]]) -> int:
        before = await waits(store)
        await operation()
        return await waits(store) - before

    hold = await stage.reserve(lease, 10)
    calls: dict[str, str | bytes] = {"call:a:1": "intent", "call:b:1": "intent"}
    renewal = leases.renew_command([lease], lease_ms=60_000)
    path = stage.path.names
    found = {
        "put": await count(stage.put),
        "append": await count(
            lambda: turns.append_events(store, lease, [stage.event("text.delta", turn)])
        ),
        "renew": await count(lambda: store.run(leases.RENEW, *renewal)),
        "commit": await count(lambda: stage.commit(lease, turn, Commit(steps=1, effects=calls))),
        "tool": await count(lambda: start_tool(store, lease, "call:a:1")),
        "tool once": await count(
            lambda: start_tool(store, lease, "call:b:1", once=True)
        ),
        "commit with hold": await count(
            lambda: stage.commit(lease, turn, Commit(hold=hold, actual_microusd=4))
        ),
        "reserve": await count(lambda: stage.reserve(lease, 10, hold_id="h/2")),
        "end hold": await count(
            lambda: budgets.end_hold(
                store, stage.session, op="release", hold_id="h/2", names=",".join(path), turn=turn,
                secret="s3cret",
            )
        ),
        "limit": await count(
            lambda: accounts.set_limit(store, ws, "ws", LimitWish(limit="500"), change_id="c1")
        ),
        "reset": await count(
            lambda: accounts.reset_account(store, ws, "ws", change_id="c2")
        ),
        "finish": await count(lambda: stage.finish(lease, turn)),
    }  # fmt: skip
    assert {name for name, number in found.items() if number} == {
        "tool once", "commit with hold", "reserve", "end hold", "limit", "reset", "finish"
    }  # fmt: skip
    assert set(found.values()) == {0, 1}


async def test_a_server_that_forgot_its_scripts_still_answers(store: Store) -> None:
    stage, lease, _ = await running(store)
    await store.redis.call("SCRIPT", "FLUSH")
    assert (await stage.reserve(lease, 10)).cost_microusd == 10
    await store.redis.call("SCRIPT", "FLUSH")
    results = await asyncio.gather(*(stage.reserve(lease, 1, hold_id=f"x/{i}") for i in range(9)))
    assert len(results) == 9


async def test_what_settles_is_acknowledged_without_memory(store: Store) -> None:
    stage, lease, turn = await running(store)
    hold = await stage.reserve(lease, 10)
    await store.redis.call("CONFIG", "SET", "maxmemory", 1)
    try:
        await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=4))
        with pytest.raises(StoreUnavailable):
            await stage.reserve(lease, 10, hold_id="h/2")
    finally:
        await store.redis.call("CONFIG", "SET", "maxmemory", 0)
    assert (await stage.hash(hold.key))["actual"] == "4"


@pytest.mark.parametrize("fsync", ["always", "everysec"])
async def test_the_disk_is_waited_for(tmp_path: Path, fsync: str) -> None:
    with EmbeddedServer(data=tmp_path, extra=("--appendfsync", fsync)) as server:
        patient = strict(server.url, replicas=0).model_copy(update={"redis_timeout_s": 3})
        store = await open_store(patient)
        stage, lease, _ = await running(store)
        await stage.reserve(lease, 10)
        stats = await store.redis.call("INFO", "commandstats")
        assert stats["cmdstat_waitaof"]["calls"] == 1
        assert "cmdstat_wait" not in stats
        await store.aclose()


async def test_a_server_that_writes_no_file_acknowledges_nothing(tmp_path: Path) -> None:
    with EmbeddedServer() as server:
        store = await open_store(strict(server.url, replicas=0))
        stage, lease, _ = await running(store)
        with pytest.raises(StoreUnavailable, match="appendonly is disabled"):
            await stage.reserve(lease, 10)
        await store.aclose()


async def test_a_lost_server_fails_what_waits_and_is_found_again(tmp_path: Path) -> None:
    server = EmbeddedServer(data=tmp_path, extra=("--appendfsync", "always"))
    store = await open_store(strict(server.url, replicas=0))
    stage, lease, _ = await running(store)
    calls = [stage.reserve(lease, 1, hold_id=f"h/{i}") for i in range(50)]
    reserving = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.kill()
    results = await reserving
    assert all(isinstance(each, StoreUnavailable | budgets.HoldRef) for each in results), results
    server.start()
    for i, result in enumerate(results):
        if isinstance(result, budgets.HoldRef):
            assert (await stage.hash(result.key))["state"] == "open"
        else:
            await stage.reserve(lease, 1, hold_id=f"h/{i}")
    assert (await stage.hash(stage.session.account))["pending"] == "50"
    await store.aclose()
    server.stop()
