"""Many clients at one account see it as if they had asked one after the other.

Short histories, some hundred in each run; ``BURSAR_HISTORIES`` asks for more.
"""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.planted import PlantedStore
from bench.proxy import Faults, lossy

from bursar.errors import BudgetRefused, StoreUnavailable
from bursar.leases import Lease
from bursar.settings import Settings
from bursar.store.opening import adopt
from bursar.store.redis import connect
from bursar.store.scripts.budgets import HoldRef, Path
from bursar.store.store import Store
from support.linearizable import NEVER, Op, is_linearizable
from support.purse import end
from support.stage import Stage

CLIENTS, OPS = 8, 60
HISTORIES, THROUGH_A_PROXY = 100, 10
LIMIT = 100
LEAVES = 0.02
"""Share of the calls that a client does not wait for: what it asked may come to pass later."""
SEED = 20261124


@dataclass
class Witness:
    """Writes down what each client asked, when, and what it was told."""

    stores: list[Store]
    seed: int
    times: "itertools.count[int]" = field(default_factory=itertools.count)
    history: list[Op] = field(default_factory=list)
    left: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self, store: Store) -> list[Op]:
        """One history. ``store`` is for what comes before it."""
        await store.redis.call("FLUSHALL")
        stage = await Stage.build(store, limit=str(LIMIT))
        self.lease: Lease = (await stage.running())[0]
        self.account = stage.ws.account("ws")
        self.path = Path(("ws",), (self.account,))
        clients = [
            self._client(Stage(each, stage.ws, stage.session, stage.facts), number)
            for number, each in enumerate(self.stores)
        ]
        await asyncio.gather(*clients)
        await asyncio.gather(*self.left)
        return self.history

    async def _client(self, stage: Stage, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        held: list[HoldRef] = []
        for count in range(OPS):
            waits = chance.random() >= LEAVES
            dice = chance.random()
            if dice < 0.3:
                work = self._read(stage, waits=waits)
            elif dice < 0.6 and held:
                work = self._release(stage, held.pop(), waits=waits)
            else:
                cost = chance.randint(1, 30)
                work = self._reserve(stage, f"{number}/{count}", cost, held, waits=waits)
            if waits:
                await work
            else:
                self.left.append(asyncio.create_task(work))
                await asyncio.sleep(0)

    async def _reserve(
        self, stage: Stage, hold_id: str, cost: int, held: list[HoldRef], *, waits: bool
    ) -> None:
        op = Op("reserve", cost, fits=True, start=next(self.times))
        try:
            held.append(await stage.reserve(self.lease, cost, hold_id=hold_id, path=self.path))
        except BudgetRefused:
            op = op._replace(fits=False)
        except StoreUnavailable:
            waits = False
        self._note(op, waits=waits)

    async def _release(self, stage: Stage, hold: HoldRef, *, waits: bool) -> None:
        op = Op("release", hold.cost_microusd, fits=True, start=next(self.times))
        try:
            await end(stage, "release", hold)
        except StoreUnavailable:
            waits = False
        self._note(op, waits=waits)

    async def _read(self, stage: Stage, *, waits: bool) -> None:
        start = next(self.times)
        try:
            values = await stage.store.redis.call("HMGET", self.account, "posted", "pending")
        except StoreUnavailable:
            return
        self._note(Op("read", sum(map(int, values)), fits=True, start=start), waits=waits)

    def _note(self, op: Op, *, waits: bool) -> None:
        self.history.append(op._replace(end=next(self.times) if waits else NEVER))


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[list[Store]]:
    """Stores with a connection each."""
    settings = Settings(redis_url=url, redis_timeout_s=0.5)
    stores = [await adopt(connect(url, timeout_s=0.5), settings) for _ in range(CLIENTS)]
    try:
        yield stores
    finally:
        await asyncio.gather(*(each.aclose() for each in stores))


async def test_histories_of_many_clients_are_linearizable(store: Store) -> None:
    asked = int(os.environ.get("BURSAR_HISTORIES", HISTORIES))
    first = SEED if asked == HISTORIES else random.SystemRandom().randrange(10**9)
    async with clients(store.settings.redis_url) as stores:
        for seed in range(first, first + asked):
            history = await Witness(stores, seed).run(store)
            assert is_linearizable(history, LIMIT), f"seed {seed}: {history}"
    await store.redis.call("FLUSHALL")


async def test_histories_with_lost_replies_are_linearizable(store: Store) -> None:
    lost = 0
    faults = Faults()
    async with (
        lossy(store.settings.redis_url, faults, seed=SEED) as proxy,
        clients(proxy.url) as stores,
    ):
        for seed in range(SEED, SEED + THROUGH_A_PROXY):
            faults.lose, faults.cut = 0.02, 0.005
            history = await Witness(stores, seed).run(store)
            lost += sum(op.end == NEVER for op in history)
            assert is_linearizable(history, LIMIT), f"seed {seed}: {history}"
        faults.lose = faults.cut = 0.0
    assert lost > THROUGH_A_PROXY, "hardly a reply was lost, so nothing was shown"
    await store.redis.call("FLUSHALL")


async def test_a_ledger_that_skips_two_checks_in_a_hundred_is_found_out(store: Store) -> None:
    found = 0
    async with clients(store.settings.redis_url) as stores:
        planted: list[Store] = [PlantedStore.over(each) for each in stores]
        for seed in range(SEED, SEED + THROUGH_A_PROXY):
            history = await Witness(planted, seed).run(store)
            found += not is_linearizable(history, LIMIT)
    assert found > THROUGH_A_PROXY // 2
    await store.redis.call("FLUSHALL")
