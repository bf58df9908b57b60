"""What a worker costs while it has nothing to do, beside a stock arq worker that has nothing to do.

Commands are counted with MONITOR over some seconds and told apart: those of the sweep, which one
worker of an installation does at a time, and all others. Commands inside scripts are not counted:
they are no round trips; their time is in the share of Redis that the sweep takes.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from redis.asyncio import Redis

from bench.report import Bar, report
from bursar.cli.supervisor import Installation
from bursar.embedded import EmbeddedServer

_LINE = re.compile(rb"\+[\d.]+ \[\d+ (?P<who>\S+)\] \"(?P<command>\w+)\"(?P<rest>.*)")
_SWEEP = re.compile(rb":(ready|leases|timers|blocked)\"|:sweep\"")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


async def commands(url: str, seconds: float) -> Counter[str]:
    """Commands of all clients in that time, by ``sweep`` and ``other``."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"MONITOR\r\n")
    found: Counter[str] = Counter()
    sweeping = False
    try:
        async with asyncio.timeout(seconds):
            while line := await reader.readline():
                match = _LINE.match(line)
                if match is None or match["who"] == b"lua":
                    continue
                swept = _SWEEP.search(match["rest"]) is not None
                # The sweep asks for the time between its lock and its look at the shards.
                sweeping = swept or (sweeping and match["command"] == b"TIME")
                found["sweep" if sweeping else "other"] += 1
    except TimeoutError:
        pass
    finally:
        writer.close()
    return found


async def sweep_share(redis: Redis, seconds: float) -> float:
    """Part of Redis's time that goes into commands of the sweep, in percent."""
    names = ("zrangebyscore", "zrange", "set", "time")
    before = await redis.info("commandstats")
    await asyncio.sleep(seconds)
    after = await redis.info("commandstats")
    used_us = sum(
        after[f"cmdstat_{name}"]["usec"] - before.get(f"cmdstat_{name}", {"usec": 0})["usec"]
        for name in names
        if f"cmdstat_{name}" in after
    )
    return float(used_us / (seconds * 1e6) * 100)


async def measure(url: str, pid: int, seconds: float) -> tuple[dict[str, float], Counter[str]]:
    async with Redis.from_url(url) as redis:
        began, cpu = time.monotonic(), cpu_s(pid)
        share = await sweep_share(redis, seconds)
        busy = (cpu_s(pid) - cpu) / (time.monotonic() - began) * 100
    counted = await commands(url, seconds)
    return {"cpu": busy, "share": share, "rss": rss_mib(pid)}, counted


def stock_arq(seconds: float) -> tuple[float, float]:
    """Commands a second and percent of CPU of an idle stock worker."""
    with EmbeddedServer() as server:
        command = [sys.executable, "-m", "bench.stock_arq", server.url]
        process = subprocess.Popen(command)
        try:
            time.sleep(3)
            began, cpu = time.monotonic(), cpu_s(process.pid)
            counted = uvloop.run(commands(server.url, seconds))
            busy = (cpu_s(process.pid) - cpu) / (time.monotonic() - began) * 100
        finally:
            process.terminate()
            process.wait()
    return counted.total() / seconds, busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with Installation(workers=1, agents="bench.agents") as site:
        assert site.gateway is not None  # noqa: S101
        # The gateway is stopped, so that all commands are the worker's.
        site.gateway.terminate()
        site.gateway.wait(10)
        time.sleep(8)
        found, counted = uvloop.run(measure(site.redis_url, site.workers[0].pid, options.seconds))
    arq_rate, arq_cpu = stock_arq(options.seconds)
    rate = counted["other"] / options.seconds
    report(
        "idle",
        0,
        [
            ("sweep, commands/s", f"{counted['sweep'] / options.seconds:.1f}"),
            ("stock arq worker, commands/s", f"{arq_rate:.1f}"),
            ("stock arq worker, CPU %", f"{arq_cpu:.2f}"),
        ],
        [
            Bar("P6", "commands/s beside the sweep", round(rate, 1), "≤ 10", rate <= 10),
            Bar("P6", "worker's CPU %", round(found["cpu"], 2), "< 0.5", found["cpu"] < 0.5),
            Bar(
                "P6", "sweep's % of Redis", round(found["share"], 3), "≤ 0.3", found["share"] <= 0.3
            ),
            Bar("P6", "worker's RSS MiB", round(found["rss"], 1), "≤ 90", found["rss"] <= 90),
        ],
    )


if __name__ == "__main__":
    main()
