"""Who is calling and what they may see: guards that run before anything of the request is read."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from bursar.api_keys import Principal
from bursar.errors import Denied, NotFound
from bursar_gateway.gateway import Gateway

__all__ = ["Connection", "bearer", "require_admin", "require_approver", "require_key"]

Connection = ASGIConnection[Any, Any, Any, Any]


def bearer(connection: Connection) -> str:
    """The token of the request; empty if there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def require_key(connection: Connection, _: BaseRouteHandler) -> None:
    """Let in who has a key, and answer for a foreign workspace as for one that does not exist."""
    gateway: Gateway = connection.app.state["gateway"]
    token = bearer(connection)
    try:
        principal = await gateway.keys.verify(token)
    except Denied:
        gateway.refusals.note(connection.client.host if connection.client else "", token)
        raise
    workspace = connection.path_params.get("ws")
    if workspace is not None and not principal.may_see(workspace):
        raise NotFound("no such workspace", code="workspace_not_found")
    connection.scope["user"] = principal


async def require_admin(connection: Connection, _: BaseRouteHandler) -> None:
    """After `require_key`."""
    principal: Principal = connection.scope["user"]
    if not principal.admin:
        raise Denied("this needs an administrator's key", code="admin_only")


async def require_approver(connection: Connection, _: BaseRouteHandler) -> None:
    """After `require_key`. Whoever gives an agent its inputs need not be who answers for it."""
    principal: Principal = connection.scope["user"]
    if not principal.may_approve:
        raise Denied("this needs the key of an approver", code="approver_only")
