"""Typed call of the script that changes a policy of a workspace."""

import msgspec

from bursar.audit.entries import Record
from bursar.store.codec import encode_json, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["MAX_SCOPES", "MAX_VERSIONS", "Put", "put_policy"]

_PUT = Script("policy_put")

MAX_VERSIONS = 20
"""Versions of one policy that are kept, the one in force included."""
MAX_SCOPES = 500
"""Policies that a workspace may ever have had: its own, and those for agents."""


class Put(msgspec.Struct, frozen=True):
    """``changed`` is False when the policy was there before, as it is."""

    version: int
    changed: bool


async def put_policy(
    store: Store,
    workspace: WorkspaceKeys,
    scope: str,
    lists: dict[str, list[str]] | None,
    record: Record,
    *,
    expected: int | None,
) -> Put:
    """Set one policy of a workspace, or remove it (None).

    Args:
        record: who does it, for the audit; the version is added.
        expected: the version that the caller saw, 0 for none; None takes any.

    Raises:
        Conflict: another version is in force (``policy_changed``).
        NotFound: there is nothing to remove (``policy_not_found``), or no such workspace.
        LimitReached: the workspace has had too many policies.

    """
    keys = [workspace.hash, workspace.policies, workspace.policy_history, workspace.audit]
    author = encode_json({"by": record.actor})[1:-1]
    body = b"" if lists is None else encode_json(lists)
    seen = "" if expected is None else expected
    args = [scope, seen, body, author, record.body, MAX_VERSIONS, MAX_SCOPES]
    reply = await store.run(_PUT, keys, args)
    if reply[0] not in {"ok", "same"}:
        raise_for(reply)
    return Put(int(reply[1]), text(reply[0]) == "ok")
