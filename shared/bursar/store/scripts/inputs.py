"""Typed calls of the scripts by which the outside world moves a session: inputs and cancels."""

from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.events import Span
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.above import Above, told_above
from bursar.store.scripts.leases import Told, read_told
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import Idempotency, ended_record, index_keys
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "IF_BUSY",
    "Accepted",
    "Busy",
    "Cancelled",
    "Facts",
    "cancel_turn",
    "put_input",
    "queue_keys",
]

IF_BUSY = ("enqueue", "reject", "interrupt", "inject")

_PUT = Script("inbox_put")
_CANCEL = Script("turn_cancel")


class Facts(msgspec.Struct, frozen=True):
    """What never changes in a session's life; cached, and checked by the script that uses it."""

    user: str
    workspace_path: str
    agent: str
    priority: str


class Busy(msgspec.Struct, frozen=True):
    """What an input does beside a turn that is under way.

    ``policy`` is one of `IF_BUSY`; ``turn`` is the turn under way, as far as the caller knows.
    """

    policy: str = "enqueue"
    turn: str = ""

    @property
    def needs_turn(self) -> bool:
        return self.policy in {"interrupt", "inject"}


class Accepted(msgspec.Struct, frozen=True):
    """An input that Redis has taken.

    ``outcome`` is ``ring``, ``held`` (by ``worker``), ``blocked``, or ``repeat`` when the
    Idempotency-Key was known. ``joined`` says that ``turn`` was under way and takes the input in.
    """

    turn: str
    outcome: str
    seq: int = 0
    worker: str = ""
    epoch: int = 0
    inbox_seq: int = 0
    joined: bool = False


class Cancelled(msgspec.Struct, frozen=True):
    """``cancelled`` at once, ``asked``, ``terminal``, or ``not_due``.

    ``told`` is how the session's driver is told if it was asked, and the session above otherwise.
    """

    status: str
    told: Told | None = None


def queue_keys(
    session: SessionKeys, facts: Facts, turn: str, idempotency: Idempotency
) -> list[str]:
    """The first KEYS of the scripts that put a turn in line once for an Idempotency-Key."""
    ws = session.workspace
    shard = ws.shard
    return [
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


async def put_input(
    store: Store,
    session: SessionKeys,
    facts: Facts,
    *,
    turn: str,
    payload: bytes,
    idempotency: Idempotency,
    no_worker: bool,
    busy: Busy,
) -> Accepted | None:
    """Accept an input. None: ``facts`` or ``busy`` are not the session's; read them again.

    Args:
        payload: the input as an encoded message.
        no_worker: nobody alive serves the agent; the session waits until somebody does.

    """
    ws = session.workspace
    settings = store.settings
    keys = [
        *queue_keys(session, facts, turn, idempotency),
        ws.turn(busy.turn),
        session.account,
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
        settings.max_queued,
        idempotency.fingerprint,
        int(settings.idempotency_ttl_s * 1000),
        facts.user,
        facts.workspace_path,
        facts.agent,
        facts.priority,
        int(no_worker),
        busy.policy,
        busy.turn,
        "interrupted by a newer input",
    ]
    return _accepted(await store.run(_PUT, keys, args))


def _accepted(reply: list[Any]) -> Accepted | None:
    if reply[0] == "stale":
        return None
    if reply[0] == "repeat":
        joined = len(reply) > 2
        return Accepted(text(reply[1]), "repeat", int(reply[2]) if joined else 0, joined=joined)
    if reply[0] not in {"ok", "injected"}:
        raise_for(reply)
    return Accepted(
        turn=text(reply[1]),
        outcome=text(reply[3]),
        seq=int(reply[2]),
        worker=text(reply[4]),
        epoch=int(reply[5]),
        inbox_seq=int(reply[6]),
        joined=reply[0] == "injected",
    )


async def cancel_turn(
    store: Store,
    session: SessionKeys,
    turn: str,
    reason: str,
    *,
    code: str = "cancelled",
    above: Above = Above(),  # noqa: B008  (frozen)
    if_timed_out: bool = False,
    actor: str = SYSTEM,
) -> Cancelled:
    """Record that a turn is to be cancelled; a queued one ends at once.

    Only what people ask for is an audit entry: the others follow from something that is one.

    Args:
        code: why, in one word, as the turn's record and its terminal event say it.
        above: the turn that spawned the session.
        if_timed_out: only if its time limit has passed by now.

    """
    settings = store.settings
    ws = session.workspace
    keys = [
        *session.stateful,
        session.inbox,
        ws.turn(turn),
        ws.shard.ready,
        ws.hash,
        ws.audit,
        ws.shard.timers,
        session.account,
        ws.shard.blocked,
        *above.keys(session),
    ]
    asked = Record(
        workspace=ws.id,
        actor=actor,
        action="turn.cancel",
        decision="done",
        session=session.id,
        turn=turn,
        reason=reason,
    )
    args = [
        session.id,
        session.ref,
        turn,
        code,
        reason,
        int(if_timed_out),
        Span(session.id, turn).event("turn.cancelled", code=code, reason=reason).body,
        Span(session.id).event("session.ended").body,
        settings.event_log_max,
        int(settings.event_log_ttl_s * 1000),
        int(settings.turn_ttl_s * 1000),
        b"" if actor == SYSTEM else asked.body,
        ended_record(session),
        session.timer("ended", "-"),
        *above.args(session, turn, "cancelled", code),
    ]
    reply = await store.run(_CANCEL, keys, args)
    if reply[0] == "not_found":
        raise_for(reply)
    if reply[0] == "asked":
        return Cancelled("asked", read_told(session, reply[1:]))
    return Cancelled(reply[0], told_above(session, above.parent, reply[1:]))
