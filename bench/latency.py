"""From the HTTP POST of a turn to its first event from a worker, on an idle installation.

The anchor is the floor of any hand-off through Redis: LPUSH in one process, BLPOP in another, raw
sockets. The two take turns with the same pause in between, so both meet the machine as it is then.
"""

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import uvloop

from bench.http import Connection
from bench.report import Bar, median, percentile, report
from bursar.cli.supervisor import Installation

FIRST_WORKER_EVENT = "turn.started"
PAUSE_S = 0.02
KEY = b"bench:floor"
READY = b"bench:ready"


class Floor:
    """Pushes to a process that pops, and learns at the end how old each value was on arrival."""

    def __init__(self, url: str, count: int) -> None:
        command = [sys.executable, "-m", "bench.latency", "--pop", str(count), "--redis", url]
        self._popper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._redis = _connect(url)
        self.ms: list[float] = []

    def __enter__(self) -> Self:
        self._redis.sendall(_command(b"BLPOP", READY, b"30"))
        self._redis.recv(256)
        return self

    def push(self) -> None:
        # CLOCK_MONOTONIC is one for all processes of a machine.
        self._redis.sendall(_command(b"LPUSH", KEY, str(time.monotonic_ns()).encode()))
        self._redis.recv(64)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._redis.close()
        output, _ = self._popper.communicate(timeout=30)
        self.ms = [float(value) for value in output.split()]


def pop(url: str, count: int) -> None:
    """The other process: prints how old each value was when it arrived."""
    redis = _connect(url)
    redis.sendall(_command(b"LPUSH", READY, b"1"))
    redis.recv(64)
    ages = []
    for _ in range(count):
        redis.sendall(_command(b"BLPOP", KEY, b"10"))
        reply = redis.recv(256)
        ages.append((time.monotonic_ns() - int(reply.split(b"\r\n")[-2])) / 1e6)
    print(*ages)


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


async def first_event_ms(url: str, key: str, count: int, floor: Floor | None = None) -> list[float]:
    """One conversation, turn after turn."""
    connection = Connection(url, key)
    prefix = "/v1/workspaces/default/sessions"
    session = await connection.request("POST", prefix, {"agent": "echo"})
    found = []
    for _ in range(count):
        began = time.perf_counter()
        first = 0.0
        async for kind in connection.stream(f"{prefix}/{session['id']}/turns", {"input": "hi"}):
            if kind == FIRST_WORKER_EVENT and not first:
                first = time.perf_counter()
        found.append((first - began) * 1000)
        await asyncio.sleep(PAUSE_S)
        if floor is not None:
            floor.push()
            await asyncio.sleep(PAUSE_S)
    await connection.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--pop", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--redis", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pop:
        pop(options.redis, options.pop)
        return
    ours: list[float] = []
    floors: list[float] = []
    ratios: list[float] = []
    with Installation(workers=2) as site:
        uvloop.run(first_event_ms(site.url, site.key, 20))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            with Floor(site.redis_url, options.count) as floor:
                ms = uvloop.run(first_event_ms(site.url, site.key, options.count, floor))
            floors += floor.ms
            ours += ms
            ratios.append(statistics.median(ms) / statistics.median(floor.ms))
    p50, ratio = median(ours), median(ratios)
    report(
        "latency",
        0,
        [
            ("LPUSH → BLPOP, raw sockets, p50", f"{median(floors):.2f} ms"),
            ("POST → first worker event, p99", f"{percentile(ours, 99):.1f} ms"),
        ],
        [
            Bar("P1", "POST → first worker event, p50 ms", round(p50, 2), "≤ 5", p50 <= 5),
            Bar("P1", "the same / raw hand-off floor", round(ratio, 1), "≤ 20", ratio <= 20),
        ],
    )


if __name__ == "__main__":
    main()
