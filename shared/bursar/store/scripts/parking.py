"""Typed calls of the scripts by which a turn waits, and goes on."""

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.events import Event, event_args
from bursar.leases import InboxItem, Lease
from bursar.store.codec import text
from bursar.store.scripts.fenced import run_fenced
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["MoneyWait", "Parking", "park", "park_for_money", "resume"]

_PARK = Script("turn_park")
_PARK_FOR_MONEY = Script("budget_park")
_RESUME = Script("turn_resume")


class MoneyWait(msgspec.Struct, frozen=True):
    """What a turn waits for: that an amount fits into an account.

    Args:
        cost_microusd: the least that it can go on with; likewise ``tokens``.
        keeps: whether what the account keeps back for a closing answer is out of reach.
        asks: body of the event for the first that asks people about the account.

    """

    account: str
    cost_microusd: int
    tokens: int
    keeps: bool
    asks: bytes


class Parking(enum.Enum):
    """What became of a turn that was to wait."""

    DONE = "ok"
    """It waits, and the lease was given back."""
    NEWS = "more"
    """Something unseen came in; look first."""
    FITS = "fits"
    """What it was to wait for is there."""


async def park(
    store: Store,
    lease: Lease,
    turn: str,
    *,
    reason: str,
    seen_seq: int,
    wake_ms: int,
    events: Sequence[Event],
) -> Parking:
    """Let go of a session whose turn waits, unless something unseen came in.

    Args:
        wake_ms: wake it after so many milliseconds; 0 means that only an inbox item wakes it.

    """
    session = lease.session
    ws = session.workspace
    shard = ws.shard
    keys = [*session.stateful, ws.turn(turn), shard.leases, shard.timers, shard.blocked_cap(ws.id)]
    args = [
        session.id,
        session.ref,
        turn,
        reason,
        seen_seq,
        session.timer("wake", turn),
        wake_ms,
        store.settings.event_log_max,
        *event_args(events),
    ]
    reply = await run_fenced(store, lease, _PARK, keys, args)
    return _parked(lease, reply)


async def park_for_money(
    store: Store,
    lease: Lease,
    turn: str,
    wait: MoneyWait,
    *,
    seen_seq: int,
    events: Sequence[Event],
) -> Parking:
    """Let go of a session whose turn waits for money, unless that fits by now."""
    session = lease.session
    ws = session.workspace
    shard = ws.shard
    keys = [
        *session.stateful,
        ws.turn(turn),
        shard.leases,
        shard.blocked_cap(ws.id),
        ws.account(wait.account),
        ws.waiters(wait.account),
        shard.waiting,
        ws.questions,
        shard.timers,
    ]
    args = [
        session.id,
        session.ref,
        turn,
        seen_seq,
        store.settings.event_log_max,
        wait.account,
        f"{ws.id} {wait.account}",
        wait.cost_microusd,
        wait.tokens,
        int(wait.keeps),
        wait.asks,
        *event_args(events),
    ]
    reply = await run_fenced(store, lease, _PARK_FOR_MONEY, keys, args)
    return _parked(lease, reply)


def _parked(lease: Lease, reply: list[Any]) -> Parking:
    if reply[0] in {"more", "fits"}:
        return Parking(text(reply[0]))
    lease.note_blocked(text(reply[2]))
    return Parking.DONE


async def resume(
    store: Store,
    lease: Lease,
    turn: str,
    items: Sequence[InboxItem],
    events: Sequence[Event],
    *,
    account: str = "ws",
    waiter: str = "",
) -> None:
    """A parked turn runs again; the items that woke it are dropped.

    Args:
        waiter: its place in the line of ``account``, if it waited for money.

    """
    session = lease.session
    ws = session.workspace
    keys = [
        *session.stateful,
        ws.turn(turn),
        session.inbox,
        ws.account(account),
        ws.waiters(account),
        ws.shard.timers,
    ]
    args = [
        session.ref,
        turn,
        waiter,
        store.settings.event_log_max,
        len(items),
        *(item.raw for item in items),
        *event_args(events),
    ]
    await run_fenced(store, lease, _RESUME, keys, args)
