"""Is every change of an audit log found, and is it said where?

Logs come about as ever: sessions, limits, cancels and kills on a real server, with a sealer behind
them. Then somebody who can write all of Redis changes them: entries are edited, dropped, swapped,
inserted; tails are cut with and without their counters; seals are changed, moved and made anew with
other keys; heads are rolled back. After each change the log is verified, and then put right again.
"""

import argparse
import time

import uvloop
from pydantic import SecretStr

from bench.report import none_of, report, seed_of
from bench.tamper.run import Result, plant
from bench.tamper.site import opened
from bursar.embedded import EmbeddedServer
from bursar.settings import GatewaySettings
from bursar.store.opening import open_store


async def measure(url: str, seed: int, count: int) -> tuple[Result, float]:
    settings = GatewaySettings(redis_url=url, api_key=SecretStr("bench"))
    store = await open_store(settings)
    try:
        async with opened(store, settings, seed) as site:
            began = time.perf_counter()
            result = await plant(site, count)
            return result, time.perf_counter() - began
    finally:
        await store.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    with EmbeddedServer() as server:
        result, took_s = uvloop.run(measure(server.url, seed, options.count))
    for what, found in (
        ("missed", result.missed),
        ("misplaced", result.misplaced),
        ("false alarm", result.false_alarms),
    ):
        for line in found[:20]:
            print(f"{what}: {line}")
    rows = [(name, f"{count:,}") for name, count in sorted(result.planted.items())]
    rows += [
        ("all planted", f"{result.total:,}"),
        ("verifications of untouched logs between them", f"{result.untouched:,}"),
        ("took", f"{took_s:.0f} s"),
    ]
    report(
        "tamper",
        seed,
        rows,
        [
            none_of("G9", f"of {result.total:,} planted changes missed", len(result.missed)),
            none_of("G9", "named with another entry", len(result.misplaced)),
            none_of("G9", "false alarms", len(result.false_alarms)),
        ],
    )


if __name__ == "__main__":
    main()
