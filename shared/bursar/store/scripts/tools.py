"""Typed calls of the scripts through which a tool call passes: it starts, or people are asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from bursar.events import Event, event_args
from bursar.gate.requests import Use
from bursar.leases import Lease
from bursar.store.codec import pairs, text
from bursar.store.scripts.allowances import ALLOWANCE_KEEP_MS, allowance_timer
from bursar.store.scripts.approvals import question_keys
from bursar.store.scripts.budgets import (
    HoldRef,
    HoldWish,
    Path,
    hold_of,
    raise_unheld,
    wish_args,
    wish_keys,
)
from bursar.store.scripts.fenced import run_fenced
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["Asked", "Permit", "StartedCall", "ask", "start_tool"]

_START = Script("tool_start")
_ASK = Script("approval_ask")


class Permit(msgspec.Struct, frozen=True):
    """What lets a call start.

    Args:
        version: of the snapshot by which the gate decided.
        use: what the call uses up.
        audit: body of the decision's entry.
        hold: what the call costs, to be held on ``path``.
        once: the call must not be repeated, so the mark that it was sent must not be lost.

    """

    version: str
    use: Use
    audit: bytes
    hold: HoldWish | None = None
    once: bool = False


class StartedCall(msgspec.Struct, frozen=True):
    """``stale``: rules or grants have changed, decide anew. ``void``: the approval is no good."""

    status: Literal["ok", "stale", "void"]
    hold: HoldRef | None = None
    why: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What became of a question.

    ``merged``: the same call waits in the deferred queue as the question ``id``.
    """

    status: Literal["ok", "merged", "stale", "too_many"]
    id: str = ""


async def start_tool(
    store: Store,
    lease: Lease,
    call_field: str,
    events: Sequence[Event],
    permit: Permit,
    path: Path,
) -> StartedCall:
    """Let a tool call start: only after this may its effect begin.

    Raises:
        BudgetRefused: an account of the path refuses what it costs. Nothing was changed.

    """
    session = lease.session
    ws = session.workspace
    use, wish = permit.use, permit.hold
    root = ws.session(use.root or session.id)
    keys = [
        *session.counted,
        session.effects,
        ws.hash,
        ws.audit,
        root.allowances if use.root else ws.allowances,
        ws.revoked,
        ws.used,
        ws.approval(use.id if use.kind == "approval" else ""),
        ws.shard.timers,
        *(wish_keys(session, path, wish) if wish else ()),
    ]
    parts = list(use.parts)
    if use.kind == "allowance":
        parts += [allowance_timer(ws, use.root, use.id), ALLOWANCE_KEEP_MS]
    args = [
        call_field,
        permit.version,
        int(permit.once),
        permit.audit,
        store.settings.event_log_max,
        *event_args(events),
        use.kind,
        len(parts),
        *parts,
        *(wish_args(session, path, wish) if wish else ()),
    ]
    durably = permit.once or use.kind != "none"
    reply = await run_fenced(store, lease, _START, keys, args, durably=durably)
    if reply[0] in {"stale", "void"}:
        return StartedCall(reply[0], why=text(reply[2]) if len(reply) > 2 else "")
    if reply[0] not in {"ok", "repeat"}:
        raise_unheld(reply)
    return StartedCall("ok", hold_of(session, path, wish) if wish else None)


async def ask(
    store: Store,
    lease: Lease,
    call_field: str,
    *,
    approval: str,
    version: str,
    repeat_key: str,
    deadline_ms: int,
    fields: Mapping[str, Any],
    told: bytes,
    audit: bytes,
) -> Asked:
    """Put a question about a call on record, and tell who listens.

    Args:
        approval: the question's id.
        version: of the snapshot by which the gate decided.
        repeat_key: what a repeat of the call has in common with it.
        deadline_ms: how long an answer is waited for.
        fields: of its record; ``told`` is the body of its event.

    """
    session = lease.session
    settings = store.settings
    args = [
        call_field,
        version,
        approval,
        session.timer("approval", approval),
        repeat_key,
        deadline_ms,
        settings.max_approvals,
        settings.max_approvals_a_session,
        settings.event_log_max,
        told,
        audit,
        *pairs(fields),
    ]
    reply = await run_fenced(store, lease, _ASK, question_keys(session, approval), args)
    if reply[0] == "merged":
        return Asked("merged", text(reply[1]))
    if reply[0] in {"stale", "too_many"}:
        return Asked(reply[0])
    return Asked("ok", approval)
