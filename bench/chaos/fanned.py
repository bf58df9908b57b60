"""One job of thousands of children over two workers, which are killed on the way.

What must hold: each item has one result, no child was made twice, no payment happened twice, and
what was spent is within the job's purse.
"""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from bench.chaos.audit import audit_money
from bench.chaos.site import BrokenSite
from bursar.store.keys import WorkspaceKeys

__all__ = ["Fanned", "run"]

_INPUT = "steps=1 calls=1 effect=at_most_once delay_ms=20"
_LIMIT_MICROUSD = 50_000_000
_PATIENCE_S = 900.0
_DONE = {"succeeded", "partial", "failed", "cancelled"}


@dataclass
class Fanned:
    items: int = 0
    joined: int = 0
    kills: int = 0
    children: int = 0
    most_open: int = 0
    seconds: float = 0.0
    spent_microusd: int = 0
    states: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def run(folder: Path, *, items: int, kills: int, seed: int) -> Fanned:
    done = Fanned(items)
    async with BrokenSite(folder, workers=2) as site:
        headers = {"Authorization": f"Bearer {site.key}"}
        prefix = f"{site.urls[0]}/v1/workspaces/default/jobs"
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:
            made = await client.post(f"{site.urls[0]}/v1/workspaces", json={"id": "default"})
            made.raise_for_status()
            body = {
                "agent": "worker",
                "inputs": [_INPUT] * items,
                "limit_microusd": _LIMIT_MICROUSD,
            }
            answer = await client.post(prefix, json=body)
            answer.raise_for_status()
            url, began = f"{prefix}/{answer.json()['id']}", time.monotonic()
            killing = asyncio.create_task(_kill(site, client, url, done, kills, seed))
            view = await _until_done(client, url, done)
            done.seconds = time.monotonic() - began
            await killing
            lines = (await client.get(f"{url}/results")).text.splitlines()
        async with site.redis() as redis:
            await _audit(redis, site, view, [json.loads(line) for line in lines], done)
    return done


async def _kill(
    site: BrokenSite, client: httpx.AsyncClient, url: str, done: Fanned, kills: int, seed: int
) -> None:
    """Kill a worker, spread over the job's way: after each twentieth of the items, say."""
    chance = random.Random(seed)
    for number in range(kills):
        goal = done.items * (number + 1) // (kills + 2)
        while True:
            view = (await client.get(url)).json()
            if view["state"] in _DONE:
                return
            if view["succeeded"] + view["failed"] >= goal:
                break
            await asyncio.sleep(0.05)
        worker = chance.choice(site.workers)
        worker.kill()
        done.kills += 1
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        worker.start()


async def _until_done(client: httpx.AsyncClient, url: str, done: Fanned) -> dict[str, Any]:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            view: dict[str, Any] = (await client.get(url)).json()
            done.most_open = max(done.most_open, view["open"])
            if view["state"] in _DONE:
                return view
            await asyncio.sleep(0.1)


async def _audit(
    redis: Redis, site: BrokenSite, view: dict[str, Any], lines: list[dict[str, Any]], done: Fanned
) -> None:
    places = Counter(line["index"] for line in lines)
    done.joined = len(places)
    done.states = Counter(line["state"] for line in lines)
    lost = done.items - len(set(places) & set(range(done.items)))
    if lost or any(count > 1 for count in places.values()):
        done.wrong.append(f"{lost} items have no result, {len(lines)} lines are there")
    session = WorkspaceKeys("default", 16).session(view["id"])
    done.children = await redis.zcard(session.members)
    if done.children != done.items:
        done.wrong.append(f"{done.children} children were made for {done.items} items")
    kinds = Counter(line.split(" ", 1)[0] for line in site.effects.read_text().splitlines())
    paid = Counter(line.rsplit(" ", 1)[1] for line in site.effects.read_text().splitlines())
    twice = sum(count > 1 for count in paid.values())
    if twice or kinds["at_most_once"] > done.items:
        done.wrong.append(f"{twice} payments happened twice, of {kinds['at_most_once']}")
    done.spent_microusd = view["cost_microusd"]
    if done.spent_microusd > _LIMIT_MICROUSD:
        done.wrong.append(f"{done.spent_microusd} were spent of {_LIMIT_MICROUSD}")
    done.wrong += await audit_money(redis, "default", 16)
