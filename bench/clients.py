"""Thousands of idle streams on one gateway: what each costs, and whether they slow the active ones.

100 conversations stream tokens through one gateway process, alone and beside 5,000 streams of
sessions in which nothing happens. Memory is the gateway's own resident set before and after these
were opened. One connection to Redis serves them all; the server is asked for it.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from redis.asyncio import Redis

from bench.http import Connection
from bench.idle import rss_mib
from bench.report import Bar, median, percentile, report
from bench.stream import PREFIX, stream
from bench.streams import Client, raise_file_limit
from bursar.cli.supervisor import Installation

OPENERS = 16


async def open_sessions(site: Installation, count: int) -> list[str]:
    """Idle sessions, many at once."""
    sids: list[str] = []
    left = itertools.repeat(None, count)

    async def some() -> None:
        connection = Connection(site.url, site.key)
        for _ in left:
            made = await connection.request("POST", PREFIX, {"agent": "stub"})
            sids.append(made["id"])
        await connection.aclose()

    await asyncio.gather(*(some() for _ in range(OPENERS)))
    return sids


@asynccontextmanager
async def idle_streams(site: Installation, sids: list[str]) -> AsyncIterator[list[Client]]:
    """A stream of each session, open until the end of the block."""
    clients: list[Client] = []
    left = iter(sids)

    async def some() -> None:
        for sid in left:
            path = f"{PREFIX}/{sid}/events"
            client, _ = await Client.open(site.url, site.key, "GET", path, ends=b"session.ended")
            clients.append(client)

    await asyncio.gather(*(some() for _ in range(OPENERS)))
    deadline = time.monotonic() + 60
    while any(not client.events for client in clients):
        if time.monotonic() > deadline:
            raise RuntimeError("some streams show nothing")
        await asyncio.sleep(0.1)
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def subscribers(url: str) -> int:
    """Connections on which somebody receives from channels."""
    async with Redis.from_url(url) as redis:
        clients = await redis.client_list()
    return sum(int(client["sub"]) > 0 for client in clients)


async def measure(site: Installation, idle: int, active: int, text: str) -> dict[str, float]:
    assert site.gateway is not None  # noqa: S101
    skip = 50  # of each: the first second is the start of all
    alone, _ = await stream(site, "clock", text, active)
    sids = await open_sessions(site, idle)
    before = rss_mib(site.gateway.pid)
    async with idle_streams(site, sids) as opened:
        await asyncio.sleep(2)
        each_kib = (rss_mib(site.gateway.pid) - before) * 1024 / idle
        beside, _ = await stream(site, "clock", text, active)
        connections = await subscribers(site.redis_url)
        failed = sum(bool(client.failed) for client in opened)
    return {
        "alone": median([age for client in alone for age in client.ages_ms[skip:]]),
        "beside": median([age for client in beside for age in client.ages_ms[skip:]]),
        "beside p99": percentile([age for c in beside for age in c.ages_ms[skip:]], 99),
        "kib": each_kib,
        "connections": connections,
        "failed": failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--active", type=int, default=100)
    options = parser.parse_args()
    raise_file_limit(2 * options.idle + 1000)
    found: list[dict[str, float]] = []
    env = {
        "BURSAR_SLOTS": str(options.active),
        "BURSAR_MAX_STREAMS_A_KEY": str(options.idle + options.active),
    }
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", flush=True)
        with Installation(workers=2, agents="bench.agents", env=env) as site:
            found.append(
                uvloop.run(measure(site, options.idle, options.active, "tokens=300 rate=50"))
            )
    ratio = round(median([each["beside"] / each["alone"] for each in found]), 2)
    kib = round(median([each["kib"] for each in found]), 1)
    connections = max(each["connections"] for each in found)
    failed = sum(each["failed"] for each in found)
    report(
        "clients",
        0,
        [
            (
                f"{options.active} active alone, p50",
                f"{median([e['alone'] for e in found]):.2f} ms",
            ),
            (
                f"beside {options.idle:,} idle, p50",
                f"{median([e['beside'] for e in found]):.2f} ms",
            ),
            ("beside them, p99", f"{median([e['beside p99'] for e in found]):.1f} ms"),
        ],
        [
            Bar("P9", "idle streams that failed", failed, "0", not failed),
            Bar("P9", "KiB of memory an idle stream", kib, "≤ 40", kib <= 40),
            Bar("P9", "subscriber connections", connections, "1", connections == 1),
            Bar("P9", "active p50 beside / alone", ratio, "≤ 2", ratio <= 2),
        ],
    )


if __name__ == "__main__":
    main()
