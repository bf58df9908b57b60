"""Typed calls of the scripts that change accounts: limits, periods, resets."""

from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["LimitWish", "reset_account", "set_limit", "set_period"]

_LIMIT = Script("account_limit")
_PERIOD = Script("account_period")
_RESET = Script("account_reset")


class LimitWish(msgspec.Struct, frozen=True):
    """What to change of an account, as text; empty leaves a value as it is.

    Args:
        limit: micro-USD or ``unlimited``; ``token_limit`` likewise.
        per_turn: micro-USD, or ``none`` to take the cap away.
        acknowledge: let an account go on that was frozen because it was overdrawn.

    """

    limit: str = ""
    token_limit: str = ""
    per_action: str = ""
    per_turn: str = ""
    warn_percent: str = ""
    acknowledge: bool = False


async def set_limit(
    store: Store,
    workspace: str,
    account: str,
    wish: LimitWish,
    *,
    change_id: str,
    actor: str = SYSTEM,
) -> bool:
    """Change limits with a ledger entry; True if turns wait for money of the account.

    Raises:
        Conflict: the id was used for another change (``id_conflict``).
        InvalidInput: something is no amount, or an action may cost more than the limit.
        NotFound: no such account.

    """
    ws = store.workspace(workspace)
    keys = [
        ws.account(account),
        ws.ledger,
        ws.idempotency("limit", change_id),
        ws.questions,
        ws.hash,
        ws.audit,
    ]
    wished = {name: value for name in wish.__struct_fields__ if (value := getattr(wish, name))}
    args: list[Any] = [
        account,
        change_id,
        wish.limit,
        wish.token_limit,
        wish.per_action,
        wish.per_turn,
        wish.warn_percent,
        store.settings.closing_microusd if account.startswith("s:") else 0,
        store.settings.per_action_limit_microusd,
        int(wish.acknowledge),
        int(store.settings.idempotency_ttl_s * 1000),
        _body(ws, actor, "budget.limit", account, change_id, wished),
    ]
    reply = await store.run(_LIMIT, keys, args)
    if reply[0] == "repeat":
        return True  # the first one may not have lived to wake them
    if reply[0] != "ok":
        raise_for(reply)
    return text(reply[4]) != "0"


async def set_period(
    store: Store,
    workspace: str,
    account: str,
    *,
    change_id: str,
    period: str,
    time_zone: str,
    resets_ms: int,
    actor: str = SYSTEM,
) -> None:
    """Let an account start anew at ``resets_ms`` and each ``period`` after it; ``none`` ends that.

    Raises:
        InvalidInput: the first reset is not in the future (``period_past``).
        NotFound: no such account.

    """
    ws = store.workspace(workspace)
    idem = ws.idempotency("period", change_id)
    keys = [ws.account(account), ws.ledger, ws.shard.timers, idem, ws.hash, ws.audit]
    ttl_ms = int(store.settings.idempotency_ttl_s * 1000)
    timer = ws.period_timer(account)
    wished = {"period": period, "time_zone": time_zone, "resets_ms": resets_ms}
    body = _body(ws, actor, "budget.period", account, change_id, wished)
    args = [account, change_id, timer, period, time_zone, resets_ms, ttl_ms, body]
    reply = await store.run(_PERIOD, keys, args)
    if reply[0] not in {"ok", "repeat"}:
        raise_for(reply)


async def reset_account(
    store: Store,
    workspace: str,
    account: str,
    *,
    change_id: str,
    due_ms: int | None = None,
    next_ms: int = 0,
    actor: str = SYSTEM,
) -> bool:
    """Start an account anew; True if turns wait for money of it.

    Args:
        due_ms: the reset that the account's timer is for; None for one that people ask for.
        next_ms: the reset after it.

    """
    ws = store.workspace(workspace)
    idem = ws.idempotency("reset", change_id)
    keys = [
        ws.account(account),
        ws.ledger,
        ws.shard.timers,
        idem,
        ws.questions,
        ws.hash,
        ws.audit,
    ]
    ttl_ms = int(store.settings.idempotency_ttl_s * 1000)
    due = "" if due_ms is None else due_ms
    body = _body(ws, actor, "budget.reset", account, change_id, {})
    args = [account, change_id, ws.period_timer(account), due, next_ms, ttl_ms, body]
    reply = await store.run(_RESET, keys, args)
    if reply[0] == "ok":
        return text(reply[2]) != "0"
    if reply[0] not in {"repeat", "kept"}:
        raise_for(reply)
    return bool(reply[0] == "repeat")


def _body(
    ws: WorkspaceKeys,
    actor: str,
    action: str,
    account: str,
    change_id: str,
    wished: dict[str, Any],
) -> bytes:
    """The audit entry of a change; the ledger's entry with the same id has the figures."""
    kind, _, sid = account.partition(":")
    return Record(
        workspace=ws.id,
        actor=actor,
        action=action,
        decision="done",
        session=sid if kind == "s" else "",
        details={"account": account, "id": change_id, **wished},
    ).body
