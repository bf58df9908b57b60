"""The Redis client against plain redis-py, both with 16 EVALSHA in flight.

One process, one event loop, a real server. The two take turns, so that a machine that slows down
slows both; the ratio is the figure.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from redis.asyncio import Redis

from bench.report import Bar, median, report
from bursar.embedded import EmbeddedServer
from bursar.store.redis import connect

IN_FLIGHT = 16
NO_OP = "return 1"

Call = Callable[[], Awaitable[Any]]


async def rate(call: Call, commands: int) -> float:
    """Commands a second with `IN_FLIGHT` callers that each wait for their reply."""

    async def caller() -> None:
        for _ in range(commands // IN_FLIGHT):
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return commands / (time.perf_counter() - began)


async def measure(url: str, rounds: int, commands: int) -> tuple[list[float], list[float]]:
    plain: Redis = Redis.from_url(url, max_connections=IN_FLIGHT, socket_timeout=5)
    ours = connect(url, timeout_s=5)
    sha = await plain.script_load(NO_OP)
    ways: tuple[Call, Call] = (
        lambda: plain.execute_command("EVALSHA", sha, 0),  # type: ignore[no-untyped-call]
        lambda: ours.call("EVALSHA", sha, 0),
    )
    found: tuple[list[float], list[float]] = ([], [])
    for way in ways:
        await rate(way, commands // 4)
    for _ in range(rounds):
        for way, rates in zip(ways, found, strict=True):
            rates.append(await rate(way, commands))
    await ours.aclose()
    await plain.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--commands", type=int, default=16_000)
    options = parser.parse_args()
    with EmbeddedServer() as server:
        plain, ours = uvloop.run(measure(server.url, options.rounds, options.commands))
    ratio = median([mine / theirs for mine, theirs in zip(ours, plain, strict=True)])
    report(
        "client",
        0,
        [
            ("plain redis-py, EVALSHA/s", f"{median(plain):,.0f}"),
            ("shared connection, EVALSHA/s", f"{median(ours):,.0f}"),
        ],
        [Bar("client", "ours / plain redis-py, 16 in flight", round(ratio, 2), "≥ 3", ratio >= 3)],
    )


if __name__ == "__main__":
    main()
