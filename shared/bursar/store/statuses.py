"""What the scripts' status words mean for a caller: the one place from statuses to errors."""

from collections.abc import Sequence
from typing import Any, NoReturn

from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Fenced,
    InvalidInput,
    LimitReached,
    NotFound,
)
from bursar.store.codec import text

__all__ = ["raise_for", "raise_refused"]

_PLAIN: dict[str, tuple[type[BursarError], str, str]] = {
    "gone": (NotFound, "session_not_found", "no such session in this workspace"),
    "ended": (Conflict, "session_ended", "the session has ended; start a new one"),
    "busy": (Conflict, "session_busy", "a turn is queued, running or waiting in this session"),
    "exists": (Conflict, "session_exists", "a session with this id exists"),
    "no_workspace": (NotFound, "workspace_not_found", "no such workspace"),
    "no_account": (NotFound, "account_not_found", "an account on the path does not exist"),
    "not_found": (NotFound, "turn_not_found", "no such turn in this workspace"),
    "idem_conflict": (
        Conflict,
        "idempotency_conflict",
        "this Idempotency-Key was used before with another request body",
    ),
    "id_conflict": (Conflict, "id_conflict", "this id was used before with other values"),
    "killed": (
        Conflict,
        "workspace_killed",
        "the workspace was killed; it takes no sessions and no inputs until it is revived",
    ),
    "fenced": (Fenced, "fenced", "another worker drives this session now"),
    "no_hold": (NotFound, "hold_not_found", "no such hold, or it ended too long ago"),
    "bad_secret": (Conflict, "hold_not_yours", "the hold belongs to another caller"),
    "path_mismatch": (Conflict, "path_mismatch", "the accounts are not those of the hold"),
    "hold_open": (Conflict, "hold_open", "the hold has not ended; commit it"),
    "not_lower": (
        Conflict,
        "not_lower",
        "what was booked can only be lowered; it is, in micro-USD",
    ),
    "closing_used": (Conflict, "closing_used", "the turn had its closing answer already"),
    "hold_ended": (Conflict, "hold_ended", "the hold ended before it was used"),
    "turn_ended": (Conflict, "turn_ended", "the turn has ended"),
    "no_checkpoint": (
        Conflict,
        "no_checkpoint",
        "the ledger has no complete checkpoint from there on; make one first",
    ),
    "no_call": (Conflict, "call_not_open", "the tool call is not open in this step"),
}


def raise_for(reply: Sequence[Any]) -> NoReturn:
    """Raise the error that a script's refusal stands for; the reply's detail goes into it."""
    status = text(reply[0])
    detail = text(reply[1]) if len(reply) > 1 else ""
    if status in _PLAIN:
        kind, code, message = _PLAIN[status]
        raise kind(f"{message}: {detail}" if detail else message, code=code)
    if status == "no_parent":
        raise InvalidInput(
            "no such session in this workspace", field="parent", code="parent_not_found"
        )
    if status == "parent_ended":
        raise InvalidInput("this session has ended", field="parent", code="parent_ended")
    if status == "too_deep":
        raise LimitReached(f"a session tree has at most {detail} levels", code="too_deep")
    if status == "workspace_full":
        raise LimitReached(
            f"the workspace's cap of {detail} live sessions is reached",
            code="workspace_full",
            retry_after_s=5,
        )
    if status == "inbox_full":
        raise LimitReached(
            f"{detail} inputs wait in this session already", code="inbox_full", retry_after_s=1
        )
    if status == "queue_full":
        raise LimitReached(
            f"the workspace's cap of {detail} queued turns is reached",
            code="workspace_busy",
            retry_after_s=2,
        )
    if status == "pending":
        raise Conflict(f"{detail} micro-USD are still held by this session", code="money_pending")
    if status == "bad_amount":
        raise InvalidInput(
            "expected an integer of 1 to 15 digits", field="amount", code="bad_amount"
        )
    if status == "period_past":
        raise InvalidInput("expected a moment in the future", field="resets_ms")
    if status == "per_action_above_limit":
        raise InvalidInput("expected at most the session's limit", field="per_action_microusd")
    raise BursarError(
        f"a script answered {status!r}, which this version does not know", code="internal"
    )


def raise_refused(reply: Sequence[Any]) -> NoReturn:
    """Raise `BudgetRefused` for a ``refused`` reply of budget_reserve, which lists its fields."""
    kind, account, unit = text(reply[1]), text(reply[2]), text(reply[8])
    limit, posted, pending, requested, available = (int(value) for value in reply[3:8])
    reason = {
        "per_action": "a single action may cost at most that much",
        "per_turn": "a single turn may cost at most that much",
        "frozen": "it was overdrawn and is frozen until that is acknowledged",
        "contended": "others hold the rest right now",
        "exhausted": "it does not fit any more",
    }[kind]
    words = "micro-USD" if unit == "microusd" else unit
    amounts = {
        f"limit_{unit}": limit,
        f"posted_{unit}": posted,
        f"pending_{unit}": pending,
        f"requested_{unit}": requested,
        f"available_{unit}": available,
    }
    raise BudgetRefused(
        f"account {account} refused {requested} {words}: {available} available of {limit} "
        f"(posted {posted}, pending {pending}); {reason}",
        code="budget_contended" if kind == "contended" else "budget_exhausted",
        account=account,
        kind=kind,
        unit=unit,
        **amounts,
    )
