"""Opening the store: is this server fit to hold money and conversations, and is it ours?"""

import asyncio
import logging
from typing import Any

from bursar.errors import StoreUnfit
from bursar.ids import new_secret
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.durability import enforce, examine, waits_for
from bursar.store.keys import GlobalKeys
from bursar.store.redis import RedisClient, connect
from bursar.store.scripts.loader import LUA, Script
from bursar.store.store import Store
from bursar.store.topology import Topology, redacted

__all__ = ["SCHEMA_VERSION", "adopt", "check_server", "open_store"]

SCHEMA_VERSION = 1
_OLDEST = (7, 0)
_INSTALL_OPEN = Script("install_open")

logger = logging.getLogger(__name__)


async def open_store(settings: Settings) -> Store:
    """Connect, check the servers, load all scripts, and record or compare the installation.

    Raises:
        StoreUnavailable: nothing answers at ``redis_url``.
        StoreUnfit: too old, a volatile eviction policy, another installation's data; in production
            also if it does not fulfil the durability profile.

    """
    client = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
    try:
        for server in (await client.servers()).values():
            await check_server(server, settings)
            await _load_scripts(server)
        durability = await examine(client, settings)
        enforce(durability, settings)
        waits = waits_for(durability, settings)
        if waits is not None:
            client.promise(waits)
        return await adopt(client, settings)
    except BaseException:
        await client.aclose()
        raise


async def _load_scripts(server: RedisClient) -> None:
    await asyncio.gather(
        *(
            server.call("SCRIPT", "LOAD", Script(path.stem).text(shebang=True))
            for path in sorted(LUA.glob("*.lua"))
        )
    )


async def adopt(client: RedisClient, settings: Settings) -> Store:
    """Record the installation at its first start, or check that this process fits it."""
    store = Store(client, settings, generation=0, pepper="")
    reply = await store.run(
        _INSTALL_OPEN, [GlobalKeys.install], [SCHEMA_VERSION, settings.shards, new_secret(256)]
    )
    if reply[0] == "mismatch":
        raise _mismatch(int(reply[1]), int(reply[2]), settings)
    store.generation, store.pepper = int(reply[1]), text(reply[2])
    return store


def _mismatch(schema: int, shards: int, settings: Settings) -> StoreUnfit:
    advice = (
        f"Shards are fixed at the first start: set BURSAR_SHARDS={shards}, or use another database"
    )
    if schema != SCHEMA_VERSION:
        advice = "Use a version of Bursar that knows that schema, or another database"
    return StoreUnfit(
        f"this Redis holds a Bursar installation with schema {schema} and {shards} shards; this "
        f"process has schema {SCHEMA_VERSION} and {settings.shards} shards. {advice}",
        code="installation_mismatch",
    )


async def check_server(client: RedisClient, settings: Settings) -> None:
    """Refuse a server that would lose or corrupt state; each message says what to change."""
    info: dict[str, Any] = await client.call("INFO")
    version = str(info.get("redis_version", "0.0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise StoreUnfit(
            f"Redis {version} at {redacted(settings.redis_url)} is too old: "
            "Bursar needs Redis or Valkey 7.0 or newer",
            code="store_too_old",
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise StoreUnfit(
            f"Redis at {redacted(settings.redis_url)} has maxmemory-policy {policy}: it would "
            "evict sessions and budgets under memory pressure. Set `maxmemory-policy noeviction`",
            code="store_evicts",
        )
    if int(info.get("cluster_enabled", 0)) and Topology.parse(settings.redis_url).kind != "cluster":
        raise StoreUnfit(
            f"Redis at {redacted(settings.redis_url)} is a node of a Cluster: "
            "set BURSAR_REDIS_URL to redis+cluster://host:port,host:port",
            code="store_is_cluster",
        )
    if str(info.get("role", "master")) != "master":
        raise StoreUnfit(
            f"Redis at {redacted(settings.redis_url)} is a replica: Bursar writes to a primary "
            "only. Set BURSAR_REDIS_URL to the primary",
            code="store_is_replica",
        )
    if settings.env == "production" and not int(info.get("aof_enabled", 0)):
        logger.warning("Redis runs without AOF: a restart loses what came after the last snapshot")
