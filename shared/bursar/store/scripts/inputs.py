"""Typed calls of the scripts by which the outside world moves a session: inputs and cancels."""

import msgspec

from bursar.events import Span
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import Idempotency, index_keys
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["Accepted", "Cancelled", "Facts", "cancel_turn", "put_input"]

_PUT = Script("inbox_put")
_CANCEL = Script("turn_cancel")


class Facts(msgspec.Struct, frozen=True):
    """What never changes in a session's life; cached, and checked by the script that uses it."""

    user: str
    workspace_path: str
    agent: str
    priority: str


class Accepted(msgspec.Struct, frozen=True):
    """An input that Redis has taken.

    ``outcome`` is ``ring``, ``held`` (by ``worker``), ``blocked``, or ``repeat`` when the
    Idempotency-Key was known.
    """

    turn: str
    outcome: str
    seq: int = 0
    worker: str = ""
    epoch: int = 0
    inbox_seq: int = 0


class Cancelled(msgspec.Struct, frozen=True):
    """``cancelled`` at once, ``asked`` (``outcome`` is ``ring`` or ``held``), or ``terminal``."""

    status: str
    outcome: str = ""
    worker: str = ""
    agent: str = ""
    priority: str = ""
    epoch: int = 0
    inbox_seq: int = 0


async def put_input(
    store: Store,
    session: SessionKeys,
    facts: Facts,
    *,
    turn: str,
    payload: bytes,
    idempotency: Idempotency,
    no_worker: bool,
) -> Accepted | None:
    """Accept an input. None: ``facts`` are not the session's; read them again.

    Args:
        payload: the input as an encoded message.
        no_worker: nobody alive serves the agent; the session waits until somebody does.

    """
    ws = session.workspace
    shard = ws.shard
    settings = store.settings
    keys = [
        *session.stateful,
        session.inbox,
        ws.turn(turn),
        idempotency.redis_key(ws),
        shard.ready,
        ws.hash,
        *index_keys(session, facts.user, facts.workspace_path),
        shard.blocked_paused(ws.id),
        shard.blocked_agent(facts.agent),
        shard.blocked,
    ]
    span = Span(session.id, turn)
    args = [
        session.id,
        session.ref,
        turn,
        payload,
        span.event("turn.queued").body,
        span.event("turn.waiting", reason="no_worker", agent=facts.agent).body,
        settings.event_log_max,
        settings.max_inbox,
        idempotency.fingerprint,
        int(settings.idempotency_ttl_s * 1000),
        facts.user,
        facts.workspace_path,
        facts.agent,
        facts.priority,
        int(no_worker),
    ]
    reply = await store.run(_PUT, keys, args)
    if reply[0] == "stale":
        return None
    if reply[0] == "repeat":
        return Accepted(text(reply[1]), "repeat")
    if reply[0] != "ok":
        raise_for(reply)
    return Accepted(
        text(reply[1]), text(reply[3]), int(reply[2]), text(reply[4]), int(reply[5]), int(reply[6])
    )


async def cancel_turn(store: Store, session: SessionKeys, turn: str) -> Cancelled:
    """Record that a turn is to be cancelled; a queued one ends at once."""
    settings = store.settings
    ws = session.workspace
    keys = [*session.stateful, session.inbox, ws.turn(turn), ws.shard.ready]
    args = [
        session.id,
        session.ref,
        turn,
        Span(session.id, turn).event("turn.cancelled", code="cancelled").body,
        Span(session.id).event("session.ended").body,
        settings.event_log_max,
        int(settings.event_log_ttl_s * 1000),
        int(settings.turn_ttl_s * 1000),
    ]
    reply = await store.run(_CANCEL, keys, args)
    if reply[0] == "not_found":
        raise_for(reply)
    if reply[0] != "asked":
        return Cancelled(reply[0])
    outcome, worker, agent, priority = map(text, reply[1:5])
    return Cancelled("asked", outcome, worker, agent, priority, int(reply[5]), int(reply[6]))
