"""Typed calls of the scripts by which a question is answered, runs out of time or is closed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.errors import Conflict, NotFound
from bursar.events import Span
from bursar.leases import Lease
from bursar.store.codec import pairs, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.leases import Told, read_told
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import index_keys
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "Answer",
    "Expired",
    "Grant",
    "Later",
    "answer",
    "answer_later",
    "close",
    "expire",
    "question_keys",
    "wake",
]

_ANSWER = Script("approval_answer")
_LATER = Script("approval_answer_later")
_EXPIRE = Script("approval_expire")
_CLOSE = Script("approval_close")
_WAKE = Script("approval_wake")


class Grant(msgspec.Struct, frozen=True):
    """What an answer grants beyond its call: an entry of the hash ``key``.

    ``left`` bounds its uses; ``until_ms`` is when the timer ``timer`` ends it; both may be empty.
    """

    key: str
    id: str
    body: bytes
    audit: bytes
    left: str = ""
    timer: str = ""
    until_ms: str = ""
    max: int = 0
    """Fields that the hash may have."""


class Answer(msgspec.Struct, frozen=True):
    """A person's answer.

    Args:
        state: ``approved`` or ``denied``.
        arguments_sha256: of the arguments that the person saw.
        fields: of the record; ``told`` is the body of the event about it.
        released: the turn has gone on without it, as the caller read it.

    """

    approval: str
    state: str
    arguments_sha256: str
    fields: Mapping[str, Any]
    told: bytes
    audit: bytes
    released: bool = False
    grant: Grant | None = None


class Later(msgspec.Struct, frozen=True):
    """The new turn in which a deferred call's answer arrives."""

    turn: str
    payload: bytes
    user: str
    workspace_path: str
    agent: str
    no_worker: bool


class Expired(Told, frozen=True):
    """Who is to be told that a question's time was over: it is ``deferred`` or ``expired`` now."""

    state: str = ""


def question_keys(session: SessionKeys, approval: str, grants: str = "") -> list[str]:
    """The first KEYS of every script about a question."""
    ws = session.workspace
    return [
        *session.stateful,
        session.inbox,
        ws.shard.ready,
        ws.hash,
        ws.audit,
        ws.events,
        ws.shard.outbox,
        ws.approval(approval),
        ws.approvals,
        session.approvals,
        ws.shard.timers,
        ws.repeats,
        session.effects,
        grants or ws.allowances,
    ]


async def answer(store: Store, session: SessionKeys, given: Answer, turn: str) -> Told | None:
    """Take the one answer to a question whose call waits. None: it was deferred meanwhile.

    Raises:
        Conflict: ``already_answered`` with who and what, ``other_call``, or ``approval_closed``.
        NotFound: no such question.

    """
    keys = question_keys(session, given.approval, given.grant.key if given.grant else "")
    reply = await store.run(_ANSWER, keys, [*_answer_args(store, session, given), turn])
    return _answered(session, reply)


async def answer_later(
    store: Store, session: SessionKeys, given: Answer, later: Later
) -> Told | None:
    """The same for a question whose turn has gone on: the answer becomes an input."""
    ws = session.workspace
    shard = ws.shard
    keys = [
        *question_keys(session, given.approval, given.grant.key if given.grant else ""),
        ws.turn(later.turn),
        *index_keys(session, later.user, later.workspace_path),
        shard.blocked_paused(ws.id),
        shard.blocked_agent(later.agent),
        shard.blocked,
    ]
    span = Span(session.id, later.turn)
    args = [
        *_answer_args(store, session, given),
        session.id,
        later.turn,
        later.payload,
        span.event("turn.queued").body,
        span.event("turn.waiting", reason="no_worker", agent=later.agent).body,
        int(later.no_worker),
        store.settings.max_inbox,
    ]
    return _answered(session, await store.run(_LATER, keys, args), later.turn)


def _answer_args(store: Store, session: SessionKeys, given: Answer) -> list[Any]:
    grant = given.grant
    return [
        session.ref,
        given.approval,
        session.timer("approval", given.approval),
        given.arguments_sha256,
        given.state,
        int(given.released),
        int(store.settings.turn_ttl_s * 1000),
        store.settings.event_log_max,
        given.told,
        given.audit,
        *pairs(given.fields),
        *(
            (grant.id, grant.body, grant.left, grant.timer, grant.until_ms, grant.audit, grant.max)
            if grant
            else ("",) * 7
        ),
    ]


async def expire(
    store: Store,
    session: SessionKeys,
    approval: str,
    *,
    turn: str,
    told: bytes,
    audit: bytes,
    early: str = "",
) -> Expired | None:
    """A question's time is over. None: it is not, or the question is gone.

    Args:
        early: the person who brings it about, because nobody can decide now.

    """
    args = [
        session.ref,
        approval,
        session.timer("approval", approval),
        early,
        int(store.settings.deferred_ttl_s * 1000),
        int(store.settings.turn_ttl_s * 1000),
        store.settings.event_log_max,
        told,
        audit,
        turn,
    ]
    reply = await store.run(_EXPIRE, question_keys(session, approval), args)
    if reply[0] in {"deferred", "expired"}:
        told_by = read_told(session, reply[1:])
        return Expired(told_by.ring, told_by.outcome, told_by.worker, text(reply[0]))
    if early and reply[0] != "not_due":
        _refuse(reply)
    return None


async def close(
    store: Store,
    session: SessionKeys,
    approval: str,
    *,
    state: str,
    why: str,
    told: bytes,
    audit: bytes,
    lease: Lease | None = None,
) -> str:
    """Close a question without an answer; returns the state that it is in.

    Args:
        lease: of the drive that closes it; None for one who holds none.

    """
    args = [
        lease.epoch if lease else "",
        lease.owner if lease else "",
        approval,
        session.timer("approval", approval),
        state,
        why,
        int(store.settings.turn_ttl_s * 1000),
        store.settings.event_log_max,
        told,
        audit,
    ]
    reply = await store.run(_CLOSE, question_keys(session, approval), args)
    if reply[0] == "fenced":
        raise_for(reply)
    return text(reply[1]) if reply[0] == "already" else state


async def wake(store: Store, session: SessionKeys, approval: str, turn: str) -> Told | None:
    """Let a session look at its question again, because something was granted."""
    keys = question_keys(session, approval)
    reply = await store.run(_WAKE, keys, [session.ref, turn])
    return None if reply[0] == "gone" else read_told(session, reply)


def _answered(session: SessionKeys, reply: list[Any], turn: str = "") -> Told | None:
    if reply[0] == "stale":
        return None
    if reply[0] != "ok":
        _refuse(reply)
    return read_told(session, reply[1:], turn)


def _refuse(reply: list[Any]) -> None:
    if reply[0] == "no_approval":
        raise NotFound("no such question in this workspace", code="approval_not_found")
    if reply[0] != "answered":
        raise_for(reply)
    state, by, decision, note = map(text, reply[1:5])
    if state == "deferred":
        raise Conflict("it was deferred before, and can still be answered", code="already_deferred")
    details = {"state": state, "answered_by": by, "decision": decision, "note": note}
    if state in {"approved", "denied", "consumed"}:
        raise Conflict(f"{by} answered it before: {decision}", code="already_answered", **details)
    raise Conflict(f"it is {state} and takes no answer any more", code="approval_closed", **details)
