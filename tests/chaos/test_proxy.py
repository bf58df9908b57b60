"""The proxy that loses things: what was asked is done, and the client does not hear of it."""

import asyncio

import pytest
from bench.proxy import Faults, lossy
from redis.asyncio import Redis

from bursar.errors import StoreUnavailable
from bursar.store.redis import connect
from bursar.store.store import Store

TIMEOUT_S = 0.3


async def test_without_faults_it_is_not_noticed(store: Store) -> None:
    async with lossy(store.settings.redis_url, Faults(), seed=1) as proxy:
        client = connect(proxy.url, timeout_s=TIMEOUT_S)
        assert await client.call("SET", "x", "1")
        assert await client.call("GET", "x") == b"1"
        await client.aclose()
    assert proxy.met == 0
    await store.redis.call("DEL", "x")


@pytest.mark.parametrize("fault", ["lose", "silence"])
async def test_a_command_whose_reply_is_lost_has_run(store: Store, fault: str) -> None:
    faults = Faults()
    async with lossy(store.settings.redis_url, faults, seed=1) as proxy:
        client = connect(proxy.url, timeout_s=TIMEOUT_S)
        await client.call("PING")
        setattr(faults, fault, 1.0)
        with pytest.raises(StoreUnavailable):
            await client.call("INCR", "x")
        setattr(faults, fault, 0.0)
        assert await client.call("GET", "x") == b"1"
        await client.aclose()
    assert proxy.met == 1
    await store.redis.call("DEL", "x")


async def test_a_request_that_is_cut_has_not_run(store: Store) -> None:
    faults = Faults()
    async with lossy(store.settings.redis_url, faults, seed=1) as proxy:
        client = connect(proxy.url, timeout_s=TIMEOUT_S)
        await client.call("PING")
        faults.cut = 1.0
        with pytest.raises(StoreUnavailable):
            await client.call("INCR", "x")
        faults.cut = 0.0
        assert await client.call("GET", "x") is None
        await client.aclose()


async def test_the_same_seed_meets_the_same_faults(store: Store) -> None:
    async def met(seed: int) -> list[bool]:
        lost = []
        async with lossy(store.settings.redis_url, Faults(), seed=seed) as proxy:
            for _ in range(20):
                async with Redis.from_url(proxy.url) as redis:
                    await redis.ping()
                    proxy.faults.lose = 0.5
                    before = proxy.met
                    await asyncio.gather(redis.ping(), return_exceptions=True)
                    lost.append(proxy.met > before)
                    proxy.faults.lose = 0.0
        return lost

    first, again, other = await met(1), await met(1), await met(2)
    assert first == again
    assert first != other
