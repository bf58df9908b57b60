"""What people allowed beyond single calls."""

from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.gate import granting
from bursar.gate.allowances import AllowanceView
from bursar.gate.granting import Imported, NewAllowance
from bursar.gate.patterns import Pattern
from bursar_gateway.auth import require_approver
from bursar_gateway.bodies import AllowanceImport, Revocation, Revoked
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_MANY = "/workspaces/{ws:str}/allowances"


@get(_MANY, tags=["allowances"], responses=problems(404))
async def list_allowances(
    gateway: NamedDependency[Gateway], ws: FromPath[str], session: FromQuery[str] = ""
) -> list[AllowanceView]:
    """Allowances of the workspace, and with a session those that count in it, too."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await granting.list_allowances(gateway.store, workspace, session=session)


@post(
    _MANY,
    guards=[require_approver],
    tags=["allowances"],
    responses=problems(403, 404, 409, with_body=True),
)
async def create_allowance(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[
        NewAllowance,
        body({"pattern": "file+write://reports/**", "expires_in_s": 86_400, "max_uses": 20}),
    ],
) -> AllowanceView:
    """Allow calls that match a pattern without a question. Needs an approver's key."""
    workspace = await workspaces.locate(gateway.store, ws)
    made = await granting.allow(gateway.store, workspace, data, by=request.user.actor)
    pattern = Pattern(made.pattern, root=made.folder or None)
    await gateway.answers.settle_covered(workspace, pattern, root=made.root)
    return made


@delete(
    _MANY + "/{allowance:str}",
    guards=[require_approver],
    tags=["allowances"],
    responses=problems(403, 404),
)
async def revoke_allowance(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    allowance: FromPath[str],
    session: FromQuery[str] = "",
) -> None:
    """Revoke one; with `session`, one of that session's tree. The next call is asked again."""
    workspace = gateway.store.workspace(ws)
    await granting.revoke(
        gateway.store, workspace, allowance, by=request.user.actor, session=session
    )


@post(
    _MANY + "/revoke",
    status_code=200,
    guards=[require_approver],
    tags=["allowances"],
    responses=problems(403, 404, with_body=True),
)
async def revoke_allowances(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[Revocation, body({"scope": "tree", "session": "ses_1"})],
) -> Revoked:
    """Revoke all of the workspace, of a session's tree, or of one session."""
    workspace = await workspaces.locate(gateway.store, ws)
    ended = await granting.revoke_all(
        gateway.store,
        workspace,
        by=request.user.actor,
        scope=data.scope,
        session=data.session,
    )
    return Revoked(ended)


@get(
    _MANY + "/export", guards=[require_approver], tags=["allowances"], responses=problems(403, 404)
)
async def export_allowances(
    gateway: NamedDependency[Gateway], ws: FromPath[str]
) -> list[AllowanceView]:
    """The workspace's own allowances, as `import` takes them."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await granting.export(gateway.store, workspace)


@post(
    _MANY + "/import",
    status_code=200,
    guards=[require_approver],
    tags=["allowances"],
    responses=problems(403, 404, with_body=True),
)
async def import_allowances(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[AllowanceImport, body({"entries": []})],
) -> Imported:
    """Take allowances that were exported. What was revoked or used up here stays so."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await granting.import_all(gateway.store, workspace, data.entries, by=request.user.actor)


HANDLERS: list[ControllerRouterHandler] = [
    list_allowances,
    create_allowance,
    export_allowances,
    import_allowances,
    revoke_allowances,
    revoke_allowance,
]
