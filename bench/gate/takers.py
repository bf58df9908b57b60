"""An allowance for one call, or for a few, that many want at the same moment: who gets it?

By the scripts, each taker on a connection of its own; and with as many worker processes as there
are takers, each of which keeps its own picture of what is allowed.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.approvals.effects import read_effects
from bench.approvals.office import Office
from bench.approvals.rig import Rig, Seat, opened
from bench.approvals.site import AskingSite
from bench.plants import PlantedStore
from bursar.embedded import EmbeddedServer
from bursar.gate import granting
from bursar.gate.granting import NewAllowance
from bursar.gate.requests import Use
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts import tools
from bursar.store.store import Store

__all__ = ["Takers", "by_scripts", "by_workers"]

_TAKERS = 8
_WAIT_S = 20.0


@dataclass
class Takers:
    """Rounds, and those in which not exactly as many got through as there were uses."""

    rounds: int = 0
    taken: Counter[int] = field(default_factory=Counter)
    """How often each taker was among the first."""
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


async def by_scripts(*, rounds: int, seed: int, plant: str = "") -> Takers:
    found, chance = Takers(), random.Random(f"{seed}/takers")
    began = time.monotonic()
    with EmbeddedServer() as server:
        async with opened(server.url, chance=chance, seats=_TAKERS) as rig:
            stores = [await _store(server.url, plant) for _ in rig.seats]
            try:
                for _ in range(rounds):
                    await _round(rig, stores, chance.choice((1, 1, 1, 2, 3)), found)
            finally:
                for store in stores:
                    await store.aclose()
    found.took_s = time.monotonic() - began
    return found


async def _store(url: str, plant: str) -> Store:
    store = await open_store(Settings(redis_url=url))
    return PlantedStore.over(store, plant) if plant else store


async def _round(rig: Rig, stores: Sequence[Store], uses: int, found: Takers) -> None:
    workspace = rig.seats[0].workspace
    wish = NewAllowance(pattern="tool://local/send", max_uses=uses)
    made = await granting.allow(rig.store, workspace, wish, by="key:bench")
    version = await rig.version(rig.seats[0])
    calls = [await rig.intend(seat) for seat in rig.seats]
    use = Use("allowance", made.id, (made.id, "", ""))

    async def take(store: Store, seat: Seat, call: str, *, version: str = version) -> str:
        permit = rig.permit(seat, version, use=use)
        started = await tools.start_tool(
            store, seat.lease, f"call:{call}", [], permit, seat.spender.path
        )
        return started.status

    takers = list(zip(stores, rig.seats, calls, strict=True))
    rig.chance.shuffle(takers)
    statuses = await asyncio.gather(*(take(*taker) for taker in takers))
    winners = [at for at, status in enumerate(statuses) if status == "ok"]
    found.rounds += 1
    found.taken.update(winners)
    left = await rig.store.redis.call("HGET", workspace.allowances, f"{made.id}:left")
    if len(winners) != uses or left != b"0":
        found.wrong.append(f"{uses} uses of {made.id}: {len(winners)} got one, left {left!r}")
        return
    # As after a crash: who has had a use goes on with it, and nobody else gets one.
    now = await rig.version(rig.seats[0])
    for at, taker in enumerate(takers):
        again = await take(*taker, version=now)
        if (again == "ok") != (at in winners):
            found.wrong.append(f"{made.id}: again {again} for one that had {statuses[at]}")


async def by_workers(
    folder: Path, *, rounds: int, seed: int, workers: int = _TAKERS, plant: str = ""
) -> Takers:
    """One-use allowances before as many worker processes as there are takers."""
    found, chance = Takers(), random.Random(f"{seed}/workers")
    began = time.monotonic()
    env = {"BURSAR_SLOTS": "1"}
    async with AskingSite(
        folder, workers=workers, gateways=1, strict=False, plant=plant, env=env
    ) as site:
        office = Office(site.urls, site.key, "takers", chance)
        await office.open()
        sessions = [await office.session("asker") for _ in range(workers)]
        for number in range(rounds):
            wish: dict[str, Any] = {"pattern": "tool://local/mark", "max_uses": 1}
            reply = await office.insist("POST", f"{office.path}/allowances", wish)
            if reply.status >= 400:
                raise RuntimeError(f"no allowance: {reply}")
            puts = (office.put(session, f"tag=r{number} delay_ms=10") for session in sessions)
            await asyncio.gather(*puts)
            await _turn_down(office)
            found.rounds += 1
        await office.close()
        won = Counter(effect.what for effect in read_effects(site.effects))
    for number in range(rounds):
        if won[f"r{number}.0.0"] != 1:
            found.wrong.append(f"round {number}: {won[f'r{number}.0.0']} got the one use")
    found.took_s = time.monotonic() - began
    return found


async def _turn_down(office: Office) -> None:
    """Say no to all who came too late, until the round is over."""
    deadline = time.monotonic() + _WAIT_S
    while await office.stuck(timeout_s=0.1):
        for question in await office.questions():
            await office.answer(question, "deny")
        if time.monotonic() > deadline:
            raise RuntimeError("the round does not end")
    office.turns.clear()
