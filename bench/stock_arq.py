"""The anchor: what stock arq does, in worker processes of its own."""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

from arq.connections import RedisSettings, create_pool
from arq.worker import Worker, func

__all__ = ["jobs_per_second"]


async def no_op(ctx: dict[Any, Any]) -> None:
    """The job."""


async def hang(ctx: dict[Any, Any]) -> None:
    """A job that says who has begun it, and does not end by itself."""
    await ctx["redis"].rpush("begun", os.getpid())
    await asyncio.sleep(3600)


async def jobs_per_second(url: str, *, workers: int, jobs: int) -> float:
    """Enqueue ``jobs``, then let fresh worker processes run them; count from the first one done."""
    pool = await create_pool(RedisSettings.from_dsn(url))
    await pool.flushdb()
    await asyncio.gather(*(pool.enqueue_job("no_op") for _ in range(jobs)))
    command = [sys.executable, "-m", "bench.stock_arq", url]
    processes = [subprocess.Popen(command) for _ in range(workers)]
    try:
        while (left := await pool.zcard("arq:queue")) == jobs:
            await asyncio.sleep(0.005)
        began = time.perf_counter()
        counted = left
        while await pool.zcard("arq:queue"):
            await asyncio.sleep(0.01)
        return float(counted / (time.perf_counter() - began))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        await pool.aclose(close_connection_pool=True)


def work(url: str, job_timeout_s: int = 300) -> None:
    """A stock worker with ten slots and arq's own defaults otherwise."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker(
        functions=[func(no_op, keep_result=0), func(hang, keep_result=0)],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=10,
        job_timeout=job_timeout_s,
    ).run()


if __name__ == "__main__":
    work(sys.argv[1], *map(int, sys.argv[2:]))
