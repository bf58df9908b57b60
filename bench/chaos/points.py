"""A kill at each point of a turn's way, for each class of tools, many times over.

Each class has an installation of its own, in which many conversations go on. A worker that is armed
with a point joins them, comes to the point and is gone; others take its sessions over. So hundreds
of recoveries overlap.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.audit import Findings, audit
from bench.chaos.client import Producer
from bench.chaos.site import BrokenSite
from bursar.cli.child import Child
from bursar.failpoints import POINTS

__all__ = ["CLASSES", "OF_TURNS", "Kills", "run"]

CLASSES = ("pure", "idempotent", "at_most_once")
OF_TURNS = tuple(point for point in POINTS if point not in {"C15", "C17", "C18", "C19", "C20"})
"""Where all turns come by. The others belong to sub-agents, webhooks and jobs."""
_GATEWAY = {"C0", "C1", "C2"}
_REACH_S = 20.0  # an armed process that did not come to its point by then is tried again
_AT_ONCE = 2  # armed workers of one installation


@dataclass
class Kills:
    """What one installation went through."""

    reached: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    accepted: int = 0
    findings: Findings = field(default_factory=Findings)


async def run(
    folder: Path, effect: str, *, kills: int, seed: int, sessions: int, points: tuple[str, ...]
) -> Kills:
    """Kill ``kills`` times at each point, then let all turns end, and audit."""
    chance = random.Random(f"{seed}/{effect}")
    wanted = [point for point in points or OF_TURNS for _ in range(kills)]
    chance.shuffle(wanted)
    done = Kills()
    over = asyncio.Event()
    async with BrokenSite(folder, workers=2) as site:
        producer = Producer(site.urls, site.key, f"points-{effect.replace('_', '-')}", chance)
        await producer.open_workspace()
        async with asyncio.TaskGroup() as group:
            for _ in range(sessions):
                group.create_task(_converse(producer, effect, over))
            await _kill_all(site, wanted, done, chance)
            over.set()
        await asyncio.gather(*(producer.ended(each.turn) for each in producer.accepted))
        await asyncio.sleep(
            1
        )  # what an ended turn leaves to others, such as a lease, is given back
        done.accepted = len(producer.accepted)
        async with site.redis() as redis:
            done.findings = await audit(redis, producer.accepted, site.effects, quarantine=True)
    return done


async def _converse(producer: Producer, effect: str, over: asyncio.Event) -> None:
    session = await producer.session("worker")
    while not over.is_set():
        park = int(producer.chance.random() < 0.1)
        text = f"steps=2 calls=2 effect={effect} delay_ms=30 park={park}"
        await producer.ended(await producer.put(session, text))


async def _kill_all(
    site: BrokenSite, wanted: list[str], done: Kills, chance: random.Random
) -> None:
    gateways = [point for point in wanted if point in _GATEWAY]
    workers = [point for point in wanted if point not in _GATEWAY]

    async def kill_workers() -> None:
        while workers:
            point = workers.pop()
            if not await _reach(site, site.start_worker(_armed(point, chance)), point, done):
                workers.append(point)

    async def kill_gateways() -> None:
        while gateways:
            point = gateways.pop()
            if not await _reach(site, site.start_gateway(_armed(point, chance)), point, done):
                gateways.append(point)

    await asyncio.gather(kill_gateways(), *(kill_workers() for _ in range(_AT_ONCE)))


def _armed(point: str, chance: random.Random) -> dict[str, str]:
    return {"BURSAR_FAILPOINTS": f"{point}=kill@{chance.randint(1, 3)}", "BURSAR_SLOTS": "5"}


async def _reach(site: BrokenSite, child: Child, point: str, done: Kills) -> bool:
    """Wait until the process is gone."""
    deadline = asyncio.get_running_loop().time() + _REACH_S
    while child.alive and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    reached = not child.alive
    site.forget(child)
    done.reached[point] += reached
    done.missed += not reached
    return reached
