"""Events go out through several gateways, which are killed again and again, to bad endpoints."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.site import BrokenSite
from bench.http import Connection
from bench.webhooks.receiver import Receiver
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.store import Store

__all__ = ["Result", "deliver"]

GATEWAYS, WORKSPACES, ENDPOINTS = 3, 8, 2
_ENV = {
    "BURSAR_WEBHOOK_HTTP": "true",
    "BURSAR_WEBHOOK_ALLOW_NETS": "127.0.0.0/8",
    "BURSAR_WEBHOOK_TIMEOUT_S": "0.5",
    "BURSAR_WEBHOOK_RETRY_S": "0.02",
    "BURSAR_WEBHOOK_PER_SECOND": "1000",
}
_KILL_EVERY_S = (1.0, 2.5)
_REACH_S = 10.0  # an armed gateway that had nothing to send by then is taken away
_PATIENCE_S = 60.0
"""Without any message that is taken; then what is left counts as lost."""


@dataclass
class Result:
    """``lost`` were never taken, ``renamed`` came under more than one id."""

    expected: int = 0
    kills: int = 0
    at_point: int = 0
    """Those of them that came between taking a message and sending it."""
    tries: int = 0
    twice: int = 0
    """Messages that were taken more than once, as at-least-once allows."""
    took_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Keys in which something still waits, although everything was taken."""


async def deliver(folder: Path, *, events: int, kills: int, seed: int) -> Result:
    """Let so much happen, and kill gateways so often meanwhile, until everything has arrived."""
    chance = random.Random(seed)
    result = Result()
    async with (
        Receiver(chance) as receiver,
        BrokenSite(folder, gateways=GATEWAYS, gateway_env=_ENV) as site,
    ):
        names = [f"ws{number}" for number in range(WORKSPACES)]
        paths = await _open(site, receiver, names)
        store = await open_store(Settings(redis_url=site.server.url))
        began = time.monotonic()
        killing = asyncio.create_task(_kill(site, kills, chance, result))
        expected = await _happen(store, names, paths, events)
        result.expected = len(expected)
        await killing
        await _await_all(receiver, expected)
        result.took_s = time.monotonic() - began
        result.left = await _left(store, names)
        await store.aclose()
    result.tries = receiver.answers.total()
    result.twice = sum(count > 1 for count in receiver.taken.values())
    result.lost = [f"{path} {number}" for path, number in sorted(expected - set(receiver.taken))]
    result.renamed = [f"{at}: {sorted(ids)}" for at, ids in receiver.ids.items() if len(ids) > 1]
    result.forged = receiver.forged
    return result


async def _open(site: BrokenSite, receiver: Receiver, names: list[str]) -> dict[str, list[str]]:
    """Make the workspaces with their endpoints; returns the endpoints' paths."""
    connection = Connection(site.urls[0], site.key)
    paths: dict[str, list[str]] = {}
    for name in names:
        await connection.request("POST", "/v1/workspaces", {"id": name})
        paths[name] = [f"/{name}/{number}" for number in range(ENDPOINTS)]
        for path in paths[name]:
            made = await connection.request(
                "POST", f"/v1/workspaces/{name}/webhooks", {"url": receiver.url(path)}
            )
            receiver.secrets[path] = made["secret"]
    await connection.aclose()
    return paths


async def _happen(
    store: Store, names: list[str], paths: dict[str, list[str]], events: int
) -> set[tuple[str, int]]:
    """Put events into the outbox as the scripts do; returns who has to be sent which one."""
    expected: set[tuple[str, int]] = set()
    for number in range(events):
        name = names[number % len(names)]
        data = f'{{"number":{number},"approval":"apr_{number}","seq":{number + 1}}}'
        outbox = store.workspace(name).shard.outbox
        kind = "approval.requested"
        await store.redis.call("XADD", outbox, "*", "ws", name, "kind", kind, "d", data)
        expected.update((path, number) for path in paths[name])
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    return expected


async def _kill(site: BrokenSite, kills: int, chance: random.Random, result: Result) -> None:
    """By turns whenever it is, and by one that is armed to die when it would send a message."""
    for number in range(kills):
        await asyncio.sleep(chance.uniform(*_KILL_EVERY_S))
        if number % 2:
            reached = await _die_at_point(site, chance)
            result.at_point += reached
        else:
            await site.restart_gateway(chance.choice(site.gateways))
        result.kills += 1


async def _die_at_point(site: BrokenSite, chance: random.Random) -> bool:
    armed = site.start_gateway({"BURSAR_FAILPOINTS": f"C17=kill@{chance.randint(1, 5)}"})
    deadline = time.monotonic() + _REACH_S
    while armed.alive and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    reached = not armed.alive
    site.forget(armed)
    return reached


async def _await_all(receiver: Receiver, expected: set[tuple[str, int]]) -> None:
    quiet_since, seen = time.monotonic(), 0
    while not expected <= set(receiver.taken):
        if len(receiver.taken) > seen:
            quiet_since, seen = time.monotonic(), len(receiver.taken)
        if time.monotonic() - quiet_since > _PATIENCE_S:
            return
        await asyncio.sleep(0.1)


async def _left(store: Store, names: list[str]) -> list[str]:
    """Lines and outboxes that are not empty, once the last answers are on record."""
    keys = {store.workspace(name).shard.outbox for name in names}
    for name in names:
        ws = store.workspace(name)
        for webhook in await store.redis.call("HKEYS", ws.webhooks):
            keys |= {ws.webhook(webhook.decode()).due, ws.webhook(webhook.decode()).dead}
    deadline = time.monotonic() + _PATIENCE_S
    left = sorted(keys)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        # An empty stream stays a key; an empty set does not.
        sizes = [await _size(store, key) for key in left]
        left = [key for key, size in zip(left, sizes, strict=True) if size]
    return left


async def _size(store: Store, key: str) -> int:
    command = "XLEN" if key.endswith(":outbox") else "ZCARD"
    return int(await store.redis.call(command, key))
