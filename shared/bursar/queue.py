"""The bell: an arq job that says only "session X is ready". Losing one loses nothing.

A ready session stands in its shard's ``ready`` index until somebody claims it; the sweeper rings
again for those that stay there. So a bell carries a reference and nothing else.
"""

import json
import logging
from typing import Any

import msgspec
from arq.connections import ArqRedis
from arq.jobs import serialize_job

from bursar.clock import wall_ms
from bursar.errors import StoreUnavailable
from bursar.leases import InboxItem
from bursar.registry import Registry
from bursar.settings import Settings
from bursar.store.keys import PRIORITIES, GlobalKeys
from bursar.store.redis import RedisClient, connect
from bursar.store.route import route_of
from bursar.store.scripts.leases import Ring, Told
from bursar.store.scripts.queue import BELL, put_job
from bursar.store.store import Store
from bursar.store.topology import Topology

__all__ = [
    "Bell",
    "Bells",
    "arq_pool",
    "connect_queue",
    "decode_job",
    "encode_job",
    "queue_name",
]

logger = logging.getLogger(__name__)

_POKE_TTL_MS = 30_000
_BELL_TTL_MS = 86_400_000  # arq's own lifetime of a job that nobody takes


def queue_name(group: str, priority: str = PRIORITIES[0]) -> str:
    """The arq queue of an agent group and class of sessions."""
    return f"bursar:q:{group}:{priority}"


def encode_job(value: dict[str, Any]) -> bytes:
    """JSON instead of arq's default pickle: who can write to the queue must not run code."""
    return json.dumps(value, default=str, separators=(",", ":")).encode()


def decode_job(data: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(data)
    return decoded


async def connect_queue(settings: Settings) -> RedisClient:
    """The client for ringing and claiming.

    Raises:
        StoreUnavailable: nothing answers at the queue's URL.

    """
    client = connect(settings.resolved_queue_url(), timeout_s=settings.redis_timeout_s)
    try:
        await client.call("PING")
    except BaseException:
        await client.aclose()
        raise
    return client


def arq_pool(settings: Settings, *, max_connections: int = 32) -> ArqRedis:
    """The queue as arq knows it, for its own jobs; it connects when it is first used.

    With our timeouts: arq's own pool has none, so a half-open connection would hang it.
    """
    timeout_s = settings.redis_timeout_s
    route = route_of(Topology.parse(settings.resolved_queue_url()), timeout_s=timeout_s)
    pool = route.pool(timeout_s=timeout_s, max_connections=max_connections)
    return _Pool(pool, job_serializer=encode_job, job_deserializer=decode_job)


class _Pool(ArqRedis):
    async def close(self, close_connection_pool: bool | None = None) -> None:
        """What arq calls; redis-py has another name for it now, and warns."""
        await self.aclose(close_connection_pool)


class Bells:
    """Rings for ready sessions and pokes workers that hold one."""

    def __init__(self, store: Store, queue: RedisClient, registry: Registry) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry

    async def ring(self, ring: Ring) -> None:
        """Enqueue the bell. The queue's absence is no error: the sweeper rings again.

        The job id makes repeats of one bell collapse; ``again`` tells deliberate ones apart.
        """
        entry = await self._registry.find(ring.agent)
        queue = queue_name(entry.group if entry else "default", ring.priority)
        job_id = f"{BELL}{ring.session.ref}:{ring.inbox_seq}:{ring.epoch}:{ring.turn}"
        if ring.again:
            job_id = f"{job_id}:{ring.again}"
        payload = serialize_job(
            "drive", (ring.session.ref,), {}, None, wall_ms(), serializer=encode_job
        )
        try:
            await put_job(self._queue, queue, job_id, payload, ttl_ms=_BELL_TTL_MS)
        except StoreUnavailable as error:
            logger.warning("no bell for %s, the sweeper will ring: %s", ring.session.ref, error)

    async def tell(self, told: Told) -> None:
        """Tell of news in a session: by a bell, or who drives it, as a script says.

        What was written is durable: should nobody hear it, sweeper and heartbeat find it.
        """
        try:
            if told.outcome == "ring":
                await self.ring(told.ring)
            elif told.outcome == "held":
                await self.poke(told.worker, told.ring.session.ref)
        except StoreUnavailable as error:
            logger.warning("nobody could be told of %s: %s", told.ring.session.ref, error)

    async def poke(self, worker: str, ref: str) -> None:
        """Tell the worker that drives ``ref`` to look at its inbox now."""
        key = GlobalKeys.control(worker)
        pushed = self._store.redis.call("RPUSH", key, ref)
        await self._store.redis.call("PEXPIRE", key, _POKE_TTL_MS)
        await pushed


class Bell(msgspec.Struct, frozen=True):
    """What a bell's job id says: which session is ready, and maybe for which input."""

    ref: str
    item: InboxItem | None = None
    background: bool = False

    @classmethod
    def parse(cls, job_id: str, *, background: bool = False) -> "Bell":
        ref, *rest = job_id.removeprefix(BELL).split(":")
        if len(rest) < 3 or not rest[0].isdecimal() or not rest[2]:
            return cls(ref, None, background)
        return cls(ref, InboxItem(int(rest[0]), "input", rest[2]), background)
