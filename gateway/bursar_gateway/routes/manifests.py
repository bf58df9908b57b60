"""Tools of MCP servers as they were accepted, and the acceptance of those that changed."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from bursar.manifests import AcceptedManifest, ManifestView, accept_manifests, list_manifests
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import ManifestAcceptance
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_EXAMPLE = {"agent": "assistant", "server": "time", "tool": "convert_time"}


@get("/mcp/manifests", guards=[require_admin], tags=["mcp"], responses=problems(403))
async def list_mcp_manifests(gateway: NamedDependency[Gateway]) -> list[ManifestView]:
    """The tools of MCP servers that were ever seen, and how those look now that changed."""
    return await list_manifests(gateway.store)


@post(
    "/mcp/manifests/accept",
    guards=[require_admin],
    tags=["mcp"],
    status_code=200,
    responses=problems(403, 404, 409, with_body=True),
)
async def accept_mcp_manifests(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    data: Annotated[ManifestAcceptance, body(_EXAMPLE, {"agent": "assistant", "server": "time"})],
) -> list[AcceptedManifest]:
    """Accept a changed tool as it looks now, or all changed ones of a server.

    Sessions that begin a turn after that use it by the rules again.
    """
    return await accept_manifests(
        gateway.store,
        data.agent,
        data.server,
        tool=data.tool,
        sha256=data.sha256,
        actor=request.user.actor,
    )


HANDLERS: list[ControllerRouterHandler] = [list_mcp_manifests, accept_mcp_manifests]
