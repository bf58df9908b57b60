"""Timers of the gate: a question's time is over, a grant's, or that of a session."""

from bursar.gate import approvals, granting
from bursar.gate.clearing import clear_up
from bursar.gate.closing import expiry
from bursar.queue import Bells
from bursar.store.keys import SessionKeys
from bursar.store.scripts import approvals as scripts
from bursar.store.scripts.capabilities import forget
from bursar.store.store import Store
from bursar_worker.hooks import SessionEnds

__all__ = ["GateTimers"]


class GateTimers:
    """Deals with due timers that the sweeper finds."""

    def __init__(self, store: Store, bells: Bells, ends: SessionEnds) -> None:
        self._store = store
        self._bells = bells
        self._ends = ends

    async def fire(self, kind: str, session: SessionKeys, target: str) -> int:
        """Deal with one timer; returns 1 if there was something to do."""
        if kind == "approval":
            return await self._expire(session, target)
        if kind == "allowance":
            await granting.look_at(self._store, session.workspace, session.id, target)
            return 1
        if kind == "capability":
            return int(await forget(self._store, session.workspace, target))
        if kind == "hooks":
            return await self._ends.fire(session, target)
        await clear_up(self._store, session)
        await self._ends.note(session)
        # Last: should this worker die before, another one does it all again.
        timer = session.timer(kind, target)
        await self._store.redis.call("ZREM", session.workspace.shard.timers, timer)
        return 1

    async def _expire(self, session: SessionKeys, question: str) -> int:
        found = await approvals.list_of(self._store, session.workspace, [question])
        if not found:
            await self._store.redis.call(
                "ZREM", session.workspace.shard.timers, session.timer("approval", question)
            )
            return 0
        told, audit = expiry(found[0])
        woken = await scripts.expire(
            self._store, session, question, turn=found[0].turn, told=told, audit=audit
        )
        if woken is None:
            return 0
        await self._bells.tell(woken)
        return 1
