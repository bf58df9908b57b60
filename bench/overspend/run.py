"""Starts the clients, kills them, ends holds that ran out, and watches the accounts meanwhile."""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.overspend.audit import Findings, audit
from bench.overspend.client import Tally
from bench.overspend.journal import newest_number
from bench.overspend.plan import CLIENTS, WORKSPACE, Plan, limits, seats, token_limits
from bench.proxy import Faults, lossy
from bench.trees import open_tree, put_turn
from bursar.embedded import EmbeddedServer
from bursar.settings import Settings
from bursar.store.codec import text, text_list
from bursar.store.keys import parse_ref
from bursar.store.opening import open_store
from bursar.store.scripts import budgets
from bursar.store.scripts.accounts import LimitWish, set_limit
from bursar.store.scripts.sessions import open_workspace
from bursar.store.store import Store

__all__ = ["Outcome", "furnish", "run"]

_PLENTY = 10**12
_WATCH_S = 0.05
_SAY_S = 5.0
_AT_ONCE = 100
_STUCK_S = 120.0


@dataclass
class Outcome:
    kills: int = 0
    took_s: float = 0.0
    faults: int = 0
    oversteps: int = 0
    """How often an account was seen with more spent and held than its limit."""
    looks: int = 0
    tally: Tally = field(default_factory=Tally)
    findings: Findings = field(default_factory=Findings)


async def run(
    folder: Path,
    *,
    debits: int,
    kills: int,
    seed: int,
    lost_replies: float = 0.0,
    planted: bool = False,
    quiet: bool = False,
) -> Outcome:
    """Spend, kill, wait until nothing is held, audit.

    Args:
        lost_replies: share of the replies that a proxy before Redis swallows; each call is then
            also sent up to three times.
        planted: run with a ledger that has a bug, to see that it is found.

    """
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EmbeddedServer())
        # Nothing is kept back for closing answers, so that limits mean what they say.
        store = await open_store(Settings(redis_url=server.url, closing_microusd=0))
        stack.push_async_callback(store.aclose)
        turns = await furnish(store, debits)
        urls = [server.url] * CLIENTS
        proxies = []
        if lost_replies:
            faults = Faults(lose=lost_replies, cut=lost_replies / 10, silence=lost_replies / 200)
            proxies = [
                await stack.enter_async_context(lossy(server.url, faults, seed=seed + number))
                for number in range(CLIENTS)
            ]
            urls = [proxy.url for proxy in proxies]
        plan = Plan(
            tuple(urls), str(folder), debits, seed, turns, planted=planted,
            copies=3 if lost_replies else 1, timeout_s=0.5 if lost_replies else 3.0,
        )  # fmt: skip
        site = _Site(store, plan, outcome, random.Random(seed), quiet=quiet)
        await site.run(kills)
        outcome.faults = sum(proxy.met for proxy in proxies)
        outcome.findings = await audit(store, plan)
    return outcome


async def furnish(store: Store, debits: int) -> dict[str, str]:
    """Open everything that the clients spend from; returns the turn of each session."""
    await open_workspace(store, WORKSPACE, limit="unlimited", warn_percent=80, settings={})
    turns = {}
    for client in range(CLIENTS):
        for seat in seats(client):
            await open_tree(store, WORKSPACE, seat.sids, user=seat.user, limit=_PLENTY)
            sid = seat.sids[-1]
            turns[sid] = await put_turn(store, WORKSPACE, sid, user=seat.user)
    for name, limit in limits(debits).items():
        wish = LimitWish(limit=str(limit))
        await set_limit(store, WORKSPACE, name, wish, change_id=f"limit-{name}")
    for name, limit in token_limits(debits).items():
        wish = LimitWish(token_limit=str(limit))
        await set_limit(store, WORKSPACE, name, wish, change_id=f"tokens-{name}")
    return turns


class _Site:
    def __init__(
        self, store: Store, plan: Plan, outcome: Outcome, chance: random.Random, *, quiet: bool
    ) -> None:
        self._store = store
        self._plan = plan
        self._outcome = outcome
        self._chance = chance
        self._quiet = quiet
        self._file = Path(plan.folder) / "plan.json"
        self._file.write_bytes(msgspec.json.encode(plan))
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._unfinished = CLIENTS
        self._began = time.monotonic()

    async def run(self, kills: int) -> None:
        last = self._plan.debits
        at = sorted(self._chance.randrange(last // 50, last * 97 // 100) for _ in range(kills))
        async with _beside(self._watch(), self._sweep_again_and_again()):
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self._keep_alive(number))
                group.create_task(self._kill(at))
            self._outcome.took_s = time.monotonic() - self._began
            await self._settle()

    def done(self) -> int:
        """About how many debits are through."""
        journals = (self._plan.journal(number) for number in range(CLIENTS))
        return sum(newest_number(path) for path in journals)

    async def _keep_alive(self, number: int) -> None:
        """Start the client again until it comes to its end by itself."""
        code = -1
        while code < 0:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.overspend.client", self._file, str(number),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            self._processes[number] = process
            try:
                output, _ = await process.communicate()
            finally:
                del self._processes[number]
                if process.returncode is None:
                    process.kill()
            code = process.returncode or 0
        if code:
            raise RuntimeError(f"client {number} failed with {code}")
        self._unfinished -= 1
        tally = msgspec.json.decode(output, type=Tally)
        self._outcome.tally.tries += tally.tries
        self._outcome.tally.unanswered += tally.unanswered

    async def _kill(self, at: Sequence[int]) -> None:
        said = 0.0
        for place in (*at, self._plan.debits * 2):
            while (done := self.done()) < place and self._unfinished:
                if not self._quiet and time.monotonic() > said + _SAY_S:
                    said = time.monotonic()
                    self._say(done, len(at))
                await asyncio.sleep(0.01)
            await asyncio.sleep(self._chance.random() * 0.02)
            if self._processes:
                with contextlib.suppress(ProcessLookupError):
                    self._chance.choice(list(self._processes.values())).kill()
                    self._outcome.kills += 1

    def _say(self, done: int, kills: int) -> None:
        rate = done / (time.monotonic() - self._began)
        print(
            f"{done:,} of {self._plan.debits:,} debits, {self._outcome.kills} of {kills} kills, "
            f"{rate:,.0f}/s",
            flush=True,
        )

    async def _watch(self) -> None:
        """At no moment is more spent and held than the limit. Nobody changes limits meanwhile."""
        ws = self._store.workspace(WORKSPACE)
        money, tokens = limits(self._plan.debits), token_limits(self._plan.debits)
        looks = [(ws.account(name), limit, ("posted", "pending")) for name, limit in money.items()]
        looks += [
            (ws.account(name), limit, ("tokens_posted", "tokens_pending"))
            for name, limit in tokens.items()
        ]
        while True:
            for key, limit, fields in looks:
                used = await self._store.redis.call("HMGET", key, *fields)
                self._outcome.looks += 1
                self._outcome.oversteps += sum(map(int, used)) > limit
            await asyncio.sleep(_WATCH_S)

    async def _sweep_again_and_again(self) -> None:
        while True:
            await self._sweep()
            await asyncio.sleep(0.2)

    async def _sweep(self) -> None:
        """End holds that ran out, as a worker's sweeper does."""
        store = self._store
        timers = store.workspace(WORKSPACE).shard.timers
        now_ms = int(time.time() * 1000)
        due = await store.redis.call("ZRANGEBYSCORE", timers, 0, now_ms, "LIMIT", 0, _AT_ONCE)
        for member in text_list(due):
            _, ref, hold_id = member.split(" ", 2)
            workspace, sid = parse_ref(ref)
            ws = store.workspace(workspace)
            names, turn = await store.redis.call("HMGET", ws.hold(hold_id), "accounts", "turn")
            if names is not None:
                await budgets.end_hold(
                    store, ws.session(sid), op="expire", hold_id=hold_id, names=text(names),
                    turn=text(turn), only_if_due=True,
                )  # fmt: skip

    async def _settle(self) -> None:
        """Wait until the last hold has run out and was ended."""
        timers = self._store.workspace(WORKSPACE).shard.timers
        deadline = time.monotonic() + _STUCK_S
        while await self._store.redis.call("ZCARD", timers) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _beside(*work: "asyncio._CoroutineLike[None]") -> AsyncIterator[None]:
    """Run this beside what is inside, and end it with that. An error of either ends both."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()
