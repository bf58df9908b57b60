"""Tokens from worker through Redis and gateway to the client: how late, and how many.

First 100 conversations stream 50 tokens a second each; every token carries the time at which the
model gave it out. Then a few stream as fast as they can, in events that cannot be joined. All of it
through one gateway. The anchor is what Redis's channels take at the same rate, over raw sockets.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time

import uvloop

from bench.http import Connection
from bench.latency import _command, _connect
from bench.report import Bar, median, percentile, report
from bench.streams import Client
from bursar.cli.supervisor import Installation

PREFIX = "/v1/workspaces/default/sessions"


async def stream(
    site: Installation, agent: str, text: str, count: int
) -> tuple[list[Client], float]:
    """Let so many conversations stream at once; returns the clients and the seconds it took."""
    connection = Connection(site.url, site.key)
    sids = [
        (await connection.request("POST", PREFIX, {"agent": agent}))["id"] for _ in range(count)
    ]
    await connection.aclose()
    body = json.dumps({"input": text}).encode()
    began = time.perf_counter()
    opened = await asyncio.gather(
        *(
            Client.open(
                site.url, site.key, "POST", f"{PREFIX}/{sid}/turns", body, ends=b"turn.succeeded"
            )
            for sid in sids
        )
    )
    await asyncio.gather(*(ended.wait() for _, ended in opened))
    took = time.perf_counter() - began
    for client, _ in opened:
        if client.failed:
            raise RuntimeError(client.failed.decode(errors="replace"))
        client.close()
    return [client for client, _ in opened], took


def channel_floor_ms(url: str, rate: int, seconds: float) -> list[float]:
    """PUBLISH in this process, a subscriber in another: how old each message was on arrival."""
    count = int(rate * seconds)
    command = [sys.executable, "-m", "bench.stream", "--hear", str(count), "--redis", url]
    hearer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    redis = _connect(url)
    while True:
        redis.sendall(_command(b"PUBLISH", b"bench:floor", str(time.monotonic_ns()).encode()))
        if redis.recv(64).startswith(b":1"):
            break
        time.sleep(0.01)
    due = time.monotonic()
    for _ in range(count):
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        redis.sendall(_command(b"PUBLISH", b"bench:floor", str(time.monotonic_ns()).encode()))
        redis.recv(64)
    redis.close()
    output, _ = hearer.communicate(timeout=30)
    return [float(value) for value in output.split()]


def hear(url: str, count: int) -> None:
    redis = _connect(url)
    redis.sendall(_command(b"SUBSCRIBE", b"bench:floor"))
    redis.recv(256)
    ages: list[float] = []
    while len(ages) < count:
        now_data = redis.recv(65536)
        now = time.monotonic_ns()
        stamps = [part for part in now_data.split(b"\r\n") if len(part) > 12 and part.isdigit()]
        ages += [(now - int(stamp)) / 1e6 for stamp in stamps]
    print(*ages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--flood", type=int, default=10_000, help="events of each flooding stream")
    parser.add_argument("--floods", type=int, default=16)
    parser.add_argument("--hear", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--redis", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hear:
        hear(options.redis, options.hear)
        return
    tokens = int(options.seconds * options.rate)
    ages: list[float] = []
    floors: list[float] = []
    rates: list[float] = []
    env = {"BURSAR_SLOTS": str(options.streams)}
    with Installation(workers=2, agents="bench.agents", env=env) as site:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            total = options.streams * options.rate
            floors += channel_floor_ms(site.redis_url, total, 2)
            clients, _ = uvloop.run(
                stream(site, "clock", f"tokens={tokens} rate={options.rate}", options.streams)
            )
            for client in clients:
                ages += client.ages_ms[options.rate :]  # the first second is the start of all
            clients, took = uvloop.run(
                stream(site, "flood", f"tokens={options.flood}", options.floods)
            )
            rates.append(sum(client.events for client in clients) / took)
    p50, flat = round(median(ages), 2), round(median(rates))
    report(
        "stream",
        0,
        [
            ("PUBLISH → subscriber, raw sockets, p50", f"{median(floors):.2f} ms"),
            ("token → client, p99", f"{percentile(ages, 99):.1f} ms"),
            ("tokens measured", f"{len(ages):,}"),
        ],
        [
            Bar(
                "P5",
                f"{options.streams} streams of {options.rate} tok/s, p50 ms",
                p50,
                "≤ 3",
                p50 <= 3,
            ),
            Bar("P5", "events/s flat out", flat, "≥ 20000", flat >= 20_000),
        ],
    )


if __name__ == "__main__":
    main()
