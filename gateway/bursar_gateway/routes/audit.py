"""The audit logs: of a workspace, for all of its keys, and of the installation."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.audit.chain import INSTALLATION
from bursar.audit.exporting import export_log
from bursar.audit.listing import AuditPage, Filter, read_page
from bursar.audit.reading import AuditState, read_entries, read_seals, read_state
from bursar.audit.sealing import Accepted, accept_head
from bursar.audit.seals import Seal
from bursar.audit.trimming import TrimmedAudit, trim_log
from bursar.errors import InvalidInput
from bursar.inbox import check_reason
from bursar.store.scripts.audit import AuditLog
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import AcceptedHead, AuditTrim
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_ONE = "/workspaces/{ws:str}/audit"
_OURS = "/audit"
_PAGE_MAX = 1000
_SEQ_MAX = 10**15
_TRIM = {"to_seq": 1200, "head": "3f" * 32}
_REASON = {"reason": "restored from the backup of Monday"}


@get(_ONE, tags=["audit"], responses=problems(404, 409, 422))
async def workspace_audit(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    after: FromQuery[int | None] = None,
    before: FromQuery[int | None] = None,
    limit: FromQuery[int] = 100,
    session: FromQuery[str] = "",
    action: FromQuery[str] = "",
    decision: FromQuery[str] = "",
) -> AuditPage:
    """The newest entries, newest first (at most 1000); those before entry `before` likewise.

    With `after`: those behind that entry, oldest first. `session`, `action` (which may end in `*`)
    and `decision` (`allow`, `deny`, `ask`, `done`) leave out all others; then at most 10,000
    entries are looked at, and `seen_seq` is where to go on.
    """
    return await _page(
        gateway, await _log(gateway, ws), Filter(session, action, decision), after, before, limit
    )


@get(_OURS, guards=[require_admin], tags=["audit"], responses=problems(403, 409, 422))
async def installation_audit(
    gateway: NamedDependency[Gateway],
    after: FromQuery[int | None] = None,
    before: FromQuery[int | None] = None,
    limit: FromQuery[int] = 100,
    action: FromQuery[str] = "",
    decision: FromQuery[str] = "",
) -> AuditPage:
    """The same of what is of no workspace, such as refused logins. Needs an administrator's key."""
    wanted = Filter("", action, decision)
    return await _page(gateway, _installation(gateway), wanted, after, before, limit)


@get(_ONE + "/head", tags=["audit"], responses=problems(404))
async def workspace_audit_head(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> AuditState:
    """How far the log goes and is sealed. `published` is its newest seal as it is kept apart."""
    return await read_state(gateway.store, await _log(gateway, ws))


@get(_OURS + "/head", guards=[require_admin], tags=["audit"], responses=problems(403))
async def installation_audit_head(gateway: NamedDependency[Gateway]) -> AuditState:
    """The same of the installation's log. Needs an administrator's key."""
    return await read_state(gateway.store, _installation(gateway))


@get(_ONE + "/seals", tags=["audit"], responses=problems(404, 409, 422))
async def workspace_audit_seals(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    after: FromQuery[int] = 0,
    limit: FromQuery[int] = 100,
) -> list[Seal]:
    """Seals that end behind entry `after`, oldest first (at most 1000)."""
    return await _seals(gateway, await _log(gateway, ws), after, limit)


@get(_OURS + "/seals", guards=[require_admin], tags=["audit"], responses=problems(403, 409, 422))
async def installation_audit_seals(
    gateway: NamedDependency[Gateway], after: FromQuery[int] = 0, limit: FromQuery[int] = 100
) -> list[Seal]:
    """The same of the installation's log. Needs an administrator's key."""
    return await _seals(gateway, _installation(gateway), after, limit)


@get(_ONE + "/export", media_type="application/jsonl", tags=["audit"], responses=problems(404, 409))
async def export_workspace_audit(
    gateway: NamedDependency[Gateway], ws: FromPath[str], unsealed: FromQuery[bool] = False
) -> Response[Any]:
    """The whole log as lines of JSON: entries, seals, and a signed last line.

    It verifies without a server. What is not sealed yet is sealed first, and when the answer is
    complete the log may be trimmed up to its end. With `unsealed` nothing is sealed and nothing may
    be trimmed: that is the log as it is now, to be verified.
    """
    return await _export(gateway, await _log(gateway, ws), unsealed=unsealed)


@get(
    _OURS + "/export",
    media_type="application/jsonl",
    guards=[require_admin],
    tags=["audit"],
    responses=problems(403, 409),
)
async def export_installation_audit(
    gateway: NamedDependency[Gateway], unsealed: FromQuery[bool] = False
) -> Response[Any]:
    """The same of the installation's log. Needs an administrator's key."""
    return await _export(gateway, _installation(gateway), unsealed=unsealed)


@post(
    _ONE + "/trim",
    status_code=200,
    guards=[require_admin],
    tags=["audit"],
    responses=problems(403, 404, 409, with_body=True),
)
async def trim_workspace_audit(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[AuditTrim, body(_TRIM)],
) -> TrimmedAudit:
    """Drop entries up to `to_seq` for good, with which a seal ends that was exported.

    `head` is the chain's head there, as the export has it. At most 20,000 at once; ask again while
    there is `more`. The log says who trimmed it. Needs an administrator's key.
    """
    return await _trim(request, gateway, await _log(gateway, ws), data)


@post(
    _OURS + "/trim",
    status_code=200,
    guards=[require_admin],
    tags=["audit"],
    responses=problems(403, 409, with_body=True),
)
async def trim_installation_audit(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    data: Annotated[AuditTrim, body(_TRIM)],
) -> TrimmedAudit:
    """The same of the installation's log. Needs an administrator's key."""
    return await _trim(request, gateway, _installation(gateway), data)


@post(
    _ONE + "/accept",
    status_code=200,
    guards=[require_admin],
    tags=["audit"],
    responses=problems(403, 404, 409, with_body=True),
)
async def accept_workspace_audit(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[AcceptedHead, body(_REASON)],
) -> Accepted:
    """Take the log as it is after a loss of data, though a later head was published.

    The installation's log says who did that, and which heads those were. Needs an administrator's
    key.
    """
    return await _accept(request, gateway, await _log(gateway, ws), data)


@post(
    _OURS + "/accept",
    status_code=200,
    guards=[require_admin],
    tags=["audit"],
    responses=problems(403, 409, with_body=True),
)
async def accept_installation_audit(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    data: Annotated[AcceptedHead, body(_REASON)],
) -> Accepted:
    """The same of the installation's log. Needs an administrator's key."""
    return await _accept(request, gateway, _installation(gateway), data)


async def _log(gateway: Gateway, ws: str) -> AuditLog:
    await workspaces.locate(gateway.store, ws)
    return AuditLog.of(gateway.store, ws)


def _installation(gateway: Gateway) -> AuditLog:
    return AuditLog.of(gateway.store, INSTALLATION)


async def _page(
    gateway: Gateway,
    log: AuditLog,
    wanted: Filter,
    after: int | None,
    before: int | None,
    limit: int,
) -> AuditPage:
    _check_limit(limit)
    for field, seq in (("after", after), ("before", before)):
        if seq is not None:
            _check_seq(seq, field)
    if after is not None and before is not None:
        raise InvalidInput("expected only one of after and before", field="before")
    if wanted.decision not in {"", "allow", "deny", "ask", "done"}:
        raise InvalidInput("expected allow, deny, ask or done", field="decision")
    return await read_page(gateway.store, log, wanted, after=after, before=before, limit=limit)


async def _seals(gateway: Gateway, log: AuditLog, after: int, limit: int) -> list[Seal]:
    _check_limit(limit)
    _check_seq(after, "after")
    return await read_seals(gateway.store, log, after=after, limit=limit)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= _PAGE_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_PAGE_MAX}", field="limit")


def _check_seq(seq: int, field: str) -> None:
    if not 0 <= seq < _SEQ_MAX:
        raise InvalidInput("expected the number of an entry", field=field)


async def _export(gateway: Gateway, log: AuditLog, *, unsealed: bool) -> Response[Any]:
    """Should it break off, the connection does, too, so that no half file passes for a whole."""
    for key in (log.entries, log.seals):
        await read_entries(gateway.store, "XRANGE", key, "-", "+", "COUNT", 1)
    if not unsealed:
        await gateway.sealer.seal(log)
    ring = await gateway.sealer.ring()
    await gateway.signing.refresh()
    lines: AsyncIterator[bytes] = export_log(
        gateway.store, log, gateway.signing.current, ring, unsealed=unsealed
    )
    name = "installation" if log.workspace == INSTALLATION else log.workspace
    headers = {"Content-Disposition": f'attachment; filename="audit-{name}.jsonl"'}
    stream = Stream(lines, media_type="application/jsonl", headers=headers)
    return cast("Response[Any]", stream)


async def _trim(
    request: JsonRequest, gateway: Gateway, log: AuditLog, data: AuditTrim
) -> TrimmedAudit:
    _check_seq(data.to_seq, "to_seq")
    return await trim_log(gateway.store, log, data.to_seq, data.head, actor=request.user.actor)


async def _accept(
    request: JsonRequest, gateway: Gateway, log: AuditLog, data: AcceptedHead
) -> Accepted:
    reason = check_reason(data.reason)
    ring = await gateway.sealer.ring()
    return await accept_head(gateway.store, log, ring, actor=request.user.actor, reason=reason)


HANDLERS: list[ControllerRouterHandler] = [
    workspace_audit,
    installation_audit,
    workspace_audit_head,
    installation_audit_head,
    workspace_audit_seals,
    installation_audit_seals,
    export_workspace_audit,
    export_installation_audit,
    trim_workspace_audit,
    trim_installation_audit,
    accept_workspace_audit,
    accept_installation_audit,
]
