"""Finds what nobody rang for: due timers, leases that ran out, bells that were lost.

No election: each worker tries each half second, and a short lock lets one of them through. It lists
what is due in one pipeline over all shards, then settles each item with its own small script, which
checks again; so two sweepers at once would only waste a little work.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

from redis.exceptions import RedisError

from bursar.budgets.periods import reset_due
from bursar.budgets.waiters import wake_all
from bursar.errors import BursarError, StoreUnavailable
from bursar.jobs.making import clear_away
from bursar.kill_switch import sweep_killed
from bursar.queue import Bell
from bursar.registry import Registry, redis_ms
from bursar.store.codec import text, text_list
from bursar.store.keys import GlobalKeys, SessionKeys, ShardKeys, parse_ref
from bursar.store.scripts import budgets, leases
from bursar.store.scripts.leases import Ring
from bursar_worker.gate_timers import GateTimers
from bursar_worker.grace import Grace
from bursar_worker.hooks import SessionEnds
from bursar_worker.kit import Kit
from bursar_worker.tree_timers import TreeTimers

__all__ = ["Sweeper"]

_LOCK_MS = 450
_MAX_ITEMS = 100  # of one kind, shard and round: bounds what a round can cost Redis

logger = logging.getLogger(__name__)


class Sweeper:
    """One a worker; all but one of an installation's do nothing in any half second."""

    def __init__(
        self, kit: Kit, registry: Registry, grace: Grace, hear: Callable[[Bell], None]
    ) -> None:
        settings = kit.settings
        self._settings = settings
        self._store = kit.store
        self._bells = kit.bells
        self._registry = registry
        self._worker_id = kit.worker_id
        self._shards = [ShardKeys(number) for number in range(settings.shards)]
        self._inputs = kit.inputs
        self._now_ms = 0
        self._grace = grace
        self._hear = hear
        ends = SessionEnds(kit.store, registry, kit.agents)
        self._timers = GateTimers(kit.store, kit.bells, ends)
        self._trees = TreeTimers(kit.store, kit.inputs)

    async def run(self) -> None:
        """Sweep until cancelled. An outage of Redis is waited out."""
        while True:
            pause_s = self._settings.sweep_every_s
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self.sweep()
            except StoreUnavailable as error:
                self._grace.begin(f"Redis is away: {error}")

    async def sweep(self) -> int:
        """One round; returns how many items were due. 0 also when another worker sweeps."""
        redis = self._store.redis
        if not await redis.call("SET", GlobalKeys.sweep, self._worker_id, "NX", "PX", _LOCK_MS):
            return 0
        now = await redis_ms(self._store)
        self._now_ms = now
        probes = [self._probe(shard, now) for shard in self._shards]
        due = await asyncio.gather(*probes, return_exceptions=True)
        # After the probes: they may have made a connection anew.
        self._grace.observe(now, redis.connects)
        done, away = 0, 0
        for shard, found in zip(self._shards, due, strict=True):
            if isinstance(found, StoreUnavailable):
                # One node of a Cluster is away, which must not keep the others' sessions waiting.
                away += 1
                continue
            if isinstance(found, BaseException):
                raise found
            ready, expired, timers, blocked, waiting = found
            done += await self._each(expired if self._grace.is_over else [], self._reap)
            done += await self._each(ready, self._ring_again)
            done += await self._each(timers, self._fire)
            done += await self._each(blocked, partial(self._unblock, shard))
            done += await self._each(waiting, partial(self._wake_waiters, shard))
        if away:
            logger.warning("%d of %d shards could not be swept", away, len(self._shards))
        return done

    async def _each(self, items: list[str], settle: Callable[[str], Awaitable[int]]) -> int:
        """Settle items one by one; one that cannot be settled does not hold up the others."""
        done = 0
        for item in items:
            try:
                done += await settle(item)
            except StoreUnavailable:
                raise
            except (BursarError, RedisError, ValueError):
                logger.exception("the sweep could not settle %s", item)
        return done

    async def _reap(self, ref: str) -> int:
        return await self._ring(await leases.reap(self._store, self._session(ref)))

    async def _ring_again(self, ref: str) -> int:
        return await self._ring(await leases.ring_again(self._store, self._session(ref)))

    async def _probe(self, shard: ShardKeys, now: int) -> tuple[list[str], ...]:
        redis = self._store.redis
        calls = [
            redis.call("ZRANGEBYSCORE", key, "-inf", now, "LIMIT", 0, _MAX_ITEMS)
            for key in (shard.ready, shard.leases, shard.timers)
        ]
        calls.extend(
            redis.call("ZRANGE", key, 0, _MAX_ITEMS - 1) for key in (shard.blocked, shard.waiting)
        )
        return tuple(text_list(found) for found in await asyncio.gather(*calls))

    def _session(self, ref: str) -> SessionKeys:
        workspace, sid = parse_ref(ref)
        return self._store.workspace(workspace).session(sid)

    async def _ring(self, ring: Ring | None) -> int:
        if ring is None:
            return 0
        entry = await self._registry.find(ring.agent)
        if entry is not None and entry.live:
            await self._bells.ring(ring)
        else:
            # Nobody serves the agent. If a turn is to be cancelled, any worker may end it.
            self._hear(Bell(ring.session.ref))
        return 1

    async def _fire(self, member: str) -> int:
        kind, ref, target = member.split(" ", 2)
        session = self._session(ref)
        if kind == "kill":
            await sweep_killed(self._store, self._inputs, session.workspace.id)
            return 1
        if kind == "period":
            waiting = await reset_due(self._store, session.workspace, target, self._now_ms)
            if waiting:
                await wake_all(self._store, self._bells, session.workspace, target, "raised")
            return 1
        if kind == "wake":
            ring = await leases.fire_timer(self._store, session, member=member, turn=target)
            return await self._ring(ring)
        if kind == "job":
            await clear_away(self._store, session)
            return 1
        if kind in {"limit", "tree"}:
            await self._trees.fire(kind, session, target)
            return 1
        if kind in {"approval", "allowance", "capability", "ended", "hooks"}:
            return await self._timers.fire(kind, session, target)
        key = session.workspace.hold(target)
        names, turn = await self._store.redis.call("HMGET", key, "accounts", "turn")
        if names is None:
            await self._store.redis.call("ZREM", session.workspace.shard.timers, member)
            return 0
        ended = await budgets.end_hold(
            self._store,
            session,
            op="expire",
            hold_id=target,
            names=text(names),
            turn=text(turn),
            only_if_due=True,
        )
        if ended is not None:
            logger.warning("hold %s expired: %s %d", target, ended.state, ended.actual_microusd)
            for account in ended.waiting:
                await wake_all(self._store, self._bells, session.workspace, account)
        return 1

    async def _wake_waiters(self, shard: ShardKeys, member: str) -> int:
        """Wake turns that wait for money, should whoever freed it have died before it did so."""
        # To the end of the line, as below.
        await self._store.redis.call("ZADD", shard.waiting, "XX", self._now_ms, member)
        workspace, account = member.split(" ", 1)
        return await wake_all(self._store, self._bells, self._store.workspace(workspace), account)

    async def _unblock(self, shard: ShardKeys, list_key: str) -> int:
        """Let sessions of one blocked list run, as long as what stopped them is over."""
        why, _, name = list_key.removeprefix(f"{shard.blocked}:").partition(":")
        # To the end of the line: those that stay blocked do not hide the lists behind them.
        await self._store.redis.call("ZADD", shard.blocked, "XX", self._now_ms, list_key)
        if why == "agent":
            entry = await self._registry.find(name)
            if entry is None or not entry.live:
                return 0
        done = 0
        for ref in text_list(await self._store.redis.call("ZRANGE", list_key, 0, _MAX_ITEMS - 1)):
            ring = await leases.unblock(self._store, self._session(ref), why=why, list_key=list_key)
            # What stopped it is not over. One that is not blocked any more has left the list.
            if ring is None and await self._store.redis.call("ZSCORE", list_key, ref) is not None:
                break
            done += await self._ring(ring)
        return done
