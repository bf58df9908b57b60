"""Trees of 64 sessions that are cancelled while all of their leaves are in model calls.

What must hold: effects stop within two seconds, nothing is held after the cancel was acknowledged,
and every session of the tree has exactly one terminal event.
"""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.chaos.site import BrokenSite
from bench.http import Connection
from bursar.events import TERMINAL
from bursar.store.keys import SessionKeys, WorkspaceKeys

__all__ = ["SIZE", "Stopped", "run"]

SIZE = 64
_LEAF_MS = 60_000
_WIDTHS = (4, 16, 43)  # below the root
_PATIENCE_S = 30.0
_ENV = {
    "BURSAR_AGENTS": "bench.chaos.branches",
    "BURSAR_SLOTS": "60",
    "BURSAR_MAX_DEPTH": "4",
    "BURSAR_MAX_TREE_RUNNING": "64",
}


@dataclass
class Stopped:
    """``late_s`` has the time from each acknowledged cancel to the last sign of each leaf."""

    trees: int = 0
    in_calls: int = 0
    late_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    holds_after: int = 0
    wrong: list[str] = field(default_factory=list)


async def run(folder: Path, *, trees: int, seed: int) -> Stopped:
    done, chance = Stopped(), random.Random(seed)
    async with BrokenSite(folder, gateways=1, gateway_env=_ENV) as site:
        for _ in range(2):
            site.start_worker(_ENV)
        await site.ready(2)
        connection = Connection(site.urls[0], site.key)
        await connection.request("POST", "/v1/workspaces", {"id": "default"})
        await connection.aclose()
        async with site.redis() as redis:
            for number in range(trees):
                # Every third one is cancelled while it still grows.
                grows = number % 3 == 2
                await _one(site, redis, done, chance.uniform(0.0, 0.2) if grows else None)
    return done


def _shape() -> list[Any]:
    """Four branches with four each, which have 43 leaves together."""
    leaves, twigs = _WIDTHS[2], _WIDTHS[1]
    sizes = [leaves // twigs + (1 if i < leaves % twigs else 0) for i in range(twigs)]
    each = iter([[_LEAF_MS] * size for size in sizes])
    return [[next(each) for _ in range(twigs // _WIDTHS[0])] for _ in range(_WIDTHS[0])]


async def _one(site: BrokenSite, redis: Redis, done: Stopped, after_s: float | None) -> None:
    connection = Connection(site.urls[0], site.key)
    root = await connection.request("POST", "/v1/workspaces/default/sessions", {"agent": "branch"})
    session = WorkspaceKeys("default", 16).session(root["id"])
    path = f"/v1/workspaces/default/sessions/{root['id']}/turns"
    turn = (await connection.request("POST", path, {"input": json.dumps(_shape())}))["turn"]
    if after_s is None:
        await _until_all_stream(site, session, done)
    else:
        await asyncio.sleep(after_s)
    await connection.request("POST", f"/v1/workspaces/default/turns/{turn}/cancel", {})
    acked_ns, acked_ms = time.time_ns(), await _redis_ms(redis)
    await _until_ended(redis, session, turn, done)
    done.ended_s.append((time.time_ns() - acked_ns) / 1e9)
    await asyncio.sleep(0.5)
    await _check(site, redis, session, done, acked_ns, acked_ms)
    done.trees += 1
    await connection.aclose()


async def _until_all_stream(site: BrokenSite, session: SessionKeys, done: Stopped) -> None:
    """Wait until every leaf has said something."""
    async with asyncio.timeout(_PATIENCE_S):
        while len(leaves := _signs(site, session)) < _WIDTHS[2]:
            await asyncio.sleep(0.02)
    done.in_calls += len(leaves)


def _signs(site: BrokenSite, session: SessionKeys) -> dict[str, int]:
    """When each leaf of a tree was last at work, in nanoseconds of the wall clock."""
    found: dict[str, int] = {}
    for line in site.effects.read_text().splitlines():
        _, sid, at = line.split(" ")
        if sid.startswith(f"{session.id}~"):
            found[sid] = int(at)
    return found


async def _until_ended(redis: Redis, session: SessionKeys, turn: str, done: Stopped) -> None:
    key = session.workspace.turn(turn)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while await redis.hget(key, "state") != b"cancelled":  # type: ignore[misc]
                await asyncio.sleep(0.01)
    except TimeoutError:
        done.wrong.append(f"{session.id} was not cancelled within {_PATIENCE_S} s")


async def _check(
    site: BrokenSite,
    redis: Redis,
    session: SessionKeys,
    done: Stopped,
    acked_ns: int,
    acked_ms: int,
) -> None:
    for at in _signs(site, session).values():
        done.late_s.append(max(0.0, (at - acked_ns) / 1e9))
    sids = [sid.decode() for sid in await redis.zrange(session.members, 0, -1)]
    for each in [session, *(session.workspace.session(sid) for sid in sids)]:
        terminal = Counter(
            entry[b"t"].decode()
            for _, entry in await redis.xrange(each.events)
            if entry[b"t"].decode() in TERMINAL
        )
        if sum(terminal.values()) != 1:
            done.wrong.append(f"{each.id} has the terminal events {dict(terminal)}")
    async for key in redis.scan_iter(f"{session.workspace.prefix}:hold:{session.id}*", count=1000):
        made = int(await redis.hget(key, "created_ms") or 0)  # type: ignore[misc]
        done.holds_after += made > acked_ms
    left = await redis.scard(session.live)  # type: ignore[misc]
    if left:
        done.wrong.append(f"{left} sessions below {session.id} are alive")


async def _redis_ms(redis: Redis) -> int:
    seconds, micros = await redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
