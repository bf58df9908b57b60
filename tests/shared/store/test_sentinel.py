"""Sentinels name the primary; each connection asks them, so a failover is followed."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bursar.errors import StoreUnavailable
from bursar.settings import Settings
from bursar.store.blocking import BlockingList
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient, connect
from bursar.store.scripts.loader import Script
from bursar.store.threads import connect_thread
from support.topologies import SERVICE, Replicated, SentinelProcess, ask, paused, until
from support.workers import wait_until

TIMEOUT_S = 1.0
KEY, BARRIER = "bursar:{s01}:x", "bursar:{s01}:barrier"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """A primary, a replica and three Sentinels; roles change on the way through the tests."""
    servers = Replicated(tmp_path_factory.mktemp("sentinel"), replicas=1, sentinels=3)
    yield servers
    servers.stop()


async def answers(client: RedisClient) -> bool:
    try:
        return bool(await client.call("HSET", KEY, "n", 1) is not None)
    except StoreUnavailable:
        return False


def _names(sentinel: int, primary: int) -> bool:
    found = ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
    return bool(int(found[1]) == primary)


async def test_a_sentinel_that_lags_behind_cannot_name_a_replica(
    site: Replicated, tmp_path: Path
) -> None:
    with SentinelProcess(tmp_path / "s", site.replicas[0].port, service="wallet") as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/wallet"
        client = connect(url, timeout_s=TIMEOUT_S)
        with pytest.raises(StoreUnavailable, match="is a slave"):
            await client.call("PING")
        await client.aclose()


async def test_a_service_that_nobody_knows_is_named(site: Replicated) -> None:
    client = connect(site.url.replace(SERVICE, "wallet"), timeout_s=TIMEOUT_S)
    with pytest.raises(StoreUnavailable, match="no Sentinel names 'wallet'"):
        await client.call("PING")
    await client.aclose()


async def test_sentinels_may_have_a_password_of_their_own(site: Replicated, tmp_path: Path) -> None:
    with SentinelProcess(tmp_path / "s", site.primary.port, service="wallet") as sentinel:
        ask(sentinel.port, "ACL", "SETUSER", "default", "resetpass", ">hush")
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/wallet"
        client = connect(url, timeout_s=TIMEOUT_S)
        with pytest.raises(StoreUnavailable, match="Authentication required"):
            await client.call("PING")
        await client.aclose()

        client = connect(f"{url}?sentinel_password=hush", timeout_s=TIMEOUT_S)
        assert await answers(client)
        await client.aclose()
        thread = connect_thread(f"{url}?sentinel_password=hush", timeout_s=TIMEOUT_S)
        assert thread.run_each(Script("barrier"), [([BARRIER], [1000])]) == [[b"ok"]]
        thread.close()


async def test_a_primary_that_is_none_any_more_is_left_at_once(site: Replicated) -> None:
    """A planned change of roles: the old one goes on as a replica and answers."""
    client = connect(site.url, timeout_s=TIMEOUT_S)
    pokes = BlockingList(client, timeout_s=TIMEOUT_S)
    assert await answers(client)
    waiting = asyncio.ensure_future(pokes.pop(["list"], 20))
    await asyncio.sleep(0.1)
    ask(site.sentinels[0].port, "SENTINEL", "FAILOVER", SERVICE, "COORDINATED")
    with pytest.raises(StoreUnavailable):
        await waiting
    until("changed roles", lambda: ask(site.primary.port, "ROLE")[0] == b"slave")
    site.primary, site.replicas[0] = site.replicas[0], site.primary
    for sentinel in site.sentinels:
        until("Sentinel that knows", partial(_names, sentinel.port, site.primary.port))
    await wait_until("new primary", lambda: answers(client))
    await client.call("RPUSH", "list", "x")
    assert await pokes.pop(["list"], 1) == ("list", b"x")
    await pokes.aclose()
    await client.aclose()


async def test_a_failover_is_followed_by_all_clients(site: Replicated) -> None:
    store = await open_store(Settings(redis_url=site.url, redis_timeout_s=TIMEOUT_S))
    thread = connect_thread(site.url, timeout_s=TIMEOUT_S)
    pokes = BlockingList(store.redis, timeout_s=TIMEOUT_S)
    barrier = (Script("barrier"), [([BARRIER], [1000])])
    assert await answers(store.redis)
    until("first renewal", lambda: thread.run_each(*barrier) == [[b"ok"]])
    assert await pokes.pop(["list"], 0.01) is None
    # The first that is asked says nothing, the next one does.
    with paused(site.sentinels[0]):
        site.primary.kill()
        assert not await answers(store.redis)
        with pytest.raises(StoreUnavailable):
            await pokes.pop(["list"], 0.01)
        assert isinstance(thread.run_each(*barrier)[0], Exception)
        await wait_until("new primary", lambda: answers(store.redis))
        until("renewal", lambda: thread.run_each(*barrier) == [[b"ok"]])
        await store.redis.call("RPUSH", "list", "x")
        assert await pokes.pop(["list"], 1) == ("list", b"x")
    assert store.redis.connects == 2
    assert ask(site.replicas[0].port, "HGET", KEY, "n") == b"1"
    thread.close()
    await pokes.aclose()
    await store.aclose()
