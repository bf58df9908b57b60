"""Runs the hooks for the end of a session, which may come when no worker drives it.

A session that has ended leaves a timer if its agent has such hooks. The sweeper of a worker that
serves the agent takes it, runs them beside its sweeps, and removes it; should it die meanwhile, the
timer is due again.
"""

import asyncio
import logging
from collections.abc import Mapping

from bursar.agents import Agent
from bursar.errors import BursarError
from bursar.hooks import HookContext
from bursar.registry import Registry, redis_ms
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.timers import defer_timer
from bursar.store.store import Store
from bursar_worker.hooks.runner import HookRunner
from bursar_worker.stopping import stop

__all__ = ["SessionEnds"]

_KIND = "hooks"
_SPARE_MS = 10_000
"""Beyond what hooks may take: for Redis, and for the loop to get to it."""
_ELSEWHERE_MS = 1000
"""Another worker serves the agent, and its sweeper will come round."""
_NOBODY_MS = 60_000
_KEEP_MS = 24 * 3_600_000
"""How long hooks wait for a worker that serves their agent."""

logger = logging.getLogger(__name__)


class SessionEnds:
    """One a worker."""

    def __init__(self, store: Store, registry: Registry, agents: Mapping[str, Agent]) -> None:
        self._store = store
        self._registry = registry
        self._runners = {name: HookRunner(agent) for name, agent in agents.items()}
        self._running: set[asyncio.Task[None]] = set()

    async def note(self, session: SessionKeys) -> None:
        """A session has ended: leave a timer if its agent has hooks for that. Safe to repeat."""
        agent, user = await self._store.redis.call("HMGET", session.hash, "agent", "user")
        entry = await self._registry.find(text(agent)) if agent else None
        if entry is None or "session_end" not in entry.hooks:
            return
        ended_ms = await self._store.redis.call(
            "ZSCORE", session.workspace.sessions_in_state("ended"), session.id
        )
        now = await redis_ms(self._store)
        # All that the hooks are told of it, as the session may be deleted before they run.
        target = f"{text(agent)} {text(user)} {int(float(ended_ms or now))}"
        timer = session.timer(_KIND, target)
        await self._store.redis.call("ZADD", session.workspace.shard.timers, "NX", now, timer)

    async def fire(self, session: SessionKeys, target: str) -> int:
        """Deal with such a timer that is due; returns 1 if hooks were started."""
        agent, user, ended_ms = target.split(" ")
        timer, ws = session.timer(_KIND, target), session.workspace
        runner = self._runners.get(agent)
        if runner is None:
            await self._leave(session, timer, agent, int(ended_ms))
            return 0
        for_ms = int(runner.longest_s("session_end") * 1000) + _SPARE_MS
        if not await defer_timer(self._store, ws, timer, for_ms=for_ms):
            return 0
        ctx = HookContext(workspace=ws.id, session=session.id, user=user, agent=agent)
        task = asyncio.create_task(
            self._run(runner, ctx, session, timer), name=f"end of {ctx.session}"
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return 1

    async def aclose(self) -> None:
        """Stop hooks that run; those of other workers will run them anew."""
        await stop(*self._running)

    async def _run(
        self, runner: HookRunner, ctx: HookContext, session: SessionKeys, timer: str
    ) -> None:
        try:
            await runner.session_end(ctx)
            await self._store.redis.call("ZREM", session.workspace.shard.timers, timer)
        except BursarError as error:
            logger.warning("the end of session %s is told again later: %s", ctx.session, error)

    async def _leave(self, session: SessionKeys, timer: str, agent: str, ended_ms: int) -> None:
        """Leave it to a worker that serves the agent, but not for ever."""
        ws = session.workspace
        if await redis_ms(self._store) - ended_ms > _KEEP_MS:
            logger.warning("no worker of agent %s came for the end of %s", agent, session.ref)
            await self._store.redis.call("ZREM", ws.shard.timers, timer)
            return
        entry = await self._registry.find(agent)
        for_ms = _ELSEWHERE_MS if entry is not None and entry.live else _NOBODY_MS
        await defer_timer(self._store, ws, timer, for_ms=for_ms)
