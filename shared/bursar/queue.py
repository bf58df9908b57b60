"""The bell: an arq job that says only "session X is ready". Losing one loses nothing.

A ready session stands in its shard's ``ready`` index until somebody claims it; the sweeper rings
again for those that stay there. So a bell carries a reference and nothing else.
"""

import json
import logging
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from bursar.registry import Registry
from bursar.settings import Settings
from bursar.store.keys import GlobalKeys
from bursar.store.redis import connection_pool, store_error
from bursar.store.scripts.leases import Ring
from bursar.store.store import Store

__all__ = ["CLASSES", "Bells", "connect_queue", "decode_job", "encode_job", "queue_name"]

logger = logging.getLogger(__name__)

CLASSES = ("interactive", "background")
_POKE_TTL_MS = 30_000


def queue_name(group: str, kind: str = "interactive") -> str:
    """The arq queue of an agent group and class."""
    return f"bursar:q:{group}:{kind}"


def encode_job(value: dict[str, Any]) -> bytes:
    """JSON instead of arq's default pickle: who can write to the queue must not run code."""
    return json.dumps(value, default=str, separators=(",", ":")).encode()


def decode_job(data: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(data)
    return decoded


async def connect_queue(settings: Settings, *, max_connections: int = 32) -> ArqRedis:
    """An arq pool with our timeouts; arq's own have none, so a half-open connection would hang."""
    pool = connection_pool(
        settings.resolved_queue_url(),
        timeout_s=settings.redis_timeout_s,
        max_connections=max_connections,
    )
    queue = ArqRedis(pool, job_serializer=encode_job, job_deserializer=decode_job)
    try:
        await queue.ping()
    except (TimeoutError, RedisError, OSError) as error:
        await queue.aclose(close_connection_pool=True)
        raise store_error(error) from error
    return queue


class Bells:
    """Rings for ready sessions and pokes workers that hold one."""

    def __init__(self, store: Store, queue: ArqRedis, registry: Registry) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry

    async def ring(self, ring: Ring) -> None:
        """Enqueue the bell. The queue's absence is no error: the sweeper rings again.

        The job id makes repeats of one bell collapse in arq; ``again`` tells deliberate ones apart.
        """
        agent = ring.agent or await self._agent_of(ring)
        entry = await self._registry.find(agent)
        group = entry.group if entry else "default"
        job_id = f"wake:{ring.session.ref}:{ring.inbox_seq}:{ring.epoch}"
        if ring.again:
            job_id = f"{job_id}:{ring.again}"
        try:
            await self._queue.enqueue_job(
                "drive", ring.session.ref, _job_id=job_id, _queue_name=queue_name(group)
            )
        except (TimeoutError, RedisError, OSError) as error:
            logger.warning("no bell for %s, the sweeper will ring: %s", ring.session.ref, error)

    async def poke(self, worker: str, ref: str) -> None:
        """Tell the worker that drives ``ref`` to look at its inbox now."""
        key = GlobalKeys.control(worker)
        pushed = self._store.redis.call("RPUSH", key, ref)
        await self._store.redis.call("PEXPIRE", key, _POKE_TTL_MS)
        await pushed

    async def _agent_of(self, ring: Ring) -> str:
        agent = await self._store.redis.call("HGET", ring.session.hash, "agent")
        return agent.decode() if agent else ""
