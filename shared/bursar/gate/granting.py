"""Making, listing and ending allowances, and carrying them from one installation to another."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.audit.entries import Record
from bursar.errors import InvalidInput, NotFound
from bursar.gate.allowances import (
    Allowance,
    AllowanceView,
    Scope,
    check_allowance,
    decode_allowances,
    view_of,
)
from bursar.gate.grants import PathGrant
from bursar.ids import check_id, check_session, new_id
from bursar.registry import redis_ms
from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.allowances import end_allowance, key_of, put_allowance
from bursar.store.store import Store

__all__ = [
    "Imported",
    "NewAllowance",
    "allow",
    "build",
    "end_of_session",
    "export",
    "import_all",
    "list_allowances",
    "look_at",
    "record_of",
    "revoke",
    "revoke_all",
]

_MAX_IMPORT = 10_000


class NewAllowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person allows.

    ``session`` names the session, or any session of the tree. ``folder`` binds the pattern to the
    sessions that have this folder, given as an absolute path.
    """

    pattern: str
    scope: Scope = "workspace"
    session: str = ""
    expires_in_s: int | None = None
    max_uses: int | None = None
    folder: str = ""
    paths: tuple[PathGrant, ...] = ()
    note: str = ""


class Imported(msgspec.Struct, frozen=True):
    """How many entries were taken, were there before, or are used up and stay so."""

    added: int
    present: int
    used_up: int


async def build(
    store: Store,
    workspace: WorkspaceKeys,
    wish: NewAllowance,
    *,
    by: str,
    approval: str = "",
    manifest: str = "",
) -> Allowance:
    """Return the checked allowance for a wish.

    Raises:
        InvalidInput: names the field.
        NotFound: no such session.

    """
    now = await redis_ms(store)
    root = ""
    if wish.scope != "workspace":
        root = await _root_of(store, workspace, wish.session)
    elif wish.session:
        raise InvalidInput("expected none, as the scope is the workspace", field="session")
    if wish.expires_in_s is not None and not 1 <= wish.expires_in_s <= 10 * 366 * 86_400:
        raise InvalidInput("expected 1 second to 10 years", field="expires_in_s")
    allowance = Allowance(
        id=new_id("alw"),
        pattern=wish.pattern,
        scope=wish.scope,
        session=wish.session if wish.scope == "session" else "",
        root=root,
        created_ms=now,
        created_by=by,
        approval=approval,
        expires_ms=None if wish.expires_in_s is None else now + wish.expires_in_s * 1000,
        max_uses=wish.max_uses,
        folder=wish.folder,
        manifest=manifest,
        paths=wish.paths,
        note=wish.note,
    )
    return check_allowance(allowance, now_ms=now)


async def allow(
    store: Store, workspace: WorkspaceKeys, wish: NewAllowance, *, by: str
) -> AllowanceView:
    """Allow calls from now on; workers know at their next call."""
    allowance = await build(store, workspace, wish, by=by)
    record = record_of(workspace, by, "allowance.grant", allowance)
    await put_allowance(store, workspace, allowance, record.body, left=allowance.max_uses)
    return view_of(allowance, allowance.max_uses)


async def list_allowances(
    store: Store, workspace: WorkspaceKeys, *, session: str = ""
) -> list[AllowanceView]:
    """Allowances of the workspace; with a session also those that count in it."""
    found = await _read(store, workspace, "")
    if session:
        root = await _root_of(store, workspace, session)
        of_tree = await _read(store, workspace, root)
        found += [pair for pair in of_tree if pair[0].session in {"", session}]
    ordered = sorted(found, key=lambda pair: (pair[0].created_ms, pair[0].id))
    return [view_of(*pair) for pair in ordered]


async def revoke(
    store: Store, workspace: WorkspaceKeys, allowance_id: str, *, by: str, session: str = ""
) -> None:
    """End an allowance; the next check of every worker knows.

    Args:
        session: a session of the tree that it is of; empty for one of the workspace.

    Raises:
        NotFound: ``allowance_not_found``.

    """
    check_id(allowance_id, "allowance")
    root = await _root_of(store, workspace, session) if session else ""
    record = Record(
        workspace=workspace.id,
        actor=by,
        action="allowance.revoke",
        decision="done",
        proof_id=allowance_id,
        session=session,
        details={"allowance": allowance_id},
    )
    if not await end_allowance(
        store, workspace, root=root, allowance_id=allowance_id, how="revoke", record=record
    ):
        raise NotFound("no such allowance here", code="allowance_not_found")


async def revoke_all(
    store: Store, workspace: WorkspaceKeys, *, by: str, scope: Scope, session: str = ""
) -> int:
    """End all allowances of the workspace, of a session's tree, or of one session."""
    root = await _root_of(store, workspace, session) if scope != "workspace" else ""
    ended = 0
    for allowance, _ in await _read(store, workspace, root):
        if scope == "session" and allowance.session != session:
            continue
        record = record_of(workspace, by, "allowance.revoke", allowance)
        ended += await end_allowance(
            store, workspace, root=root, allowance_id=allowance.id, how="revoke", record=record
        )
    return ended


async def end_of_session(store: Store, workspace: WorkspaceKeys, sid: str, root: str) -> None:
    """A session has ended: so does what was allowed to it; with a root, to its whole tree."""
    if sid == root:
        await revoke_all(store, workspace, by="system", scope="tree", session=sid)
    else:
        await revoke_all(store, workspace, by="system", scope="session", session=sid)


async def export(store: Store, workspace: WorkspaceKeys) -> list[AllowanceView]:
    """The workspace's own allowances, as `import_all` takes them."""
    return await list_allowances(store, workspace)


async def import_all(
    store: Store, workspace: WorkspaceKeys, entries: Sequence[AllowanceView], *, by: str
) -> Imported:
    """Take allowances that were exported. One that ended here stays so, whatever a copy says.

    Raises:
        InvalidInput: names the entry and its field; nothing was taken.

    """
    if len(entries) > _MAX_IMPORT:
        raise InvalidInput(f"expected at most {_MAX_IMPORT} entries", field="entries")
    now = await redis_ms(store)
    checked: list[tuple[Allowance, int | None]] = []
    for index, entry in enumerate(entries):
        try:
            checked.append(_imported(entry, now))
        except InvalidInput as error:
            place = f"entries[{index}].{error.field}"
            raise InvalidInput(error.message, field=place) from None
    counts = {"ok": 0, "exists": 0, "used_up": 0}
    for allowance, left in checked:
        if left == 0 or (allowance.expires_ms is not None and allowance.expires_ms <= now):
            counts["used_up"] += 1
            continue
        record = record_of(workspace, by, "allowance.import", allowance)
        counts[await put_allowance(store, workspace, allowance, record.body, left=left)] += 1
    return Imported(counts["ok"], counts["exists"], counts["used_up"])


async def look_at(store: Store, workspace: WorkspaceKeys, root: str, allowance_id: str) -> None:
    """Its timer is due: end it if it has expired, forget it if it ended long ago."""
    for allowance, _ in await _read(store, workspace, root):
        if allowance.id == allowance_id:
            break
    else:
        allowance = None
    record = Record(
        workspace=workspace.id,
        actor="system",
        action="allowance.expire",
        decision="done",
        proof_id=allowance_id,
        session=root,
    )
    expires_ms = allowance.expires_ms if allowance else None
    await end_allowance(
        store,
        workspace,
        root=root,
        allowance_id=allowance_id,
        how="look",
        record=record,
        expires_ms=expires_ms,
    )


def _imported(entry: AllowanceView, now: int) -> tuple[Allowance, int | None]:
    if entry.scope != "workspace":
        raise InvalidInput("expected workspace; others end with their session", field="scope")
    left = entry.uses_left
    if (entry.max_uses is None) != (left is None):
        raise InvalidInput("expected as many as max_uses, or less", field="uses_left")
    if left is not None and entry.max_uses is not None and not 0 <= left <= entry.max_uses:
        raise InvalidInput("expected 0 to max_uses", field="uses_left")
    fields: dict[str, Any] = msgspec.structs.asdict(entry)
    del fields["uses_left"]
    allowance = Allowance(**fields)
    unexpired = msgspec.structs.replace(allowance, expires_ms=None)
    checked = check_allowance(unexpired, now_ms=now)
    return msgspec.structs.replace(checked, expires_ms=allowance.expires_ms), left


def record_of(workspace: WorkspaceKeys, by: str, action: str, allowance: Allowance) -> Record:
    return Record(
        workspace=workspace.id,
        actor=by,
        action=action,
        decision="done",
        proof="approval" if allowance.approval else "system",
        proof_id=allowance.approval or allowance.id,
        session=allowance.session or allowance.root,
        details={
            "allowance": allowance.id,
            "pattern": allowance.pattern,
            "scope": allowance.scope,
            "expires_ms": allowance.expires_ms,
            "max_uses": allowance.max_uses,
            "paths": allowance.paths,
        },
    )


async def _read(
    store: Store, workspace: WorkspaceKeys, root: str
) -> list[tuple[Allowance, int | None]]:
    return decode_allowances(await store.redis.call("HGETALL", key_of(workspace, root)))


async def _root_of(store: Store, workspace: WorkspaceKeys, session: str) -> str:
    sid = check_session(session)
    root = text(await store.redis.call("HGET", workspace.session(sid).hash, "root"))
    if not root:
        raise NotFound("no such session in this workspace", code="session_not_found")
    return root
