"""Typed calls of the scripts about workspaces and sessions as wholes."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.events import Span
from bursar.messages import Message
from bursar.store.codec import encode_message, pairs, text, unlimited_or
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "Idempotency",
    "NewSession",
    "add_message",
    "clear_session",
    "delete_session",
    "end_session",
    "ended_record",
    "index_keys",
    "kill_workspace",
    "open_session",
    "open_workspace",
    "update_session",
]

_WORKSPACE_OPEN = Script("workspace_open")
_WORKSPACE_KILL = Script("workspace_kill")
_OPEN = Script("session_open")
_UPDATE = Script("session_update")
_CLEAR = Script("session_clear")
_END = Script("session_end")
_DELETE = Script("session_delete")
_ADD = Script("message_add")


class Idempotency(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key with a fingerprint of what it was sent with. Empty: none."""

    scope: str = "none"
    key: str = "none"
    fingerprint: str = ""

    def redis_key(self, ws: WorkspaceKeys) -> str:
        return ws.idempotency(self.scope, self.key)


class NewSession(msgspec.Struct, frozen=True):
    """A session to be made. ``fields`` go into its hash, ``texts`` into its long-text hash.

    ``draft`` is the key of a history of ``draft_length`` messages, which becomes its own;
    ``origin`` is what the audit log says of where that comes from.
    """

    user: str
    workspace_path: str
    fields: Mapping[str, Any]
    texts: Mapping[str, Any]
    limit_microusd: int
    per_action_microusd: int
    warn_percent: int
    token_limit: int | None = None
    per_turn_microusd: int | None = None
    parent: str = ""
    draft: str = ""
    draft_length: int = 0
    origin: Mapping[str, Any] = {}


async def open_workspace(
    store: Store,
    workspace: str,
    *,
    limit: str,
    warn_percent: int,
    settings: Mapping[str, Any],
    only_new: bool = False,
    actor: str = SYSTEM,
    change: str = "workspace.change",
) -> bool:
    """Create the workspace (True) or change the given settings of one that exists.

    Args:
        only_new: change nothing of one that exists (False).
        change: what its audit entry calls a change of one that exists.

    """
    ws = store.workspace(workspace)
    facts = {"limit": limit, **settings}
    created, changed = (
        Record(workspace=workspace, actor=actor, action=action, decision="done", details=details)
        for action, details in (("workspace.create", facts), (change, dict(settings)))
    )
    args = [
        workspace,
        limit,
        warn_percent,
        int(only_new),
        created.body,
        changed.body,
        *pairs(settings),
    ]
    reply = await store.run(_WORKSPACE_OPEN, [ws.hash, ws.account("ws"), ws.audit], args)
    if reply[0] == "bad_amount":
        raise_for(reply)
    return bool(reply[0] == "created")


async def kill_workspace(
    store: Store, ws: WorkspaceKeys, reason: str, *, actor: str = SYSTEM
) -> None:
    """Let nothing start in the workspace any more, and leave the sweeper a timer."""
    record = Record(
        workspace=ws.id, actor=actor, action="workspace.kill", decision="done", reason=reason
    )
    keys = [ws.hash, ws.shard.timers, ws.audit]
    reply = await store.run(_WORKSPACE_KILL, keys, [ws.kill_timer, reason, record.body])
    if reply[0] != "ok":
        raise_for(reply)


async def open_session(
    store: Store,
    session: SessionKeys,
    new: NewSession,
    idempotency: Idempotency,
    *,
    actor: str = SYSTEM,
) -> str:
    """Create a session; returns its id, or the first one's id for a repeated Idempotency-Key."""
    ws = session.workspace
    settings = store.settings
    keys = [
        *session.stateful,
        session.text,
        session.account,
        ws.account(f"user:{new.user}"),
        ws.hash,
        *index_keys(session, new.user, new.workspace_path),
        idempotency.redis_key(ws),
        ws.session(new.parent).hash if new.parent else session.hash,
        ws.users,
        ws.audit,
        session.members,
        *((new.draft, session.messages) if new.draft else ()),
    ]
    event = Span(session.id).event("session.created", user=new.user, parent=new.parent)
    details = {"agent": new.fields.get("agent", ""), "user": new.user, **new.origin}
    if new.parent:
        details["parent"] = new.parent
    args = [
        session.id,
        idempotency.fingerprint,
        int(settings.idempotency_ttl_s * 1000),
        event.body,
        _record(session, actor, "session.create", details).body,
        settings.event_log_max,
        *_limits(new),
        settings.closing_microusd,
        unlimited_or(settings.user_limit_microusd),
        new.user,
        settings.max_depth,
        settings.max_tree_live,
        *pairs(new.fields),
        *pairs(new.texts),
        new.draft_length,
        int(settings.event_log_ttl_s * 1000),
    ]
    reply = await store.run(_OPEN, keys, args)
    if reply[0] == "repeat":
        return text(reply[1])
    if reply[0] != "ok":
        raise_for(reply)
    return session.id


def _limits(new: NewSession) -> tuple[Any, ...]:
    """What its account is opened with, in the script's order."""
    return (
        new.limit_microusd,
        unlimited_or(new.token_limit),
        new.per_action_microusd,
        "" if new.per_turn_microusd is None else new.per_turn_microusd,
        new.warn_percent,
    )


async def update_session(
    store: Store, session: SessionKeys, fields: Mapping[str, Any], texts: Mapping[str, Any]
) -> None:
    reply = await store.run(_UPDATE, [session.hash, session.text], [*pairs(fields), *pairs(texts)])
    if reply[0] != "ok":
        raise_for(reply)


async def clear_session(store: Store, session: SessionKeys) -> int:
    """Start a new context; returns the index of the first message that the model will see."""
    reply = await store.run(_CLEAR, [session.hash, session.text], [])
    if reply[0] != "ok":
        raise_for(reply)
    return int(reply[1])


async def end_session(store: Store, session: SessionKeys, *, actor: str = SYSTEM) -> str:
    """``ended`` at once, ``ending`` when accepted inputs come first, or ``already``."""
    settings = store.settings
    args = [
        session.id,
        session.ref,
        Span(session.id).event("session.ended").body,
        _record(session, actor, "session.end").body,
        settings.event_log_max,
        int(settings.event_log_ttl_s * 1000),
        session.timer("ended", "-"),
    ]
    ws = session.workspace
    reply = await store.run(_END, [*session.stateful, ws.hash, ws.audit, ws.shard.timers], args)
    if reply[0] == "gone":
        raise_for(reply)
    return str(reply[0])


async def delete_session(
    store: Store,
    session: SessionKeys,
    *,
    user: str,
    workspace_path: str,
    actor: str = SYSTEM,
) -> None:
    """Delete an idle or ended session.

    Raises:
        Conflict: a turn is under way, or money is still held.

    """
    ws = session.workspace
    keys = [
        *session.stateful,
        session.text,
        session.inbox,
        session.messages,
        session.effects,
        session.account,
        *index_keys(session, user, workspace_path),
        ws.waiters(f"s:{session.id}"),
        ws.hash,
        ws.audit,
        session.approvals,
        session.allowances,
        session.members,
        session.joins,
        ws.jobs,
    ]
    event = Span(session.id).event("session.ended", deleted=True)
    record = _record(session, actor, "session.delete", {"user": user})
    reply = await store.run(_DELETE, keys, [session.id, event.body, record.body])
    if reply[0] != "ok":
        raise_for(reply)


async def add_message(
    store: Store,
    session: SessionKeys,
    message: Message,
    *,
    role: str,
    user: str,
    workspace_path: str,
    idempotency: Idempotency,
) -> int:
    """Append a message without a turn; returns its index."""
    settings = store.settings
    keys = [
        *session.logged,
        session.messages,
        idempotency.redis_key(session.workspace),
        *index_keys(session, user, workspace_path),
    ]
    args = [
        session.id,
        encode_message(message),
        Span(session.id).event("message.committed", role=role).body,
        settings.event_log_max,
        int(settings.event_log_ttl_s * 1000),
        idempotency.fingerprint,
        int(settings.idempotency_ttl_s * 1000),
    ]
    reply = await store.run(_ADD, keys, args)
    if reply[0] not in {"ok", "repeat"}:
        raise_for(reply)
    return int(reply[1])


def ended_record(session: SessionKeys, *, actor: str = SYSTEM) -> bytes:
    """The audit entry of a session that ends by itself, its accepted inputs being worked off."""
    return msgspec.structs.replace(_record(session, actor, "session.end"), outcome="ended").body


def _record(
    session: SessionKeys, actor: str, action: str, details: Mapping[str, Any] | None = None
) -> Record:
    return Record(
        workspace=session.workspace.id,
        actor=actor,
        action=action,
        decision="done",
        session=session.id,
        details=dict(details or {}),
    )


def index_keys(session: SessionKeys, user: str, workspace_path: str) -> Sequence[str]:
    """The indexes by activity that a session is in: all, of its user, at its path."""
    ws = session.workspace
    return (ws.sessions, ws.sessions_of_user(user), ws.sessions_at_path(workspace_path))
