"""How a turn waits without a worker: for a provider's time, for money, for people, for others."""

from collections.abc import Sequence

import msgspec

from bursar.events import Span
from bursar.leases import InboxItem
from bursar.store.scripts import parking
from bursar.store.scripts.parking import MoneyWait, Parking
from bursar_worker.money import Unpaid, keeping
from bursar_worker.questions import AwaitsAnswer
from bursar_worker.scope import Scope

__all__ = ["Parked", "Stopping", "Waited", "park", "resume"]


class Parked(Exception):
    """The provider asks to come back later: the turn should wait without a worker."""

    def __init__(self, wait_s: float, reason: str) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Stopping(Exception):
    """The turn is to end as its record says, as soon as the sub-agents it spawned have ended."""


class Waited(msgspec.Struct, frozen=True):
    """Fields of a turn's record about the money that it waited for."""

    waits_for: str = ""
    waiter: str = ""
    woken: str = ""
    woken_reason: str = ""


async def park(
    scope: Scope, span: Span, why: Parked | Unpaid | AwaitsAnswer | Stopping, seen_seq: int
) -> Parking:
    """Let the session go until what its turn waits for is there."""
    if isinstance(why, Unpaid):
        return await _park_for_money(scope, span, why, seen_seq)
    if isinstance(why, AwaitsAnswer):
        # Deadlines have timers of their own; only an inbox item wakes it.
        reason, wait_ms = "approval" if why.questions else "children", why.again_ms
        asks = {"approvals": why.questions} if why.questions else {}
        event = span.event("turn.waiting", reason=reason, tasks=why.joins, **asks)
    elif isinstance(why, Stopping):
        reason, wait_ms = "stopping", 0
        event = span.event("turn.waiting", reason=reason)
    else:
        reason, wait_ms = "rate_limited", max(1, int(why.wait_s * 1000))
        event = span.event("turn.waiting", reason=reason, detail=str(why), wake_in_ms=wait_ms)
    return await scope.writer.write(
        lambda: parking.park(
            scope.store,
            scope.lease,
            span.turn,
            reason=reason,
            seen_seq=seen_seq,
            wake_ms=wait_ms,
            events=[event],
        )
    )


async def resume(scope: Scope, span: Span, waited: Waited, items: Sequence[InboxItem]) -> None:
    """Have the turn run again; the items that woke it are dropped."""
    events = [span.event("turn.resumed")]
    if waited.waiter and waited.woken == "raised":
        events.insert(0, span.event("budget.raised", account=waited.waits_for))
    await scope.writer.write(
        lambda: parking.resume(
            scope.store,
            scope.lease,
            span.turn,
            items,
            events,
            account=waited.waits_for or "ws",
            waiter=waited.waiter,
        )
    )


async def _park_for_money(scope: Scope, span: Span, unpaid: Unpaid, seen_seq: int) -> Parking:
    details = unpaid.refused.details
    wait = MoneyWait(
        account=unpaid.account,
        cost_microusd=unpaid.cost_microusd,
        tokens=unpaid.tokens,
        keeps=unpaid.account in keeping(scope),
        asks=span.event("budget.exhausted", **details).body,
    )
    event = span.event("turn.waiting", reason="budget", **details)
    return await scope.writer.write(
        lambda: parking.park_for_money(
            scope.store, scope.lease, span.turn, wait, seen_seq=seen_seq, events=[event]
        )
    )
