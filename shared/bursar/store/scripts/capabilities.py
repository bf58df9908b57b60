"""Typed calls of the scripts that put capabilities in force and end them."""

from typing import Any

import msgspec

from bursar.audit.entries import Record
from bursar.gate.capabilities import Capability
from bursar.store.codec import encode_json, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.approvals import Grant
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "KEEP_MS",
    "MAX_CAPABILITIES",
    "RevokedCapability",
    "forget",
    "grant_of",
    "put_capability",
    "revoke_capability",
]

_PUT = Script("capability_put")
_REVOKE = Script("capability_revoke")
_FORGET = Script("capability_forget")

KEEP_MS = 86_400_000
"""How long after its end a capability is remembered, with its use and its revocation."""
MAX_CAPABILITIES = 1000
"""In force in one workspace: a worker looks through them at each call that nothing else settles."""


class RevokedCapability(msgspec.Struct, frozen=True):
    """What is remembered of one that was revoked; ``until_ms`` is how long."""

    token: str
    by: str
    at_ms: int
    until_ms: int


async def put_capability(
    store: Store,
    workspace: WorkspaceKeys,
    capability: Capability,
    record: Record,
    *,
    needs_parent: bool = False,
) -> None:
    """Put a verified capability in force.

    Args:
        needs_parent: refuse it unless the one that it was derived from is in force, too.

    Raises:
        Conflict: it is in force (``capability_exists``); the session has ended.
        Denied: ``capability_revoked``, ``capability_used``, ``capability_expired``;
            ``capability_not_stored``: its parent is not in force here.
        LimitReached: ``capabilities_full``.
        NotFound: no such workspace or session.

    """
    owner = capability.session or capability.root
    keys = [
        workspace.hash,
        workspace.audit,
        workspace.capabilities,
        workspace.revoked,
        workspace.used,
        workspace.shard.timers,
        workspace.session(owner).hash,
    ]
    args: list[Any] = [
        capability.id,
        capability.token,
        capability.expires_ms,
        workspace.capability_timer(capability.id),
        capability.expires_ms + KEEP_MS,
        MAX_CAPABILITIES,
        capability.use_id if capability.single_use else "",
        int(bool(owner)),
        int(needs_parent),
        record.body,
        len(capability.chain),
        *capability.chain,
    ]
    reply = await store.run(_PUT, keys, args)
    if reply[0] != "ok":
        raise_for(reply)


async def revoke_capability(
    store: Store,
    workspace: WorkspaceKeys,
    capability_id: str,
    revoked: RevokedCapability,
    record: Record,
) -> None:
    """End a capability and all that were derived from it.

    Raises:
        Denied: it was revoked before (``capability_revoked``).
        NotFound: it is not in force (``capability_not_found``).

    """
    keys = [
        workspace.hash,
        workspace.audit,
        workspace.capabilities,
        workspace.revoked,
        workspace.shard.timers,
    ]
    timer = workspace.capability_timer(capability_id)
    args = [capability_id, encode_json(revoked), timer, revoked.until_ms, record.body]
    reply = await store.run(_REVOKE, keys, args)
    if reply[0] != "ok":
        raise_for(reply)


async def forget(store: Store, workspace: WorkspaceKeys, capability_id: str) -> bool:
    """Its timer is due: forget it. False if it is not."""
    keys = [workspace.capabilities, workspace.revoked, workspace.used, workspace.shard.timers]
    args = [capability_id, workspace.capability_timer(capability_id)]
    return text((await store.run(_FORGET, keys, args))[0]) == "ok"


def grant_of(workspace: WorkspaceKeys, capability: Capability, audit: bytes) -> Grant:
    """A capability as the script takes it that records a person's answer."""
    return Grant(
        key=workspace.capabilities,
        id=capability.id,
        body=capability.token.encode(),
        audit=audit,
        timer=workspace.capability_timer(capability.id),
        until_ms=str(capability.expires_ms + KEEP_MS),
        max=MAX_CAPABILITIES,
    )
