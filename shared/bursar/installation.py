"""The whole installation at a glance: who works, what runs and waits where, and what it cost."""

import asyncio
from collections import Counter

import msgspec

from bursar.queue import queue_name
from bursar.registry import Registry, WorkerView, list_workers
from bursar.store.codec import text, text_list
from bursar.store.keys import PRIORITIES, ShardKeys, why_blocked
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar.workspaces import list_workspaces

__all__ = ["InstallationView", "WorkspaceLoad", "read_installation"]

_STATES = ("running", "queued", "waiting")
_LISTS_MAX = 1000


class WorkspaceLoad(msgspec.Struct, frozen=True):
    """Sessions of a workspace by state, and its purse; ``limit_microusd`` None: no limit."""

    id: str
    running: int
    queued: int
    waiting: int
    paused: bool
    killed: bool
    limit_microusd: int | None
    posted_microusd: int
    pending_microusd: int


class InstallationView(msgspec.Struct, frozen=True):
    """``queues`` counts bells that no worker has heard yet, by queue.

    ``blocked`` counts sessions that have work and may not run, by what stands against it: ``agent``
    (nobody serves it), ``paused``, ``cap`` (of the workspace) or ``tree`` (its cap).
    """

    workers: list[WorkerView]
    workspaces: list[WorkspaceLoad]
    queues: dict[str, int]
    blocked: dict[str, int]


async def read_installation(
    store: Store, queue: RedisClient, registry: Registry
) -> InstallationView:
    """Read it from counters, without looking at a single session."""
    names = await list_workspaces(store)
    loads = await asyncio.gather(*(_load(store, name) for name in names))
    groups = {entry.group for entry in (await registry.entries()).values()}
    queues = [queue_name(group, each) for group in sorted(groups) for each in PRIORITIES]
    lengths = await asyncio.gather(*(queue.call("ZCARD", name) for name in queues))
    return InstallationView(
        workers=await list_workers(store),
        workspaces=list(loads),
        queues=dict(zip(queues, lengths, strict=True)),
        blocked=await _blocked(store),
    )


async def _load(store: Store, workspace: str) -> WorkspaceLoad:
    ws = store.workspace(workspace)
    counts, flags, purse = await asyncio.gather(
        store.redis.call("HMGET", ws.stats, *(f"sessions:{state}" for state in _STATES)),
        store.redis.call("HMGET", ws.hash, "paused", "killed"),
        store.redis.call("HMGET", ws.account("ws"), "limit", "posted", "pending"),
    )
    running, queued, waiting = (int(count or 0) for count in counts)
    paused, killed = (text(flag) == "1" for flag in flags)
    limit, posted, pending = map(text, purse)
    return WorkspaceLoad(
        id=workspace,
        running=running,
        queued=queued,
        waiting=waiting,
        paused=paused,
        killed=killed,
        limit_microusd=None if limit in {"", "unlimited"} else int(limit),
        posted_microusd=int(posted or 0),
        pending_microusd=int(pending or 0),
    )


async def _blocked(store: Store) -> dict[str, int]:
    """Sessions in the lists of what is blocked, of which there is one for each cause."""
    shards = [ShardKeys(number) for number in range(store.settings.shards)]
    found = await asyncio.gather(
        *(store.redis.call("ZRANGE", shard.blocked, 0, _LISTS_MAX - 1) for shard in shards)
    )
    lists = [name for names in found for name in text_list(names)]
    sizes = await asyncio.gather(*(store.redis.call("ZCARD", name) for name in lists))
    counts: Counter[str] = Counter()
    for name, size in zip(lists, sizes, strict=True):
        counts[why_blocked(name)] += size
    return dict(sorted(counts.items()))
