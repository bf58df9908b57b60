"""What a workspace counts in Redis, as dashboards read it."""

from typing import Any

from redis.asyncio import Redis

from bursar.store.keys import WorkspaceKeys

__all__ = ["SHARDS", "counts"]

SHARDS = 16


async def counts(redis: Redis, ws: WorkspaceKeys, *fields: str) -> list[int]:
    """Counters of a workspace such as ``turns:queued``."""
    found: Any = await redis.hmget(ws.stats, list(fields))  # type: ignore[misc]
    return [int(each or 0) for each in found]
