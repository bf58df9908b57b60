"""The way into a session: inputs, cancels and its end are recorded, then somebody is woken."""

import logging

import msgspec

from bursar import turns
from bursar.errors import InvalidInput, StoreUnavailable
from bursar.ids import new_id
from bursar.leases import InboxItem
from bursar.messages import UserMessage
from bursar.queue import Bells
from bursar.registry import Registry
from bursar.sessions import locate, read_facts
from bursar.store.codec import encode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts import inputs, sessions
from bursar.store.scripts.inputs import Accepted, Cancelled, Facts
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from bursar.turns import TurnView

__all__ = ["Inputs"]

logger = logging.getLogger(__name__)

_MAX_FACTS = 10_000


class Inputs:
    """The way in: accepts inputs and cancels, and makes sure that somebody comes to look."""

    def __init__(self, store: Store, registry: Registry, bells: Bells) -> None:
        self._store = store
        self._registry = registry
        self._bells = bells
        self._facts: dict[str, Facts] = {}

    async def put(
        self,
        workspace: str,
        sid: str,
        message: UserMessage,
        idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    ) -> Accepted:
        """Accept an input; it is durable when this returns, and runs after those before it.

        Raises:
            InvalidInput: empty or too large.
            Conflict: the session has ended, or the Idempotency-Key came with another body.
            LimitReached: the inbox is full.

        """
        if not message.text.strip():
            raise InvalidInput("expected some text", field="input")
        session = locate(self._store, workspace, sid)
        tid = new_id("trn")
        payload = encode_message(msgspec.structs.replace(message, turn=tid))
        limit = self._store.settings.max_input_bytes
        if len(payload) > limit:
            raise InvalidInput(
                f"expected at most {limit} bytes", field="input", code="input_too_large"
            )
        while True:
            facts = await self._facts_of(session)
            entry = await self._registry.find(facts.agent)
            accepted = await inputs.put_input(
                self._store,
                session,
                facts,
                turn=tid,
                payload=payload,
                idempotency=idempotency,
                no_worker=entry is None or not entry.live,
            )
            if accepted is not None:
                break
            self._facts.pop(session.ref, None)
        await self._wake(session, facts.agent, facts.priority, accepted, accepted.turn)
        return accepted

    async def cancel(self, workspace: str, tid: str) -> TurnView:
        """Record a cancel, then signal it. A turn that has ended stays as it ended."""
        turn = await turns.get(self._store, workspace, tid)
        session = locate(self._store, workspace, turn.session)
        cancelled = await inputs.cancel_turn(self._store, session, tid)
        if cancelled.status == "asked":
            await self._wake(session, cancelled.agent, cancelled.priority, cancelled)
        return await turns.get(self._store, workspace, tid)

    async def end(self, workspace: str, sid: str, *, force: bool = False) -> str:
        """End a session: ``ended``, or ``ending`` while accepted inputs are worked off.

        Args:
            force: cancel what is running and what waits instead of finishing it.

        """
        session = locate(self._store, workspace, sid)
        outcome = await sessions.end_session(self._store, session)
        if not force or outcome != "ending":
            return outcome
        items = self._store.redis.call("LRANGE", session.inbox, 0, -1)
        current = text(await self._store.redis.call("HGET", session.hash, "turn"))
        waiting = [InboxItem.parse(item) for item in await items]
        queued = [item.target for item in waiting if item.kind == "input"]
        for tid in [*queued, *([current] if current else [])]:
            await self.cancel(workspace, tid)
        state = await self._store.redis.call("HGET", session.hash, "state")
        return "ended" if text(state) == "ended" else "ending"

    async def _facts_of(self, session: SessionKeys) -> Facts:
        facts = self._facts.get(session.ref)
        if facts is None:
            facts = await read_facts(self._store, session)
            if len(self._facts) >= _MAX_FACTS:
                self._facts.clear()
            self._facts[session.ref] = facts
        return facts

    async def _wake(
        self,
        session: SessionKeys,
        agent: str,
        priority: str,
        at: Accepted | Cancelled,
        turn: str = "",
    ) -> None:
        try:
            if at.outcome == "ring":
                ring = Ring(session, agent, priority, at.epoch, at.inbox_seq, turn)
                await self._bells.ring(ring)
            elif at.outcome == "held":
                await self._bells.poke(at.worker, session.ref)
        except StoreUnavailable as error:
            # What was accepted is durable; the sweeper and the heartbeat find it without a bell.
            logger.warning("nobody could be told of %s: %s", session.ref, error)
