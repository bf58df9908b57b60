"""Is what was acknowledged there after the server was killed? And what does that cost?

``strict``: fifty times kill -9 under load, each time started again on the same folder; also
primaries that are killed while a replica takes over. Then the same load on each profile without any
deaths.
A kill is no loss of power: what the disk does with what it was told to keep, this cannot show.
"""

import argparse
import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import uvloop

from bench.acknowledged import (
    Load,
    Outcome,
    await_replica,
    kill_under_load,
    promote_under_load,
    replicated,
)
from bench.report import Bar, report, seed_of
from bursar.clock import monotonic_s
from bursar.embedded import EmbeddedServer
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.store import Store

__all__ = ["main"]

PROFILES = {
    "dev": ("dev", None),
    "standard, everysec": ("standard", "everysec"),
    "strict, always": ("strict", "always"),
    "strict, everysec and WAITAOF": ("strict", "everysec"),
}
"""By name: the setting, and `appendfsync`; None is no file at all."""


async def open_at(url: str, profile: str) -> Store:
    """A server alone: there are no replicas to wait for."""
    values: dict[str, Any] = {"durability": profile, "wait_replicas": 0}
    return await open_store(Settings(redis_url=url, **values))


def server_for(fsync: str | None, folder: Path) -> EmbeddedServer:
    if fsync is None:
        return EmbeddedServer()
    return EmbeddedServer(data=folder, extra=("--appendfsync", fsync))


async def kills(profile: str, fsync: str, count: int, callers: int, seed: int) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="bursar-durable-") as folder,
        server_for(fsync, Path(folder)) as server,
    ):
        store = await open_at(server.url, profile)
        found = await kill_under_load(
            store, server, kills=count, callers=callers, chance=random.Random(seed)
        )
        await store.aclose()
        return found


async def failovers(count: int, callers: int, seed: int) -> Outcome:
    total = Outcome()
    chance = random.Random(seed)
    for _ in range(count):
        with tempfile.TemporaryDirectory(prefix="bursar-durable-") as folder:
            found = await promote_under_load(Path(folder), callers=callers, chance=chance)
        total.kills += 1
        total.acknowledged += found.acknowledged
        total.lost += found.lost
    return total


async def pairs_s(profile: str, fsync: str | None, callers: int, seconds: float) -> float:
    """Reserves with their commits, each acknowledged, a second."""
    with (
        tempfile.TemporaryDirectory(prefix="bursar-durable-") as folder,
        server_for(fsync, Path(folder)) as server,
    ):
        return await _rate(await open_at(server.url, profile), callers, seconds)


async def replicated_pairs_s(callers: int, seconds: float) -> float:
    """Likewise with a replica that each of them waits for."""
    with (
        tempfile.TemporaryDirectory(prefix="bursar-durable-") as folder,
        replicated(Path(folder)) as (primary, _),
    ):
        await await_replica(primary.url)
        store = await open_store(Settings(redis_url=primary.url, durability="strict"))
        return await _rate(store, callers, seconds)


async def _rate(store: Store, callers: int, seconds: float) -> float:
    load = await Load.open(store, callers)
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    began = monotonic_s()
    await load.run(over)
    await store.aclose()
    return load.commits / (monotonic_s() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.durability", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--failovers", type=int, default=10)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each profile's rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seed = seed_of(options.seed)
    strict = uvloop.run(kills("strict", "always", options.kills, options.callers, seed))
    for fault in [*strict.lost[:10], *strict.wrong]:
        print(f"  {fault}", flush=True)
    print("failovers …", flush=True)
    moved = uvloop.run(failovers(options.failovers, options.callers, seed))
    rows = [
        ("kills of a server alone, acknowledged", f"{strict.kills}, {strict.acknowledged:,}"),
        ("calls whose outcome was unknown, repeated", f"{strict.repeats:,}"),
        ("failovers to a replica, acknowledged", f"{moved.kills}, {moved.acknowledged:,}"),
    ]
    for name, (profile, fsync) in PROFILES.items():
        rate = uvloop.run(pairs_s(profile, fsync, options.callers, options.seconds))
        rows.append((f"{name}: reserve and commit, {options.callers} callers", f"{rate:,.0f}/s"))
    rate = uvloop.run(replicated_pairs_s(options.callers, options.seconds))
    rows.append(("strict, always and a replica: the same", f"{rate:,.0f}/s"))
    enough = strict.kills == options.kills and strict.acknowledged > 0
    lost, gone = len(strict.lost), len(moved.lost)
    report(
        "durability",
        seed,
        rows,
        [
            Bar("R1", "acknowledged and lost, kills", lost, "0", enough and lost == 0),
            Bar("R1", "accounts that are wrong", len(strict.wrong), "0", not strict.wrong),
            Bar("R1", "acknowledged and lost, failovers", gone, "0", gone == 0),
        ],
    )


if __name__ == "__main__":
    main()
