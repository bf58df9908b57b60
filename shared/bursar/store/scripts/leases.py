"""Typed calls of the scripts that claim, keep and give back sessions, and that wake them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.events import Span
from bursar.leases import Claimed, ClaimRefused, InboxItem, Lease
from bursar.store.codec import hash_fields, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import ended_record
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "RENEW",
    "Claimant",
    "Ring",
    "Told",
    "claim",
    "fire_timer",
    "read_told",
    "reap",
    "release",
    "renew_command",
    "ring_again",
    "ring_of",
    "take_inbox",
    "unblock",
]

_CLAIM = Script("lease_claim")
RENEW = Script("lease_renew")
_RELEASE = Script("lease_release")
_REAP = Script("lease_reap")
_RING = Script("ready_ring")
_UNBLOCK = Script("session_unblock")
_TIMER = Script("timer_fire")
_TAKE = Script("inbox_take")


class Ring(msgspec.Struct, frozen=True):
    """A session that is ready and wants a bell. ``again`` tells repeats of a bell apart."""

    session: SessionKeys
    agent: str
    priority: str
    epoch: int
    inbox_seq: int
    turn: str = ""
    """The queued turn that made it ready, if that is what did."""
    again: str = ""


class Told(msgspec.Struct, frozen=True):
    """How somebody is to be told of news in a session; `bursar.queue.Bells.tell` takes these.

    ``outcome`` is to ``ring``, or that ``worker`` has it ``held``; nobody is told of any other.
    """

    ring: Ring
    outcome: str
    worker: str = ""


def read_told(session: SessionKeys, reply: Sequence[Any], turn: str = "") -> Told:
    """Read what a script says of it: ``outcome worker agent priority epoch inbox_seq``."""
    outcome, worker, agent, priority = map(text, reply[:4])
    return Told(Ring(session, agent, priority, int(reply[4]), int(reply[5]), turn), outcome, worker)


class Claimant(msgspec.Struct, frozen=True):
    """Who wants to drive: a worker that serves ``agents``."""

    worker: str
    agents: tuple[str, ...]
    lease_ms: int


async def claim(
    store: Store,
    session: SessionKeys,
    claimant: Claimant,
    *,
    owner: str,
    item: InboxItem | None = None,
    take_over: bool = True,
    alone: bool = True,
) -> Claimed | ClaimRefused:
    """Try to become the one who drives ``session``. Safe to repeat with the same ``owner``.

    Args:
        item: the input that the bell was about; if it is the next, its turn begins with the claim.
        take_over: whether a lease that ran out may be taken from its owner.
        alone: whether a session may be taken that may have taken down two workers in a row.

    """
    ws = session.workspace
    shard = ws.shard
    keys = [
        *session.stateful,
        session.inbox,
        session.effects,
        shard.leases,
        shard.ready,
        ws.hash,
        shard.blocked_paused(ws.id),
        shard.blocked_cap(ws.id),
        shard.blocked,
        ws.turn(item.target if item else ""),
        session.messages,
        shard.timers,
    ]
    span = Span(session.id, item.target if item else "")
    args = [
        session.id,
        session.ref,
        owner,
        claimant.worker,
        claimant.lease_ms,
        int(take_over),
        int(alone),
        item.raw if item else "",
        span.turn,
        span.event("turn.started", worker=claimant.worker).body,
        store.settings.event_log_max,
        store.settings.max_tree_running,
        len(claimant.agents),
        *claimant.agents,
    ]
    reply = await store.run(_CLAIM, keys, args)
    if reply[0] != "ok":
        return ClaimRefused(reply[0], text(reply[1]) if len(reply) > 1 else "")
    return Claimed(
        lease=Lease(session, int(reply[1]), owner),
        takeover=text(reply[2]) == "1",
        fields={field: text(value) for field, value in hash_fields(reply[3]).items()},
        inbox=[InboxItem.parse(item) for item in reply[4]],
        effects=hash_fields(reply[5]),
    )


def renew_command(leases: Sequence[Lease], *, lease_ms: int) -> tuple[list[str], list[str | int]]:
    """KEYS and ARGV that renew leases of one shard; the heartbeat sends them on its own connection.

    The reply has an answer for each: the number of its newest inbox item, or ``fenced``.
    """
    shard = leases[0].session.workspace.shard
    keys = [shard.leases, shard.ready, *(lease.session.hash for lease in leases)]
    args: list[str | int] = [lease_ms, len(leases)]
    for lease in leases:
        args += [lease.session.ref, lease.epoch, lease.owner]
    return keys, args


async def release(store: Store, lease: Lease) -> Ring | None:
    """Give the session back. The returned ring, if any, must be rung.

    Raises:
        Fenced: it was not ours any more.

    """
    session = lease.session
    shard = session.workspace.shard
    keys = [
        *session.stateful,
        session.inbox,
        shard.leases,
        shard.ready,
        shard.blocked_cap(session.workspace.id),
        session.workspace.hash,
        session.workspace.audit,
        shard.timers,
    ]
    args = [
        session.id,
        session.ref,
        lease.epoch,
        lease.owner,
        Span(session.id).event("session.ended").body,
        ended_record(session),
        store.settings.event_log_max,
        int(store.settings.event_log_ttl_s * 1000),
        session.timer("ended", "-"),
    ]
    reply = await store.run(_RELEASE, keys, args)
    if reply[0] != "ok":
        raise_for(reply)
    lease.note_blocked(text(reply[2]))
    if text(reply[1]) == "rest":
        return None
    return Ring(session, text(reply[3]), text(reply[4]), lease.epoch, int(reply[5]))


async def reap(store: Store, session: SessionKeys) -> Ring | None:
    """Make a session whose lease ran out ready again."""
    shard = session.workspace.shard
    reply = await store.run(_REAP, [session.hash, shard.leases, shard.ready], [session.ref])
    return _ring(session, reply)


async def ring_again(store: Store, session: SessionKeys) -> Ring | None:
    """Repeat the bell of a session that has been ready for too long."""
    shard = session.workspace.shard
    reply = await store.run(_RING, [session.hash, shard.ready], [session.ref])
    return _ring(session, reply)


async def ring_of(store: Store, session: SessionKeys) -> Ring | None:
    """A further bell for a session, whatever its state; None if it is gone."""
    reply = await store.redis.call(
        "HMGET", session.hash, "agent", "priority", "epoch", "inbox_seq", "lease_until_ms"
    )
    if reply[0] is None:
        return None
    agent, priority, epoch, inbox_seq, again = map(text, reply)
    return Ring(session, agent, priority, int(epoch), int(inbox_seq), again=f"passed-{again}")


async def unblock(store: Store, session: SessionKeys, *, why: str, list_key: str) -> Ring | None:
    """Let a blocked session run if what stopped it is over."""
    ws = session.workspace
    shard = ws.shard
    keys = [session.hash, ws.stats, shard.ready, ws.hash, list_key, shard.blocked, session.tree]
    args = [session.ref, why, store.settings.max_tree_running]
    return _ring(session, await store.run(_UNBLOCK, keys, args))


async def fire_timer(store: Store, session: SessionKeys, *, member: str, turn: str) -> Ring | None:
    """Wake a turn that was parked until now."""
    shard = session.workspace.shard
    keys = [session.hash, shard.timers, session.inbox, shard.ready]
    return _ring(session, await store.run(_TIMER, keys, [member, session.ref, turn]))


async def take_inbox(
    store: Store, lease: Lease, done: list[InboxItem]
) -> tuple[int, list[InboxItem]]:
    """Drop items that were dealt with; return the newest item's number and what is left."""
    session = lease.session
    args = [lease.epoch, lease.owner, len(done), *(item.raw for item in done)]
    reply = await store.run(_TAKE, [session.hash, session.inbox], args)
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1]), [InboxItem.parse(item) for item in reply[2]]


def _ring(session: SessionKeys, reply: list[object]) -> Ring | None:
    if reply[0] != "ring":
        return None
    agent, priority, epoch, inbox_seq, *again = map(text, reply[1:])
    return Ring(session, agent, priority, int(epoch), int(inbox_seq), again="".join(again))
