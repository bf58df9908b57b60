"""Opening the store: a server that would lose state is refused, and the message helps."""

import logging
from typing import Any

import pytest

from bursar.embedded import EmbeddedServer, free_port
from bursar.errors import StoreUnavailable, StoreUnfit
from bursar.settings import Settings
from bursar.store.opening import check_server, open_store
from bursar.store.redis import connect

GOOD = {
    "redis_version": "7.2.4",
    "maxmemory_policy": "noeviction",
    "role": "master",
    "aof_enabled": 1,
}


class Answers:
    """A client that answers INFO and nothing else."""

    def __init__(self, **info: Any) -> None:
        self.info = GOOD | info

    async def call(self, *command: str) -> dict[str, Any]:
        assert command == ("INFO",)
        return self.info


async def check(settings: Settings | None = None, **info: Any) -> None:
    await check_server(Answers(**info), settings or Settings())  # type: ignore[arg-type]


async def refused(code: str, **info: Any) -> str:
    with pytest.raises(StoreUnfit) as caught:
        await check(Settings(redis_url="redis://user:hunter2@host:1/0"), **info)
    assert caught.value.code == code
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


async def test_a_fit_server_is_accepted() -> None:
    await check()
    await check(redis_version="9.1.0")


@pytest.mark.parametrize("version", ["6.2.14", "5.0", "0.0.0"])
async def test_an_old_server_is_refused(version: str) -> None:
    message = await refused("store_too_old", redis_version=version)
    assert version in message
    assert "7.0" in message


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_evicts_is_refused(policy: str) -> None:
    message = await refused("store_evicts", maxmemory_policy=policy)
    assert policy in message
    assert "maxmemory-policy noeviction" in message


async def test_a_replica_is_refused() -> None:
    assert "BURSAR_REDIS_URL" in await refused("store_is_replica", role="slave")


async def test_a_production_server_without_aof_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        await check(Settings(env="production"), aof_enabled=0)
        await check(Settings(env="dev"), aof_enabled=0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "AOF" in caplog.text


async def test_an_absent_server_is_unavailable() -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", redis_timeout_s=0.5)
    with pytest.raises(StoreUnavailable):
        await open_store(settings)


async def test_a_real_server_that_evicts_is_refused(redis_server: EmbeddedServer) -> None:
    client = connect(redis_server.url, timeout_s=3)
    await client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreUnfit, match="allkeys-lru"):
            await open_store(Settings(redis_url=redis_server.url))
    finally:
        await client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await client.aclose()


async def test_another_number_of_shards_is_refused(redis_server: EmbeddedServer) -> None:
    client = connect(redis_server.url, timeout_s=3)
    await client.call("FLUSHALL")
    store = await open_store(Settings(redis_url=redis_server.url, shards=4))
    try:
        with pytest.raises(StoreUnfit, match="BURSAR_SHARDS=4") as caught:
            await open_store(Settings(redis_url=redis_server.url, shards=16))
        assert caught.value.code == "installation_mismatch"
    finally:
        await client.call("FLUSHALL")
        await client.aclose()
        await store.aclose()
