"""What the scripts' status words mean for a caller: the one place from statuses to errors."""

from collections.abc import Sequence
from typing import Any, NoReturn

from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Denied,
    Fenced,
    InvalidInput,
    LimitReached,
    NotFound,
    TreeCancelled,
    WorkspaceKilled,
)
from bursar.store.codec import text

__all__ = ["raise_for", "raise_refused"]

_PLAIN: dict[str, tuple[type[BursarError], str, str]] = {
    "gone": (NotFound, "session_not_found", "no such session in this workspace"),
    "is_job": (Conflict, "is_job", "this session is a job, which takes no inputs"),
    "not_filled": (Conflict, "job_opening", "the job is not made yet; its inputs so far"),
    "nothing_failed": (Conflict, "nothing_failed", "all items of the job have succeeded"),
    "ended": (Conflict, "session_ended", "the session has ended; start a new one"),
    "busy": (Conflict, "session_busy", "a turn is queued, running or waiting in this session"),
    "exists": (Conflict, "session_exists", "a session with this id exists"),
    "no_draft": (
        Conflict,
        "history_incomplete",
        "the history was not put together in time, and no session was made; try again",
    ),
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
        WorkspaceKilled,
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
    "other_call": (
        Conflict,
        "other_call",
        "the arguments are not those that you saw; read the question again, their SHA-256 is",
    ),
    "session_over": (
        Conflict,
        "approval_closed",
        "the session has ended, so its questions take no answers",
    ),
    "ahead": (Conflict, "audit_differs", "there are entries behind the last one that was counted"),
    "no_key": (NotFound, "key_not_found", "no such API key"),
    "no_seal": (Conflict, "no_seal", "no seal ends with this entry"),
    "not_sealed": (Conflict, "not_sealed", "the audit log is sealed up to there only"),
    "not_exported": (Conflict, "not_exported", "the audit log was exported up to there only"),
    "trimmed": (Conflict, "already_trimmed", "the audit log is trimmed up to there already"),
    "no_change": (Conflict, "manifest_not_changed", "the tool is as it was accepted"),
    "changed_again": (Conflict, "manifest_changed", "the tool changed once more, look again"),
    "no_policy": (NotFound, "policy_not_found", "no such policy in this workspace"),
    "call_sent": (Conflict, "call_sent", "the tool call was sent before, and must not be repeated"),
    "no_call": (Conflict, "call_not_open", "the tool call is not open in this step"),
    "no_webhook": (NotFound, "webhook_not_found", "no such webhook in this workspace"),
    "no_message": (NotFound, "delivery_not_found", "this webhook has no such message any more"),
    "webhook_changed": (Conflict, "webhook_changed", "it was changed meanwhile, read it again"),
    "webhook_paused": (Conflict, "webhook_paused", "the webhook is paused, by"),
    "bad_boundary": (Conflict, "bad_boundary", "the context begins elsewhere by now, at"),
    "tree_cancelled": (TreeCancelled, "tree_cancelled", "the turn was cancelled, or one above it"),
    "no_capability": (NotFound, "capability_not_found", "no such capability in this workspace"),
    "capability_exists": (Conflict, "capability_exists", "this capability is in force already"),
    "capability_expired": (Denied, "capability_expired", "the capability has expired"),
    "capability_revoked": (Denied, "capability_revoked", "a capability was revoked"),
    "capability_used": (Denied, "capability_used", "the capability was for one call, which it had"),
    "no_parent_capability": (
        Denied,
        "capability_not_stored",
        "the capability is not in force here; import it first",
    ),
}


def raise_for(reply: Sequence[Any]) -> NoReturn:
    """Raise the error that a script's refusal stands for; the reply's detail goes into it."""
    status = text(reply[0])
    detail = text(reply[1]) if len(reply) > 1 else ""
    if status in _PLAIN:
        kind, code, message = _PLAIN[status]
        raise kind(f"{message}: {detail}" if detail else message, code=code)
    _raise_of_tree(status, detail)
    if status == "workspace_full":
        raise LimitReached(
            f"the workspace's cap of {detail} live sessions is reached",
            code="workspace_full",
            retry_after_s=5,
        )
    if status == "grants_full":
        raise LimitReached(
            f"there are {detail} of them already; revoke some", code="too_many_grants"
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
    if status == "capabilities_full":
        raise LimitReached(
            f"a workspace has at most {detail} capabilities; revoke some",
            code="capabilities_full",
        )
    if status == "pending":
        raise Conflict(f"{detail} micro-USD are still held by this session", code="money_pending")
    if status == "policy_changed":
        raise Conflict(
            f"the policy was changed meanwhile, it is at version {detail} now",
            code="policy_changed",
            version=int(detail),
        )
    if status == "too_many_policies":
        raise LimitReached(
            f"a workspace has at most {detail} policies, those that were removed included",
            code="too_many_policies",
        )
    if status == "too_many_webhooks":
        raise LimitReached(f"a workspace has at most {detail} webhooks", code="too_many_webhooks")
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


def _raise_of_tree(status: str, detail: str) -> None:
    """Raise what stands against a place in a session tree."""
    if status == "no_parent":
        raise InvalidInput(
            "no such session in this workspace", field="parent", code="parent_not_found"
        )
    if status == "parent_ended":
        raise InvalidInput("this session has ended", field="parent", code="parent_ended")
    if status == "too_deep":
        raise LimitReached(f"a session tree has at most {detail} levels", code="too_deep")
    if status == "tree_full":
        raise LimitReached(
            f"a session tree has at most {detail} sessions that have not ended", code="tree_full"
        )
    if status == "step_full":
        raise LimitReached(f"a step gives at most {detail} tasks", code="step_full")
    if status == "has_children":
        raise Conflict(f"{detail} sessions are below it; delete them first", code="has_children")


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
