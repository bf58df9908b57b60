"""Workers that are stopped for longer than their lease, and then go on as if nothing had happened.

A worker stops itself at a point of a turn's way, so that it is caught in the middle of things. Its
sessions are taken over; when it goes on, Redis must refuse whatever it still writes.
"""

import asyncio
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.audit import Findings, audit
from bench.chaos.client import Producer
from bench.chaos.points import CLASSES
from bench.chaos.site import BrokenSite
from bursar.cli.child import Child

__all__ = ["Pauses", "run"]

_POINTS = ("C4", "C5", "C6", "C7", "C8", "C9", "C10", "C11", "C12", "C13")
_BEYOND_S = (4.5, 7.0)  # a lease is 4 s
_AT_ONCE = 5
_REACH_S = 20.0


@dataclass
class Pauses:
    pauses: int = 0
    fenced: int = 0
    """Drives that found out that they had been replaced."""
    accepted: int = 0
    findings: Findings = field(default_factory=Findings)


async def run(folder: Path, *, pauses: int, seed: int, sessions: int) -> Pauses:
    """Pause so many times, then let all turns end, and audit."""
    chance = random.Random(seed)
    done = Pauses()
    over = asyncio.Event()
    async with BrokenSite(folder, workers=2) as site:
        producer = Producer(site.urls, site.key, "pauses", chance)
        await producer.open_workspace()
        async with asyncio.TaskGroup() as group:
            for _ in range(sessions):
                group.create_task(_converse(producer, over))
            lanes = [
                group.create_task(_pause_again_and_again(site, chance, done, pauses))
                for _ in range(_AT_ONCE)
            ]
            await asyncio.wait(lanes)
            over.set()
        await asyncio.gather(*(producer.ended(each.turn) for each in producer.accepted))
        await asyncio.sleep(
            1
        )  # what an ended turn leaves to others, such as a lease, is given back
        done.accepted = len(producer.accepted)
        done.fenced = sum(log.read_text().count(": fenced, ") for log in site.logs())
        async with site.redis() as redis:
            done.findings = await audit(redis, producer.accepted, site.effects, quarantine=True)
    return done


async def _converse(producer: Producer, over: asyncio.Event) -> None:
    session = await producer.session("worker")
    while not over.is_set():
        effect = producer.chance.choice(CLASSES)
        text = f"steps=3 calls=2 effect={effect} delay_ms=60"
        await producer.ended(await producer.put(session, text))


async def _pause_again_and_again(
    site: BrokenSite, chance: random.Random, done: Pauses, wanted: int
) -> None:
    while done.pauses < wanted:
        point = f"{chance.choice(_POINTS)}=stop@{chance.randint(1, 4)}"
        child = site.start_worker({"BURSAR_FAILPOINTS": point, "BURSAR_SLOTS": "5"})
        if await _stops(child):
            done.pauses += 1
            await asyncio.sleep(chance.uniform(*_BEYOND_S))
            os.kill(child.pid, signal.SIGCONT)
            await asyncio.sleep(chance.uniform(0.5, 2))
            done.pauses += 1
            await site.pause(child, chance.uniform(*_BEYOND_S))
            await asyncio.sleep(chance.uniform(0.5, 2))
        site.forget(child)


async def _stops(child: Child) -> bool:
    """Wait until the process has stopped itself."""
    deadline = asyncio.get_running_loop().time() + _REACH_S
    while asyncio.get_running_loop().time() < deadline:
        with open(f"/proc/{child.pid}/stat") as stat:  # noqa: ASYNC230, PTH123  (no disk behind it)
            if stat.read().rpartition(")")[2].split()[0] == "T":
                return True
        await asyncio.sleep(0.05)
    return False
