"""Typed calls of the scripts that make jobs and move them on."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.events import Span
from bursar.leases import Lease
from bursar.registry import redis_ms
from bursar.store.codec import pairs, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.fenced import run_fenced
from bursar.store.scripts.inputs import Facts, queue_keys
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import Idempotency
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "ROUND_PART",
    "Round",
    "StartedJob",
    "add_to_round",
    "expect",
    "fill",
    "give_up",
    "start",
]

_FILL = Script("job_fill")
_START = Script("job_start")
_ROUND = Script("job_round")
_LAPSE = Script("job_lapse")
_OPENING_MS = 60_000  # how long the making of a job may stand still before it counts as dead
_CLEARING_MS = 10_000  # what whoever clears one away has for that before another tries
ROUND_PART = 500
"""Slots a script, so that it stays below a millisecond."""


class StartedJob(msgspec.Struct, frozen=True):
    """``ring`` is None if nobody is to be told: it is blocked, or was started before."""

    turn: str
    ring: Ring | None = None


async def expect(store: Store, session: SessionKeys) -> None:
    """Have a job cleared away that is never started; before it is there, so none is forgotten."""
    due_ms = await redis_ms(store) + _OPENING_MS
    timers = session.workspace.shard.timers
    await store.redis.call("ZADD", timers, due_ms, session.timer("job", "-"))


async def fill(
    store: Store, session: SessionKeys, fields: Mapping[str, bytes], *, start: int, until: int
) -> int:
    """Write the inputs of places ``start`` to ``until``, which is the first that is not written.

    Returns up to where there are inputs now. If that is not ``until``, another writes them too: go
    on from there.

    Raises:
        NotFound: it was given up and deleted meanwhile.
        Conflict: it was given up, or somebody ended it.

    """
    keys = [session.hash, session.joins, session.workspace.shard.timers]
    args = [session.timer("job", "-"), _OPENING_MS, start, until, *pairs(fields)]
    reply = await store.run(_FILL, keys, args)
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1])


async def start(
    store: Store,
    session: SessionKeys,
    facts: Facts,
    *,
    turn: str,
    payload: bytes,
    total: int,
    no_worker: bool,
    again: bool = False,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
) -> StartedJob:
    """Start a job whose inputs are all there; ``again``: one that has ended, for what failed.

    Raises:
        Conflict: it is at work, it has ended for good, or nothing of it failed.
        LimitReached: too much waits in the workspace.

    """
    ws, settings = session.workspace, store.settings
    span = Span(session.id, turn)
    keys = [
        *queue_keys(session, facts, turn, idempotency),
        ws.shard.timers,
        ws.jobs,
    ]
    args = [
        session.id,
        session.ref,
        turn,
        payload,
        span.event("turn.queued").body,
        span.event("turn.waiting", reason="no_worker", agent=facts.agent).body,
        settings.event_log_max,
        settings.max_queued,
        idempotency.fingerprint,
        int(settings.idempotency_ttl_s * 1000),
        int(no_worker),
        total,
        session.timer("job", "-"),
        int(again),
    ]
    return _started(session, await store.run(_START, keys, args))


def _started(session: SessionKeys, reply: list[Any]) -> StartedJob:
    if reply[0] == "repeat":
        return StartedJob(text(reply[1]))
    if reply[0] != "ok":
        raise_for(reply)
    turn, outcome, epoch, inbox_seq, agent, priority = map(text, reply[1:])
    if outcome != "ring":
        return StartedJob(turn)
    return StartedJob(turn, Ring(session, agent, priority, int(epoch), int(inbox_seq), turn))


class Round(msgspec.Struct, frozen=True):
    """Items of a job that are to be run, by a turn of it.

    Args:
        number: of the round in its turn, from 1.
        size: how many items it has, of which ``window`` are open at once.

    """

    turn: str
    number: int
    size: int
    window: int


async def add_to_round(
    store: Store, lease: Lease, new: Round, slots: Sequence[int], *, at: int, begins: bool
) -> None:
    """Write the next slots of a round, behind ``at`` others; with the last ones it ``begins``.

    A round that begins without any is about all items in their order, of which none was run before.
    At most `ROUND_PART` at once.
    """
    session = lease.session
    keys = [session.hash, session.workspace.turn(new.turn), session.joins]
    args = [new.turn, new.number, new.window, new.size, len(slots), *slots]
    args += [at, int(begins)]
    await run_fenced(store, lease, _ROUND, keys, args)


async def give_up(store: Store, session: SessionKeys, idempotency: Idempotency) -> bool:
    """Whether a job was not started in time; nobody can complete it any more then."""
    ws = session.workspace
    keys = [session.hash, ws.shard.timers, idempotency.redis_key(ws)]
    reply = await store.run(_LAPSE, keys, [session.timer("job", "-"), session.id, _CLEARING_MS])
    return bool(reply[0] == "lapsed")
