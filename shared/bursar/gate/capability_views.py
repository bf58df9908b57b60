"""Capabilities as people see them, and why one is or is not good."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from bursar.audit.entries import Record
from bursar.errors import Denied, InvalidInput, NotFound
from bursar.gate.capabilities import Capability, read_token, verify
from bursar.gate.grants import PathGrant
from bursar.gate.narrowing import CapabilityScope
from bursar.ids import check_id
from bursar.registry import redis_ms
from bursar.signing import PublicKeys
from bursar.store.codec import decode_json, text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.capabilities import KEEP_MS, RevokedCapability, revoke_capability
from bursar.store.store import Store

__all__ = [
    "CapabilityState",
    "CapabilityView",
    "Inspection",
    "end_of_session",
    "inspect",
    "list_capabilities",
    "revoke",
    "view_of",
]

CapabilityState = Literal["valid", "not_yet", "expired", "revoked", "used", "not_stored", "invalid"]

_STATES: dict[str, CapabilityState] = {
    "capability_not_yet": "not_yet",
    "capability_expired": "expired",
    "capability_revoked": "revoked",
    "capability_used": "used",
    "capability_not_stored": "not_stored",
}
_MAX_LIFE_MS = 31 * 86_400_000


class CapabilityView(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says, in words of the API; see `bursar.gate.tokens.Claims`."""

    id: str
    workspace: str
    patterns: tuple[str, ...]
    scope: CapabilityScope
    session: str
    root: str
    issued_ms: int
    not_before_ms: int
    expires_ms: int
    single_use: bool
    depth: int
    manifest: str
    folder: str
    outside: tuple[PathGrant, ...]
    ancestors: tuple[str, ...]
    audit_seq: int
    approval: str
    created_by: str
    note: str
    kid: str


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a capability is good, and why not: ``code`` is stable, ``why`` is for people.

    ``capability`` is missing of a token of which it is not proved that it is one of the workspace.
    """

    state: CapabilityState
    code: str = ""
    why: str = ""
    capability: CapabilityView | None = None


@dataclass(frozen=True)
class _Kept:
    """What a workspace keeps of capabilities, at one moment."""

    tokens: Mapping[bytes, bytes]
    revoked: Mapping[bytes, bytes]
    used: Mapping[bytes, bytes]
    now_ms: int

    @classmethod
    async def read(cls, store: Store, workspace: WorkspaceKeys) -> "_Kept":
        hashes = (workspace.capabilities, workspace.revoked, workspace.used)
        tokens, revoked, used, now = await asyncio.gather(
            *(store.redis.call("HGETALL", key) for key in hashes), redis_ms(store)
        )
        return cls(tokens, revoked, used, now)


def view_of(capability: Capability) -> CapabilityView:
    claims = capability.claims
    return CapabilityView(
        id=claims.id,
        workspace=claims.workspace,
        patterns=claims.patterns,
        scope=capability.scope,
        session=capability.session,
        root=capability.root,
        issued_ms=claims.issued_s * 1000,
        not_before_ms=claims.not_before_s * 1000,
        expires_ms=capability.expires_ms,
        single_use=claims.single_use,
        depth=claims.depth,
        manifest=claims.manifest,
        folder=claims.folder,
        outside=claims.outside,
        ancestors=claims.ancestors,
        audit_seq=claims.audit_seq,
        approval=claims.approval,
        created_by=claims.created_by,
        note=claims.note,
        kid=capability.kid,
    )


async def list_capabilities(
    store: Store, workspace: WorkspaceKeys, keys: PublicKeys
) -> list[Inspection]:
    """Those that are in force, and those that ended and are remembered; oldest first."""
    await keys.refresh(max_age_s=0)
    kept = await _Kept.read(store, workspace)
    records = [decode_json(value, RevokedCapability).token for value in kept.revoked.values()]
    tokens = {*map(text, kept.tokens.values()), *records}
    found = [_judge(token, kept, keys, workspace.id, ours=True) for token in tokens]
    return sorted(found, key=lambda one: one.capability.id if one.capability else "")


async def inspect(
    store: Store,
    workspace: WorkspaceKeys,
    keys: PublicKeys,
    *,
    token: str = "",
    capability_id: str = "",
) -> Inspection:
    """Say whether a capability is good now, of its token or of its id.

    Raises:
        InvalidInput: both or none are given.
        NotFound: nothing is known of the id (``capability_not_found``).

    """
    if bool(token) == bool(capability_id):
        raise InvalidInput("expected a token or an id", field="token")
    await keys.refresh(max_age_s=0)
    kept = await _Kept.read(store, workspace)
    if token:
        return _judge(token, kept, keys, workspace.id)
    return _judge(_token_of(capability_id, kept), kept, keys, workspace.id, ours=True)


async def revoke(
    store: Store, workspace: WorkspaceKeys, capability_id: str, *, by: str
) -> Inspection:
    """End a capability and all that were derived from it; the next check of every worker knows.

    Raises:
        Denied: it was revoked before (``capability_revoked``).
        NotFound: nothing is known of it (``capability_not_found``).

    """
    kept = await _Kept.read(store, workspace)
    token = _token_of(capability_id, kept)
    until_ms, session, view = kept.now_ms + _MAX_LIFE_MS, "", None
    try:
        capability = read_token(token)
    except Denied:
        pass  # whatever it is, it can be ended
    else:
        until_ms, session = capability.expires_ms + KEEP_MS, capability.session
        view = view_of(capability)
    revoked = RevokedCapability(token, by, kept.now_ms, until_ms)
    record = Record(
        workspace=workspace.id,
        actor=by,
        action="capability.revoke",
        decision="done",
        proof_id=capability_id,
        session=session,
    )
    await revoke_capability(store, workspace, capability_id, revoked, record)
    why = f"capability {capability_id} was revoked"
    return Inspection(state="revoked", code="capability_revoked", why=why, capability=view)


async def end_of_session(store: Store, workspace: WorkspaceKeys, sid: str, root: str) -> None:
    """A session has ended: so does what was given to it, and with a root to its whole tree."""
    tokens = await store.redis.call("HGETALL", workspace.capabilities)
    for name, token in tokens.items():
        try:
            capability = read_token(text(token))
        except Denied:
            continue  # it is bound to nothing
        if capability.scope != "workspace" and (
            capability.session == sid or (sid == root and capability.root == root)
        ):
            with contextlib.suppress(Denied, NotFound):  # somebody else has just ended it
                await revoke(store, workspace, text(name), by="system")


def _token_of(capability_id: str, kept: _Kept) -> str:
    name = check_id(capability_id, "capability").encode()
    if name in kept.tokens:
        return text(kept.tokens[name])
    if name in kept.revoked:
        return decode_json(kept.revoked[name], RevokedCapability).token
    raise NotFound("no such capability in this workspace", code="capability_not_found")


def _judge(
    token: str, kept: _Kept, keys: PublicKeys, workspace: str, *, ours: bool = False
) -> Inspection:
    """Of one that is ``ours``, as we keep it, what it says is shown also if nothing is proved."""
    try:
        capability = verify(
            token,
            keys,
            workspace=workspace,
            now_ms=kept.now_ms,
            revoked={text(each) for each in kept.revoked},
        )
    except Denied as error:
        state = _STATES.get(error.code, "invalid")
        proved = ours or state != "invalid"
        return Inspection(
            state=state, code=error.code, why=error.message, capability=_shown(token, proved)
        )
    used_by = kept.used.get(capability.use_id.encode()) if capability.single_use else None
    if used_by is not None:
        return _found(capability, "used", f"it was for one call, which it had: {text(used_by)}")
    if capability.id.encode() not in kept.tokens:
        return _found(capability, "not_stored", "it is not in force here; import it first")
    return Inspection(state="valid", capability=view_of(capability))


def _found(capability: Capability, state: CapabilityState, why: str) -> Inspection:
    view = view_of(capability)
    return Inspection(state=state, code=f"capability_{state}", why=why, capability=view)


def _shown(token: str, proved: bool) -> CapabilityView | None:
    try:
        return view_of(read_token(token)) if proved else None
    except Denied:
        return None
