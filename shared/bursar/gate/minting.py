"""Making capabilities: for people, from a person's answer, out of another one, or once more."""

import asyncio

import msgspec

from bursar.audit.entries import Decision, Record
from bursar.errors import InvalidInput
from bursar.gate.capabilities import Capability, read_token, verify
from bursar.gate.display import readable
from bursar.gate.grants import check_paths
from bursar.gate.narrowing import CapabilityScope, check_narrower, subject_of
from bursar.gate.terms import MAX_NOTE, DerivedCapability, NewCapability, check_terms, completed
from bursar.gate.tokens import MAX_TOKEN_CHARS, Claims, sign
from bursar.ids import check_session, new_id
from bursar.registry import redis_ms
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.scripts.capabilities import MAX_CAPABILITIES, put_capability
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = [
    "bring_back",
    "derive",
    "for_answer",
    "mint",
    "record_of",
]

_SHOWN_PATTERNS = 5
_SHOWN_CHARS = 200


async def mint(
    store: Store, workspace: WorkspaceKeys, signing: SigningKeys, wish: NewCapability, *, by: str
) -> Capability:
    """Give out a right and put it in force.

    Raises:
        Conflict: the session has ended; or there is no key to sign with.
        InvalidInput: names the field.
        LimitReached: there are too many in the workspace.
        NotFound: no such session or workspace.

    """
    claims = await _new_claims(store, workspace, signing, wish, by=by)
    _signed(claims, signing)  # refused, if it is, before anything is on record
    if await store.redis.call("HLEN", workspace.capabilities) >= MAX_CAPABILITIES:
        raise_for(["capabilities_full", MAX_CAPABILITIES])
    # The decision first, because what follows from it names it.
    approved = record_of(claims, by, "capability.approve", decision="allow")
    seq = await append(store, AuditLog.of(store, workspace.id), approved)
    capability = _signed(msgspec.structs.replace(claims, audit_seq=seq), signing)
    record = record_of(capability.claims, by, "capability.mint")
    await put_capability(store, workspace, capability, record)
    return capability


async def for_answer(
    store: Store,
    workspace: WorkspaceKeys,
    signing: SigningKeys,
    wish: NewCapability,
    *,
    approval: str,
    by: str,
) -> tuple[Capability, Record]:
    """Make the right that the answer to a question gives out beside; its script stores it.

    Returns it with the entry for the audit log.

    Raises:
        Conflict: there is no key to sign with.
        InvalidInput: names the field.
        NotFound: no such session.

    """
    claims = await _new_claims(store, workspace, signing, wish, by=by, approval=approval)
    return _signed(claims, signing), record_of(claims, by, "capability.mint")


async def derive(
    store: Store,
    workspace: WorkspaceKeys,
    signing: SigningKeys,
    keys: PublicKeys,
    wish: DerivedCapability,
    *,
    by: str,
) -> Capability:
    """Make a part of a right that is in force; its token is the proof that one may.

    Raises:
        Conflict: the session has ended; or there is no key to sign with.
        Denied: the token is not good, see `verify`, or it is used up or not in force.
        InvalidInput: names what is wrong, or what is more than the token permits
            (``capability_wider``, ``capability_too_deep``).

    """
    await keys.refresh(max_age_s=0)
    await signing.refresh(max_age_s=0)
    now = await redis_ms(store)
    parent = verify(wish.token, keys, workspace=workspace.id, now_ms=now)
    above = parent.claims
    if above.depth == 0:
        raise InvalidInput(
            "nothing may be derived from this capability",
            field="token",
            code="capability_too_deep",
        )
    subject = above.subject
    if wish.scope is not None:
        subject = await _subject(store, workspace, wish.scope, wish.session)
    elif wish.session:
        raise InvalidInput("expected session or tree, beside the session", field="scope")
    terms = completed(wish, above, now // 1000)
    claims = _claims(workspace, signing, terms, subject=subject, now_s=now // 1000, by=by)
    claims = msgspec.structs.replace(
        claims,
        audit_seq=above.audit_seq,
        approval=above.approval,
        ancestors=(parent.id, *parent.chain),
        parent=parent.token,
    )
    # Comparing patterns may take a while, in which other requests want to be answered.
    await asyncio.to_thread(check_narrower, claims, above)
    capability = _signed(claims, signing)
    record = record_of(claims, by, "capability.derive")
    await put_capability(store, workspace, capability, record, needs_parent=True)
    return capability


async def bring_back(
    store: Store, workspace: WorkspaceKeys, keys: PublicKeys, token: str, *, by: str
) -> Capability:
    """Put a token in force again, for example after a backup without it was restored.

    Raises:
        Conflict: it is in force (``capability_exists``); or its session has ended.
        Denied: it is not good, see `verify`, or was revoked or used up here.

    """
    await keys.refresh(max_age_s=0)
    now = await redis_ms(store)
    begins_ms = read_token(token).claims.not_before_s * 1000
    capability = verify(token, keys, workspace=workspace.id, now_ms=max(now, begins_ms))
    record = record_of(capability.claims, by, "capability.import")
    await put_capability(store, workspace, capability, record)
    return capability


def record_of(claims: Claims, by: str, action: str, *, decision: Decision = "done") -> Record:
    """The audit log's entry about a capability."""
    shown = [readable(pattern, _SHOWN_CHARS) for pattern in claims.patterns[:_SHOWN_PATTERNS]]
    return Record(
        workspace=claims.workspace,
        actor=by,
        action=action,
        decision=decision,
        proof_id=claims.id,
        details={
            "patterns": shown,
            "more_patterns": max(0, len(claims.patterns) - _SHOWN_PATTERNS),
            "subject": claims.subject,
            "expires_ms": claims.expires_s * 1000,
            "single_use": claims.single_use,
            "parent": claims.ancestors[0] if claims.ancestors else "",
            "approval": claims.approval,
        },
    )


async def _new_claims(
    store: Store,
    workspace: WorkspaceKeys,
    signing: SigningKeys,
    wish: NewCapability,
    *,
    by: str,
    approval: str = "",
) -> Claims:
    await signing.refresh(max_age_s=0)
    subject = await _subject(store, workspace, wish.scope, wish.session)
    now_s = await redis_ms(store) // 1000
    claims = _claims(workspace, signing, wish, subject=subject, now_s=now_s, by=by)
    return msgspec.structs.replace(claims, approval=approval)


async def _subject(
    store: Store, workspace: WorkspaceKeys, scope: CapabilityScope, session: str
) -> str:
    if scope == "workspace":
        if session:
            raise InvalidInput("expected none, as the scope is the workspace", field="session")
        return subject_of(scope, "", "")
    key = workspace.session(check_session(session)).hash
    root, state = await store.redis.call("HMGET", key, "root", "state")
    if root is None:
        raise_for(["gone"])
    if text(state) == "ended":
        raise_for(["ended"])
    return subject_of(scope, text(root), session)


def _claims(
    workspace: WorkspaceKeys,
    signing: SigningKeys,
    terms: NewCapability,
    *,
    subject: str,
    now_s: int,
    by: str,
) -> Claims:
    check_terms(terms)
    return Claims(
        issuer=signing.issuer,
        workspace=workspace.id,
        id=new_id("cap"),
        subject=subject,
        issued_s=now_s,
        not_before_s=now_s + terms.starts_in_s,
        expires_s=now_s + terms.expires_in_s,
        patterns=terms.patterns,
        single_use=terms.single_use,
        audit_seq=0,
        approval="",
        manifest=terms.manifest,
        folder=terms.folder,
        outside=check_paths(terms.outside, "outside"),
        depth=terms.depth,
        ancestors=(),
        parent="",
        created_by=by,
        note=readable(terms.note, MAX_NOTE),
    )


def _signed(claims: Claims, signing: SigningKeys) -> Capability:
    token = sign(claims, signing.current)
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidInput(
            f"the token would have more than {MAX_TOKEN_CHARS} characters; "
            "take fewer or shorter patterns, or derive from one that is nearer to the first",
            field="patterns",
            code="capability_too_large",
        )
    return read_token(token)
