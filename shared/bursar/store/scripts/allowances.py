"""Typed calls of the scripts that make and end allowances."""

from typing import Literal

from bursar.audit.entries import Record
from bursar.gate.allowances import Allowance
from bursar.store.codec import encode_json, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.approvals import Grant
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "ALLOWANCE_KEEP_MS",
    "MAX_ALLOWANCES",
    "allowance_timer",
    "end_allowance",
    "grant_of",
    "key_of",
    "put_allowance",
]

_PUT = Script("allowance_put")
_END = Script("allowance_end")

ALLOWANCE_KEEP_MS = 30 * 86_400_000
"""How long it is remembered that an allowance ended; one without an end is looked at as often."""
MAX_ALLOWANCES = 1000
"""In one workspace, and in one tree: a worker looks through them when its rules have changed."""


def key_of(workspace: WorkspaceKeys, root: str) -> str:
    """The hash that an allowance is kept in: its tree's, or the workspace's."""
    return workspace.session(root).allowances if root else workspace.allowances


def grant_of(workspace: WorkspaceKeys, allowance: Allowance, audit: bytes) -> Grant:
    """An allowance as scripts take it."""
    until = allowance.expires_ms or allowance.created_ms + ALLOWANCE_KEEP_MS
    return Grant(
        key=key_of(workspace, allowance.root),
        id=allowance.id,
        body=encode_json(allowance),
        audit=audit,
        left="" if allowance.max_uses is None else str(allowance.max_uses),
        timer=allowance_timer(workspace, allowance.root, allowance.id),
        until_ms=str(until),
        max=2 * MAX_ALLOWANCES,  # a bounded one takes two fields
    )


async def put_allowance(
    store: Store, workspace: WorkspaceKeys, allowance: Allowance, audit: bytes, *, left: int | None
) -> Literal["ok", "exists", "used_up"]:
    """Make an allowance; ``left`` may be fewer uses than it was made for.

    Raises:
        NotFound: no such workspace or session.
        Conflict: the session has ended.

    """
    grant = grant_of(workspace, allowance, audit)
    owner = allowance.session or allowance.root
    keys = [
        workspace.hash,
        workspace.audit,
        grant.key,
        workspace.shard.timers,
        workspace.session(owner).hash,
    ]
    uses = "" if left is None else left
    args = [
        grant.id,
        grant.body,
        uses,
        grant.until_ms,
        grant.timer,
        audit,
        int(bool(owner)),
        grant.max,
    ]
    reply = await store.run(_PUT, keys, args)
    if reply[0] not in {"ok", "exists", "used_up"}:
        raise_for(reply)
    found: Literal["ok", "exists", "used_up"] = text(reply[0])  # type: ignore[assignment]
    return found


async def end_allowance(
    store: Store,
    workspace: WorkspaceKeys,
    *,
    root: str,
    allowance_id: str,
    how: Literal["revoke", "look"],
    record: Record,
    expires_ms: int | None = None,
) -> bool:
    """Revoke an allowance, or look at it when its time has come; False if it was not there."""
    keys = [
        workspace.hash,
        workspace.audit,
        key_of(workspace, root),
        workspace.shard.timers,
    ]
    until = "" if expires_ms is None else expires_ms
    timer = allowance_timer(workspace, root, allowance_id)
    args = [allowance_id, timer, how, until, record.body, ALLOWANCE_KEEP_MS]
    reply = await store.run(_END, keys, args)
    return text(reply[0]) == "ok"


def allowance_timer(workspace: WorkspaceKeys, root: str, allowance_id: str) -> str:
    """Member of the shard's timers: look at this allowance."""
    return f"allowance {workspace.id}/{root} {allowance_id}"
