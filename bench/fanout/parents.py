"""A thousand parents that wait for three children each, on one worker with ten slots."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from bench.fanout.counters import SHARDS, counts
from bench.http import Connection
from bench.idle import cpu_s
from bursar.cli.supervisor import Installation
from bursar.store.keys import ShardKeys, WorkspaceKeys

__all__ = ["AGENTS", "SLOTS", "Crowd", "measure"]

AGENTS = "bench.fanout.agents"
SLOTS = 10
_AT_ONCE = 20
_PATIENCE_S = 600.0


@dataclass
class Crowd:
    """What became of them. ``most_waiting`` are sessions that waited at one moment."""

    answered: int = 0
    ended: int = 0
    seconds: float = 0.0
    worker_cpu_s: float = 0.0
    most_waiting: int = 0
    most_leases: int = 0


def measure(folder: Path, *, parents: int, children: int) -> Crowd:
    env = {"BURSAR_SLOTS": str(SLOTS)}
    with Installation(workers=1, agents=AGENTS, data=folder, env=env) as site:
        assert site.server is not None  # noqa: S101
        worker = site.worker_pids[0]
        before = cpu_s(worker)
        crowd = asyncio.run(_run(site.url, site.key, site.server.port, parents, children))
        crowd.worker_cpu_s = cpu_s(worker) - before
    return crowd


async def _run(url: str, key: str, port: int, parents: int, children: int) -> Crowd:
    crowd, began = Crowd(), time.monotonic()
    over = asyncio.Event()
    async with Redis(port=port) as redis:
        watching = asyncio.create_task(_watch(redis, crowd, over))
        lines = [
            asyncio.create_task(_start(url, key, range(first, parents, _AT_ONCE), children))
            for first in range(_AT_ONCE)
        ]
        turns = [turn for started in await asyncio.gather(*lines) for turn in started]
        ws = WorkspaceKeys("default", SHARDS)
        async with asyncio.timeout(_PATIENCE_S):
            while await _ended(redis, ws) < parents * (1 + children):
                await asyncio.sleep(0.2)
        crowd.seconds = time.monotonic() - began
        over.set()
        await watching
        connection = Connection(url, key)
        for turn in turns:
            view = await connection.request("GET", f"/v1/workspaces/default/turns/{turn}")
            crowd.ended += view["state"] == "succeeded"
            crowd.answered += int(view["output"].split()[0])
        await connection.aclose()
    return crowd


async def _start(url: str, key: str, numbers: range, children: int) -> list[str]:
    connection, turns = Connection(url, key), []
    prefix = "/v1/workspaces/default/sessions"
    for _ in numbers:
        session = await connection.request("POST", prefix, {"agent": "parent"})
        wish = {"input": f"children={children} delay_ms=0"}
        turn = await connection.request("POST", f"{prefix}/{session['id']}/turns", wish)
        turns.append(turn["turn"])
    await connection.aclose()
    return turns


async def _ended(redis: Redis, ws: WorkspaceKeys) -> int:
    kinds = ("succeeded", "failed", "cancelled", "quarantined")
    return sum(await counts(redis, ws, *(f"turns:{kind}" for kind in kinds)))


async def _watch(redis: Redis, crowd: Crowd, over: asyncio.Event) -> None:
    """Look often how many wait, and how many are driven."""
    ws = WorkspaceKeys("default", SHARDS)
    leases = ShardKeys(ws.shard.shard).leases
    while not over.is_set():
        (waiting,) = await counts(redis, ws, "sessions:waiting")
        driven = await redis.zcard(leases)
        crowd.most_waiting = max(crowd.most_waiting, waiting)
        crowd.most_leases = max(crowd.most_leases, driven)
        await asyncio.sleep(0.005)
