"""A person's turn beside ten thousand queued children of another workspace."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from bench.fanout.counters import SHARDS, counts
from bench.fanout.parents import AGENTS
from bench.http import Connection
from bursar.cli.supervisor import Installation
from bursar.store.keys import WorkspaceKeys

__all__ = ["Beside", "measure"]

_PEOPLE, _CROWD = "default", "crowd"
_PARENTS_AT_ONCE = 20
_A_PARENT = 500  # children; a tree has at most 1,000
_PAUSE_S = 0.02
_PATIENCE_S = 120.0


@dataclass
class Beside:
    """Milliseconds of whole turns, without and with the crowd, and how large that was."""

    idle_ms: list[float] = field(default_factory=list)
    beside_ms: list[float] = field(default_factory=list)
    queued: int = 0
    running: int = 0


def measure(folder: Path, *, children: int, turns: int, child_ms: int) -> Beside:
    env = {"BURSAR_MAX_QUEUED": "100000"}
    with Installation(workers=2, agents=AGENTS, data=folder, env=env) as site:
        assert site.server is not None  # noqa: S101
        with site.client() as client:
            client.create_workspace(_CROWD)
        return asyncio.run(_run(site.url, site.key, site.server.port, children, turns, child_ms))


async def _run(url: str, key: str, port: int, children: int, turns: int, child_ms: int) -> Beside:
    found = Beside()
    await _converse(url, key, turns // 4)
    found.idle_ms = await _converse(url, key, turns)
    ws = WorkspaceKeys(_CROWD, SHARDS)
    async with Redis(port=port) as redis:
        await _gather_crowd(url, key, children, child_ms)
        async with asyncio.timeout(_PATIENCE_S):
            while await _queued(redis, ws) < children * 9 // 10:
                await asyncio.sleep(0.1)
        found.queued = await _queued(redis, ws)
        found.beside_ms = await _converse(url, key, turns)
        (found.running,) = await counts(redis, ws, "sessions:running")
        found.queued = min(found.queued, await _queued(redis, ws))
    return found


async def _queued(redis: Redis, ws: WorkspaceKeys) -> int:
    (queued,) = await counts(redis, ws, "turns:queued")
    return queued


async def _converse(url: str, key: str, turns: int) -> list[float]:
    """One conversation, turn after turn, each to its terminal event."""
    connection, found = Connection(url, key), []
    prefix = f"/v1/workspaces/{_PEOPLE}/sessions"
    session = await connection.request("POST", prefix, {"agent": "stub"})
    for _ in range(turns):
        began, last = time.perf_counter(), ""
        async for kind in connection.stream(f"{prefix}/{session['id']}/turns", {"input": "hi"}):
            last = kind
        if last != "turn.succeeded":
            raise RuntimeError(f"a turn ended with {last!r}")
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(_PAUSE_S)
    await connection.aclose()
    return found


async def _gather_crowd(url: str, key: str, children: int, child_ms: int) -> None:
    """Sessions below one another that are opened by hand: they are queued all at once."""
    parents = -(-children // _A_PARENT)
    connection = Connection(url, key)
    prefix = f"/v1/workspaces/{_CROWD}/sessions"
    for _ in range(parents):
        root = await connection.request("POST", prefix, {"agent": "parent"})
        await asyncio.gather(
            *(
                _queue(url, key, root["id"], range(first, _A_PARENT, _PARENTS_AT_ONCE), child_ms)
                for first in range(_PARENTS_AT_ONCE)
            )
        )
    await connection.aclose()


async def _queue(url: str, key: str, root: str, numbers: range, child_ms: int) -> None:
    connection = Connection(url, key)
    prefix = f"/v1/workspaces/{_CROWD}/sessions"
    for _ in numbers:
        wish = {"agent": "child", "parent": root, "priority": "background"}
        session = await connection.request("POST", prefix, wish)
        path = f"{prefix}/{session['id']}/turns"
        await connection.request("POST", path, {"input": f"delay_ms={child_ms}"})
    await connection.aclose()
