"""The queue's database is emptied under load: how much later turns end."""

import asyncio
import random
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.audit import Findings, audit
from bench.chaos.client import Producer
from bench.chaos.site import BrokenSite

__all__ = ["Flushes", "run"]

_TEXT = "steps=2 calls=1 effect=pure delay_ms=40"
_EVERY_S = 0.5


@dataclass
class Flushes:
    flushes: int = 0
    before_s: list[float] = field(default_factory=list)
    """How long turns took without flushes."""
    during_s: list[float] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


async def run(folder: Path, *, flushes: int, seed: int, sessions: int) -> Flushes:
    done = Flushes()
    async with BrokenSite(folder, workers=2) as site:
        producer = Producer(site.urls, site.key, "flushes", random.Random(seed))
        await producer.open_workspace()
        sids = [await producer.session("worker") for _ in range(sessions)]
        await _converse(producer, sids, done.before_s, asyncio.sleep(flushes * _EVERY_S))
        await _converse(producer, sids, done.during_s, _flush(site, done, flushes))
        async with site.redis() as redis:
            done.findings = await audit(redis, producer.accepted, site.effects)
    return done


async def _flush(site: BrokenSite, done: Flushes, wanted: int) -> None:
    while done.flushes < wanted:
        await asyncio.sleep(_EVERY_S)
        await site.flush_queue()
        done.flushes += 1


async def _converse(
    producer: Producer, sids: list[str], took_s: list[float], meanwhile: Awaitable[None]
) -> None:
    """Turns one after the other in each session, while something else goes on."""
    over = asyncio.Event()

    async def one(sid: str) -> None:
        while not over.is_set():
            began = time.monotonic()
            await producer.ended(await producer.put(sid, _TEXT))
            took_s.append(time.monotonic() - began)

    async with asyncio.TaskGroup() as group:
        for sid in sids:
            group.create_task(one(sid))
        await meanwhile
        over.set()
