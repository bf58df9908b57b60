"""Is the process up, and can it work?"""

from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from bursar import __version__
from bursar.errors import StoreUnavailable
from bursar.registry import list_workers
from bursar.store.durability import examine
from bursar.store.opening import SCHEMA_VERSION
from bursar_gateway.audit import read_sealing
from bursar_gateway.bodies import DurabilityState, Health, Readiness
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import OPEN, problems

__all__ = ["HANDLERS"]


@get("/healthz", security=OPEN, tags=["health"])
async def healthz() -> Health:
    """The process is up. Says nothing about Redis."""
    return Health("up")


@get("/readyz", security=OPEN, tags=["health"], responses=problems(503, with_key=False))
async def readyz(gateway: NamedDependency[Gateway]) -> Readiness:
    """The store answers, so inputs are accepted; how many workers live to run them.

    Also the durability profile, and what the servers do not fulfil of it now: that may change
    with a failover.
    """
    workers = await list_workers(gateway.store)
    info = await gateway.store.redis.call("INFO", "server")
    try:
        await gateway.queue.call("PING")
        queue_ok = True
    except StoreUnavailable:
        queue_ok = False
    durability = await examine(gateway.store.redis, gateway.settings)
    return Readiness(
        status="ready",
        store="ok",
        queue="ok" if queue_ok else "unavailable",
        workers=len(workers),
        versions={
            "bursar": __version__,
            "redis": str(info.get("redis_version", "")),
            "schema": str(SCHEMA_VERSION),
        },
        durability=DurabilityState(
            profile=gateway.settings.durability,
            matches=not durability.mismatches,
            mismatches=[str(mismatch) for mismatch in durability.mismatches],
        ),
        sealing=await read_sealing(gateway.store),
    )


HANDLERS: list[ControllerRouterHandler] = [healthz, readyz]
