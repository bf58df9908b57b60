"""A busy worker is killed: how long until its sessions take their next step elsewhere.

Many conversations go on over a few workers. One worker after the other is killed as a crash would,
and a new one started. For each of its sessions the time from the kill to the next `step.started` is
taken by one clock. The anchor is a job of stock arq whose worker is killed in the same way; it runs
again when its time is over, which is five minutes unless one guesses better.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time

import uvloop
from arq.connections import RedisSettings, create_pool
from redis.asyncio import Redis

from bench.http import Connection
from bench.report import Bar, median, percentile, report
from bursar.cli.supervisor import Installation
from bursar.embedded import EmbeddedServer
from bursar.store.keys import WorkspaceKeys

PREFIX = "/v1/workspaces/default/sessions"
INPUT = "steps=8 delay_ms=150"
ARQ_TIMEOUT_S = 2


class Listener:
    """Hears every event of the installation and notes when sessions take steps."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.steps: dict[str, float] = {}
        """When each session began its last step."""

    async def run(self) -> None:
        pubsub = self._redis.pubsub()
        await pubsub.psubscribe("bursar:*:events")
        async for message in pubsub.listen():
            if message["type"] == "pmessage" and b" step.started " in message["data"][:40]:
                sid = message["channel"].split(b":")[-2].decode()
                self.steps[sid] = time.monotonic()


async def converse(site: Installation, over: asyncio.Event) -> None:
    connection = Connection(site.url, site.key)
    session = await connection.request("POST", PREFIX, {"agent": "long"})
    while not over.is_set():
        path = f"{PREFIX}/{session['id']}/turns"
        async for _ in connection.stream(path, {"input": INPUT}):
            pass
    await connection.aclose()


async def held_by(redis: Redis, worker_pid: int, shards: int = 16) -> list[str]:
    """Sessions that a worker drives now."""
    ids = {}
    async for key in redis.scan_iter(match="bursar:{g}:worker:*"):
        if await redis.type(key) == b"hash":
            ids[int(await redis.hget(key, "pid") or 0)] = await redis.hget(key, "id")  # type: ignore[misc]
    wanted = ids.get(worker_pid)
    ws = WorkspaceKeys("default", shards)
    running = await redis.zrange(ws.sessions_in_state("running"), 0, -1)
    sids = [sid.decode() for sid in running]
    return [sid for sid in sids if await redis.hget(ws.session(sid).hash, "worker") == wanted]  # type: ignore[misc]


async def measure(site: Installation, kills: int, sessions: int) -> list[float]:
    """Seconds to the next step, for each session of each worker that was killed."""
    redis: Redis = Redis.from_url(site.redis_url)
    listener = Listener(redis)
    over = asyncio.Event()
    found: list[float] = []
    chance = random.Random(1)
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(listener.run())
        people = [group.create_task(converse(site, over)) for _ in range(sessions)]
        waits: set[asyncio.Task[None]] = set()
        await asyncio.sleep(6)  # a worker does not take over within a lease of the server's start
        for number in range(kills):
            alive = [worker for worker in site.workers if worker.alive]
            victim = chance.choice(alive[:-1] or alive)
            held = await held_by(redis, victim.pid)
            killed_s = time.monotonic()
            victim.kill()
            victim.start()
            waits.add(group.create_task(_note(listener, held, killed_s, found)))
            if number % 10 == 9:
                print(f"  {number + 1} of {kills} kills", flush=True)
            await asyncio.sleep(chance.uniform(0.8, 1.6))
        await asyncio.gather(*waits)
        over.set()
        await asyncio.gather(*people)
        hearing.cancel()
    await redis.aclose()
    return found


async def _note(listener: Listener, held: list[str], killed_s: float, found: list[float]) -> None:
    """Wait for the next step of each; one that ended its turn in the very moment has none."""
    deadline = killed_s + 30
    for sid in held:
        while listener.steps.get(sid, 0) <= killed_s and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        found.append(listener.steps[sid] - killed_s if time.monotonic() < deadline else 30.0)


async def arq_recovery_s(url: str) -> float:
    """Kill a stock worker in the middle of a job and wait until another one has begun it."""
    pool = await create_pool(RedisSettings.from_dsn(url))
    await pool.flushdb()
    await pool.enqueue_job("hang")
    command = [sys.executable, "-m", "bench.stock_arq", url, str(ARQ_TIMEOUT_S)]
    first, second = subprocess.Popen(command), subprocess.Popen(command)
    try:
        while not (begun := await pool.lrange("begun", 0, -1)):  # type: ignore[misc]
            await asyncio.sleep(0.01)
        victim = first if int(begun[0]) == first.pid else second
        os.kill(victim.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        while await pool.llen("begun") < 2:  # type: ignore[misc]
            await asyncio.sleep(0.01)
        return time.monotonic() - killed_s
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
        await pool.aclose(close_connection_pool=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=24)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    with Installation(workers=options.workers, agents="bench.agents") as site:
        found = uvloop.run(measure(site, options.kills, options.sessions))
    print("stock arq …", flush=True)
    with EmbeddedServer() as server:
        theirs = uvloop.run(arq_recovery_s(server.url))
    p99, most = round(percentile(found, 99), 2), round(max(found), 2)
    report(
        "recovery",
        1,
        [
            ("kills, sessions that they hit", f"{options.kills}, {len(found)}"),
            ("kill → next step elsewhere, p50", f"{median(found):.2f} s"),
            (f"stock arq, jobs limited to {ARQ_TIMEOUT_S} s", f"{theirs:.1f} s"),
            ("stock arq, as it comes", "310 s by its settings"),
        ],
        [
            Bar("P4", "kill → next step elsewhere, p99 s", p99, "≤ 5", p99 <= 5),
            Bar("P4", "the longest of all, s", most, "≤ 8", most <= 8),
        ],
    )


if __name__ == "__main__":
    main()
