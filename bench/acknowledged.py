"""What was acknowledged, and whether it is there after the server was killed.

Callers reserve and commit under load and note each answer at the moment it comes. Whatever fails is
asked for again with the same ids, as drives do. After each death all that was noted is looked up.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.trees import Spender, claim, open_tree, put_turn
from bursar.budgets.audit import audit_budgets
from bursar.clock import monotonic_s
from bursar.embedded import EmbeddedServer
from bursar.errors import StoreUnavailable
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.opening import open_store
from bursar.store.redis import connect
from bursar.store.scripts.sessions import open_workspace
from bursar.store.store import Store

__all__ = [
    "Load",
    "Outcome",
    "await_replica",
    "kill_under_load",
    "missing",
    "promote_under_load",
    "replicated",
]

T = TypeVar("T")

WORKSPACE, USER, SECRET = "durable", "ada", "of-the-bench"
COST, ACTUAL = 500, 400
_PLENTY = 10**12
_LEASE_MS = 10**9  # nobody renews it here
_AGAIN_S = 0.02
_PATIENCE_S = 60.0
_LOOKED_UP_AT_ONCE = 500


@dataclass
class Outcome:
    """What a run of kills came to. ``lost`` are ids that were acknowledged and are not there."""

    kills: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    repeats: int = 0
    """Calls whose outcome was unknown."""
    wrong: list[str] = field(default_factory=list)
    """What the audit of the accounts says."""
    took_s: float = 0.0


@dataclass
class Load:
    """Callers that spend, and what they were told."""

    store: Store
    spenders: list[Spender]
    reserved: set[str] = field(default_factory=set)
    """Acknowledged since the last look; likewise ``committed``."""
    committed: set[str] = field(default_factory=set)
    acknowledged: int = 0
    commits: int = 0
    repeats: int = 0

    @classmethod
    async def open(cls, store: Store, callers: int) -> "Load":
        settings: dict[str, str] = {}
        await open_workspace(store, WORKSPACE, limit="unlimited", warn_percent=0, settings=settings)
        sids = tuple(f"ses{number}" for number in range(callers))
        spenders = []
        for sid in sids:
            await open_tree(store, WORKSPACE, (sid,), user=USER, limit=_PLENTY)
            turn = await put_turn(store, WORKSPACE, sid, user=USER)
            spenders.append(
                await claim(
                    store, WORKSPACE, (sid,), turn, user=USER, owner=sid, lease_ms=_LEASE_MS
                )
            )
        return cls(store, spenders)

    async def run(self, over: asyncio.Event) -> None:
        """Spend until told to stop; each caller ends what it has begun."""
        await asyncio.gather(*(self._spend(spender, over) for spender in self.spenders))

    async def _spend(self, spender: Spender, over: asyncio.Event) -> None:
        number = 0
        while not over.is_set():
            number += 1
            await self.insist(lambda: spender.reserve(number, COST, secret=SECRET))  # noqa: B023
            self.reserved.add(spender.hold_id(number))
            await self.insist(lambda: spender.commit(number, ACTUAL, secret=SECRET))  # noqa: B023
            self.committed.add(spender.hold_id(number))
            self.acknowledged += 2
            self.commits += 1

    async def insist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Repeat while the outcome is unknown."""
        deadline = monotonic_s() + _PATIENCE_S
        while True:
            try:
                return await operation()
            except StoreUnavailable:
                if monotonic_s() > deadline:
                    raise
                self.repeats += 1
                await asyncio.sleep(_AGAIN_S)

    def take(self) -> tuple[set[str], set[str]]:
        """What was acknowledged as reserved and as committed, and forget it."""
        taken = self.reserved, self.committed
        self.reserved, self.committed = set(), set()
        return taken


async def missing(store: Store, reserved: set[str], committed: set[str]) -> list[str]:
    """Ids whose hold is not there, or was not ended as it was said to be."""
    ids = sorted(reserved | committed)
    found = []
    for start in range(0, len(ids), _LOOKED_UP_AT_ONCE):
        part = ids[start : start + _LOOKED_UP_AT_ONCE]
        ws = store.workspace(WORKSPACE)
        calls = [store.redis.call("HMGET", ws.hold(each), "state", "actual") for each in part]
        for hold_id, (state, actual) in zip(part, await asyncio.gather(*calls), strict=True):
            ended = (text(state), text(actual)) == ("committed", str(ACTUAL))
            if state is None or (hold_id in committed and not ended):
                found.append(f"{hold_id} {text(state)} {text(actual)}")
    return found


async def kill_under_load(
    store: Store, server: EmbeddedServer, *, kills: int, callers: int, chance: random.Random
) -> Outcome:
    """Kill the server again and again while callers commit; start it on the same folder."""
    outcome = Outcome()
    load = await Load.open(store, callers)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    began = monotonic_s()
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        if running.done():
            break
        await asyncio.to_thread(server.kill)
        # From here on nothing is acknowledged until it has started again.
        reserved, committed = load.take()
        await asyncio.to_thread(server.start)
        outcome.kills += 1
        outcome.lost += await missing(store, reserved, committed)
    over.set()
    await running
    outcome.took_s = monotonic_s() - began
    outcome.lost += await missing(store, *load.take())
    outcome.acknowledged, outcome.repeats = load.acknowledged, load.repeats
    outcome.wrong = await _audit(store, load.commits)
    return outcome


@contextmanager
def replicated(folder: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A primary that takes no writes without its replica, and the replica."""
    always = ("--appendfsync", "always", "--repl-diskless-sync-delay", "0")
    leading = (*always, "--min-replicas-to-write", "1")
    with EmbeddedServer(data=folder / "primary", extra=leading) as primary:
        following = (*always, "--replicaof", "127.0.0.1", str(primary.port))
        with EmbeddedServer(data=folder / "replica", extra=following) as replica:
            yield primary, replica


async def promote_under_load(folder: Path, *, callers: int, chance: random.Random) -> Outcome:
    """Kill a primary while callers commit, and look up what was acknowledged on its replica."""
    with replicated(folder) as (primary, replica):
        await await_replica(primary.url)
        store = await open_store(Settings(redis_url=primary.url, durability="strict"))
        load = await Load.open(store, callers)
        running = asyncio.create_task(load.run(asyncio.Event()))
        while not load.acknowledged:
            # A replica that has just come takes up to a second for its first answer.
            await asyncio.sleep(_AGAIN_S)
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        await asyncio.to_thread(primary.kill)
        while not load.repeats:
            await asyncio.sleep(_AGAIN_S)
        running.cancel()
        await asyncio.wait([running])
        await store.aclose()
        promoted = connect(replica.url, timeout_s=5)
        await promoted.call("REPLICAOF", "NO", "ONE")
        await promoted.aclose()
        survivor = await open_store(Settings(redis_url=replica.url))
        lost = await missing(survivor, *load.take())
        await survivor.aclose()
        return Outcome(1, load.acknowledged, lost, load.repeats)


async def await_replica(url: str) -> None:
    """Until it has joined, a primary that needs one takes no writes."""
    client = connect(url, timeout_s=5)
    while not int((await client.call("INFO", "replication"))["min_slaves_good_slaves"]):
        await asyncio.sleep(_AGAIN_S)
    await client.aclose()


async def _audit(store: Store, commits: int) -> list[str]:
    """Every commit was acknowledged in the end, so the accounts must hold exactly those."""
    audit = await audit_budgets(store, WORKSPACE)
    wrong = [str(difference) for difference in audit.differences]
    posted = text(
        await store.redis.call("HGET", store.workspace(WORKSPACE).account("ws"), "posted")
    )
    if int(posted) != commits * ACTUAL:
        wrong.append(f"posted {posted}, acknowledged {commits * ACTUAL}")
    return wrong
