"""Streams that are cut at any byte, at gateways that are killed: no event lost, none doubled.

Readers follow sessions at work. Each cuts its connection after a random number of bytes, goes to
any gateway with the id of the last event that it has, and goes on. In the end it must have seen
exactly what the session's log holds.
"""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.chaos.client import Producer
from bench.chaos.site import BrokenSite
from bursar.store.keys import WorkspaceKeys

__all__ = ["Reconnects", "run"]

_SESSIONS = 10
_READERS = 2  # of each session
_TEXT = "steps=4 calls=2 effect=pure delay_ms=40"


@dataclass
class Reconnects:
    connects: int = 0
    kills: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)


class _Reader:
    """One client of one session's stream."""

    def __init__(self, site: BrokenSite, session: str, chance: random.Random) -> None:
        self.session = session
        self.seen: list[int] = []
        self._site = site
        self._chance = chance
        self._last = ""

    async def follow(self, done: Reconnects) -> None:
        """Connect again and again until the session has ended."""
        while True:
            done.connects += 1
            try:
                async with asyncio.timeout(60):
                    if await self._read(self._chance.randint(200, 20_000)):
                        return
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(0.05)

    async def _read(self, budget: int) -> bool:
        """Read so many bytes at most. True: the session has ended."""
        parts = urlsplit(self._chance.choice(self._site.urls))
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        cursor = f"Last-Event-ID: {self._last}\r\n" if self._last else ""
        path = f"/v1/workspaces/reconnects/sessions/{self.session}/events"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._site.key}\r\n"
            f"{cursor}Connection: close\r\n\r\n".encode()
        )
        try:
            rest = b""
            while budget > 0:
                data = await reader.read(min(budget, 4096))
                if not data:
                    return False
                budget -= len(data)
                *blocks, rest = (rest + data).split(b"\n\n")
                for block in blocks:
                    if self._take(block):
                        return True
            return False
        finally:
            writer.close()

    def _take(self, block: bytes) -> bool:
        """Note one event. Chunk sizes of the transfer encoding stand on lines of their own."""
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        if b"id" not in fields:
            return False
        self._last = fields[b"id"].strip().decode()
        kind = fields[b"event"].strip()
        if kind in {b"gap", b"reset"}:
            self.seen.append(-1)
        else:
            self.seen.append(int(self._last.partition("-")[2]))
        return kind == b"session.ended"


async def run(folder: Path, *, reconnects: int, kills: int, seed: int) -> Reconnects:
    chance = random.Random(seed)
    done = Reconnects()
    async with BrokenSite(folder, workers=2, gateways=3) as site:
        producer = Producer(site.urls, site.key, "reconnects", chance)
        await producer.open_workspace()
        sessions = [await producer.session("worker") for _ in range(_SESSIONS)]
        readers = [_Reader(site, sid, chance) for sid in sessions for _ in range(_READERS)]
        following = [asyncio.create_task(reader.follow(done)) for reader in readers]
        await asyncio.gather(
            *(_converse(producer, sid, done, reconnects) for sid in sessions),
            _kill_gateways(site, done, kills, reconnects, chance),
        )
        for sid in sessions:
            await producer.end(sid)
        await asyncio.gather(*following)
        async with site.redis() as redis:
            shards = int(await redis.hget("bursar:{g}:install", "shards"))  # type: ignore[misc]
            for reader in readers:
                session = WorkspaceKeys("reconnects", shards).session(reader.session)
                log = [int(each.split(b"-")[0]) for each, _ in await redis.xrange(session.events)]
                _compare(reader, log, done)
    return done


def _compare(reader: _Reader, log: list[int], done: Reconnects) -> None:
    done.events += len(log)
    done.lost += len(set(log) - set(reader.seen))
    done.doubled += len(reader.seen) - len(set(reader.seen))
    if reader.seen != log:
        done.wrong.append(f"{reader.session}: saw {len(reader.seen)} of {len(log)}, or in disorder")


async def _converse(producer: Producer, sid: str, done: Reconnects, wanted: int) -> None:
    while done.connects < wanted:
        await producer.ended(await producer.put(sid, _TEXT))


async def _kill_gateways(
    site: BrokenSite, done: Reconnects, kills: int, reconnects: int, chance: random.Random
) -> None:
    """Spread over the whole run."""
    while done.kills < kills:
        if done.connects < reconnects * done.kills / kills:
            await asyncio.sleep(0.05)
            continue
        await site.restart_gateway(chance.choice(site.gateways))
        done.kills += 1
