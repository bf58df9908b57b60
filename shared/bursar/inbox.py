"""The way into a session: inputs, cancels and its end are recorded, then somebody is woken."""

import asyncio
import logging

import msgspec

from bursar import trees, turns
from bursar.audit.entries import SYSTEM
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.failpoints import failpoint
from bursar.ids import new_id
from bursar.leases import InboxItem
from bursar.messages import UserMessage
from bursar.queue import Bells
from bursar.registry import Registry
from bursar.sessions import locate, read_facts
from bursar.store.codec import encode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts import inputs, sessions
from bursar.store.scripts.inputs import IF_BUSY, Accepted, Busy, Facts
from bursar.store.scripts.leases import Ring, Told
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from bursar.turns import TurnView

__all__ = ["BY_REQUEST", "Inputs", "check_reason"]

logger = logging.getLogger(__name__)

_MAX_FACTS = 10_000
_MAX_TRIES = 20  # of an input whose session keeps changing while it is put
_MAX_REASON = 200
_AT_ONCE = 100
_ABOVE = "what it was for was cancelled"
_OVER = "its time is over"
BY_REQUEST = "on request"
"""Why a turn was cancelled, when nobody says more."""


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
        *,
        if_busy: str = IF_BUSY[0],
    ) -> Accepted:
        """Accept an input; it is durable when this returns, and runs after those before it.

        Args:
            if_busy: what to do when a turn is under way: ``enqueue`` behind all that wait,
                ``reject``, ``interrupt`` (cancel that turn, then as ``enqueue``), or ``inject``
                (that turn takes it in at its next step).

        Raises:
            InvalidInput: empty or too large.
            Conflict: the session has ended or is busy, the workspace was killed, or the
                Idempotency-Key came with another body.
            LimitReached: the inbox or the workspace's line is full.

        """
        if not message.text.strip():
            raise InvalidInput("expected some text", field="input")
        if if_busy not in IF_BUSY:
            raise InvalidInput(f"expected one of {', '.join(IF_BUSY)}", field="if_busy")
        session = locate(self._store, workspace, sid)
        tid = new_id("trn")
        payload = encode_message(msgspec.structs.replace(message, turn=tid))
        limit = self._store.settings.max_input_bytes
        if len(payload) > limit:
            raise InvalidInput(
                f"expected at most {limit} bytes", field="input", code="input_too_large"
            )
        busy = Busy(if_busy)
        for _ in range(_MAX_TRIES):
            facts = await self._facts_of(session)
            entry = await self._registry.find(facts.agent)
            if busy.needs_turn:
                busy = Busy(if_busy, await self._turn_of(session))
            failpoint("C0")
            accepted = await inputs.put_input(
                self._store,
                session,
                facts,
                turn=tid,
                payload=payload,
                idempotency=idempotency,
                no_worker=entry is None or not entry.live,
                busy=busy,
            )
            if accepted is not None:
                failpoint("C2")
                turn = "" if accepted.joined else accepted.turn
                await self._wake(session, facts.agent, facts.priority, accepted, turn)
                failpoint("C1")
                return accepted
            self._facts.pop(session.ref, None)
        raise Conflict("the session changes too fast, try again", code="session_changing")

    async def cancel(
        self, workspace: str, tid: str, reason: str = BY_REQUEST, *, actor: str = SYSTEM
    ) -> TurnView:
        """Record a cancel, then signal it. A turn that has ended stays as it ended.

        Args:
            reason: why, for people; stands in the turn and in its terminal event.

        """
        check_reason(reason)
        turn = await turns.get(self._store, workspace, tid)
        session = locate(self._store, workspace, turn.session)
        await self._cancel(session, tid, reason, actor=actor)
        await self.cancel_below(session, _ABOVE)
        return await turns.get(self._store, workspace, tid)

    async def time_out(self, session: SessionKeys, tid: str) -> None:
        """Cancel a sub-agent's turn whose time is over; one that waits by now goes on."""
        status = await self._cancel(session, tid, _OVER, code="timed_out", if_timed_out=True)
        if status != "asked":
            return
        # Many may be late at once, most of them without any; to look below reads the whole tree.
        spawned = await self._store.redis.call("HGET", session.workspace.turn(tid), "children")
        if text(spawned) not in {"", "0"}:
            await self.cancel_below(session, _ABOVE)

    async def cancel_below(self, session: SessionKeys, reason: str) -> int:
        """Cancel what was spawned below a session, and return how much of it had not ended.

        What was opened there by hand, or detached on purpose, goes on.
        """
        below = await trees.spawned_below(self._store, session)
        for start in range(0, len(below), _AT_ONCE):
            part = below[start : start + _AT_ONCE]
            await asyncio.gather(*(self.cancel_session(each, reason) for each in part))
        return len(below)

    async def _cancel(
        self,
        session: SessionKeys,
        tid: str,
        reason: str,
        *,
        code: str = "cancelled",
        if_timed_out: bool = False,
        actor: str = SYSTEM,
    ) -> str:
        cancelled = await inputs.cancel_turn(
            self._store,
            session,
            tid,
            reason,
            code=code,
            above=await trees.above(self._store, session),
            if_timed_out=if_timed_out,
            actor=actor,
        )
        if cancelled.told is not None:
            await self._bells.tell(cancelled.told)
        return cancelled.status

    async def cancel_session(self, session: SessionKeys, reason: str) -> None:
        """Cancel all that a session has to do: what waits first, so that none of it starts."""
        items = self._store.redis.call("LRANGE", session.inbox, 0, -1)
        current = await self._turn_of(session)
        waiting = [InboxItem.parse(item) for item in await items]
        queued = [item.target for item in waiting if item.kind == "input"]
        for tid in [*queued, *([current] if current else [])]:
            try:
                await self._cancel(session, tid, reason)
            except NotFound:
                logger.info("turn %s of %s is gone already", tid, session.ref)

    async def end(
        self, workspace: str, sid: str, *, force: bool = False, actor: str = SYSTEM
    ) -> str:
        """End a session: ``ended``, or ``ending`` while accepted inputs are worked off.

        Args:
            force: cancel what is running and what waits instead of finishing it.

        """
        session = locate(self._store, workspace, sid)
        for child in await trees.opened_below(self._store, session):
            await self.end(workspace, child.id, force=force, actor=actor)
        outcome = await sessions.end_session(self._store, session, actor=actor)
        if not force or outcome != "ending":
            return outcome
        await self.cancel_session(session, "the session was ended")
        await self.cancel_below(session, _ABOVE)
        state = await self._store.redis.call("HGET", session.hash, "state")
        return "ended" if text(state) == "ended" else "ending"

    async def _turn_of(self, session: SessionKeys) -> str:
        """The turn under way, if any."""
        return text(await self._store.redis.call("HGET", session.hash, "turn"))

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
        at: Accepted,
        turn: str = "",
    ) -> None:
        ring = Ring(session, agent, priority, at.epoch, at.inbox_seq, turn)
        await self._bells.tell(Told(ring, at.outcome, at.worker))


def check_reason(reason: str) -> str:
    """What a person gives as the reason of a cancel."""
    if not 1 <= len(reason) <= _MAX_REASON or not reason.isprintable():
        raise InvalidInput(f"expected 1-{_MAX_REASON} printable characters", field="reason")
    return reason
