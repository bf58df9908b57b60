"""What the sweeper does about session trees: time limits, and cancels and ends that got stuck."""

from bursar.inbox import Inputs
from bursar.registry import redis_ms
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["TreeTimers"]

_AGAIN_MS = 1000
_ABOVE = "what it was for was cancelled"


class TreeTimers:
    """Fires the timers ``limit`` and ``tree``."""

    def __init__(self, store: Store, inputs: Inputs) -> None:
        self._store = store
        self._inputs = inputs

    async def fire(self, kind: str, session: SessionKeys, target: str) -> None:
        """Settle what is due; ``target`` is a turn, or ``-`` for the end of a whole tree."""
        if kind == "limit":
            await self._inputs.time_out(session, target)
        elif target == "-":
            await self._end(session)
        else:
            await self._cancel(session, target)

    async def _cancel(self, session: SessionKeys, turn: str) -> None:
        """Tell all below a cancelled turn, should whoever cancelled it have died on the way."""
        below = await self._inputs.cancel_below(session, _ABOVE)
        left = await self._store.redis.call("HGET", session.workspace.turn(turn), "children")
        await self._again(session, turn, over=not below or text(left) in {"", "0"})

    async def _end(self, session: SessionKeys) -> None:
        """End a root whose last descendant has ended meanwhile."""
        ending = await self._store.redis.call("HGET", session.hash, "ending")
        state = await self._inputs.end(session.workspace.id, session.id) if ending else "ended"
        await self._again(session, "-", over=state != "ending")

    async def _again(self, session: SessionKeys, target: str, *, over: bool) -> None:
        timers, member = session.workspace.shard.timers, session.timer("tree", target)
        if over:
            await self._store.redis.call("ZREM", timers, member)
        else:
            later = await redis_ms(self._store) + _AGAIN_MS
            await self._store.redis.call("ZADD", timers, "XX", later, member)
