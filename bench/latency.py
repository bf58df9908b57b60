"""From the HTTP POST of a turn to its first event from a worker, on an idle installation.

The anchor is the floor of any hand-off through Redis, measured in the same run: LPUSH in one
process, BLPOP in another, raw sockets.
"""

import argparse
import asyncio
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import urlsplit

import uvloop

from bench.http import Connection
from bench.report import Bar, median, percentile, report
from bursar.cli.supervisor import Installation

FIRST_WORKER_EVENT = "turn.started"
KEY = b"bench:floor"
READY = b"bench:ready"


def hand_off_floor_ms(url: str, count: int) -> list[float]:
    """Milliseconds from LPUSH to the return of another process's BLPOP."""
    command = [sys.executable, "-m", "bench.latency", "--pop", str(count), "--redis", url]
    popper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    redis = _connect(url)
    redis.sendall(_command(b"BLPOP", READY, b"30"))
    redis.recv(256)
    for _ in range(count):
        # CLOCK_MONOTONIC is one for all processes of a machine.
        redis.sendall(_command(b"LPUSH", KEY, str(time.monotonic_ns()).encode()))
        redis.recv(64)
        time.sleep(0.005)
    redis.close()
    output, _ = popper.communicate(timeout=30)
    return [float(value) for value in output.split()]


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


async def first_event_ms(url: str, key: str, count: int) -> list[float]:
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
        await asyncio.sleep(0.02)
    await connection.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=40)
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
        uvloop.run(first_event_ms(site.url, site.key, 5))
        for _ in range(options.rounds):
            floor = hand_off_floor_ms(site.redis_url, options.count)
            ms = uvloop.run(first_event_ms(site.url, site.key, options.count))
            floors += floor
            ours += ms
            ratios.append(statistics.median(ms) / statistics.median(floor))
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
