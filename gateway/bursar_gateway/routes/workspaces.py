"""Workspaces, and what is there to run in them."""

from typing import Annotated

from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from bursar import kill_switch, workspaces
from bursar.installation import InstallationView, read_installation
from bursar.registry import AgentEntry, WorkerView, list_workers
from bursar.workspaces import WorkspaceView
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import Kill, NewWorkspace, WorkspacePatch
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]


@post(
    "/workspaces",
    guards=[require_admin],
    tags=["workspaces"],
    responses=problems(403, 409, with_body=True),
)
async def create_workspace(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    data: Annotated[NewWorkspace, body({"id": "acme", "limit_microusd": 5_000_000})],
) -> WorkspaceView:
    """Create a workspace. Needs an administrator's key."""
    return await workspaces.create(
        gateway.store,
        data.id,
        limit_microusd=data.limit_microusd,
        warn_percent=data.warn_percent,
        max_running=data.max_running,
        max_sessions=data.max_sessions,
        max_queued=data.max_queued,
        actor=request.user.actor,
    )


@get("/workspaces", tags=["workspaces"], responses=problems())
async def list_workspaces(
    gateway: NamedDependency[Gateway], request: JsonRequest
) -> list[WorkspaceView]:
    """Workspaces that the key may see."""
    names = await workspaces.list_workspaces(gateway.store)
    seen = [name for name in names if request.user.may_see(name)]
    return [await workspaces.get(gateway.store, name) for name in seen]


@get("/workspaces/{ws:str}", tags=["workspaces"], responses=problems(404))
async def get_workspace(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> WorkspaceView:
    """One workspace with its budget and caps."""
    return await workspaces.get(gateway.store, ws)


@patch(
    "/workspaces/{ws:str}",
    guards=[require_admin],
    tags=["workspaces"],
    responses=problems(403, 404, 409, with_body=True),
)
async def patch_workspace(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[WorkspacePatch, body({"paused": True}, {"max_running": 20})],
) -> WorkspaceView:
    """Pause, resume, or change caps. Needs an administrator's key."""
    return await workspaces.update(gateway.store, ws, data.changes(), actor=request.user.actor)


@post(
    "/workspaces/{ws:str}/kill",
    status_code=200,
    guards=[require_admin],
    tags=["workspaces"],
    responses=problems(403, 404, with_body=True),
)
async def kill_workspace(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[Kill | None, body({"reason": "runaway agent"})] = None,
) -> WorkspaceView:
    """Stop everything: take no inputs, start nothing, cancel every open turn; the body is optional.

    Needs an administrator's key.
    """
    await workspaces.locate(gateway.store, ws)
    reason = (data or Kill()).reason
    return await kill_switch.kill(
        gateway.store, gateway.inputs, ws, reason, actor=request.user.actor
    )


@post(
    "/workspaces/{ws:str}/revive",
    status_code=200,
    guards=[require_admin],
    tags=["workspaces"],
    responses=problems(403, 404, 409),
)
async def revive_workspace(
    request: JsonRequest, gateway: NamedDependency[Gateway], ws: FromPath[str]
) -> WorkspaceView:
    """Let a workspace that was killed take inputs and run again, also if it was paused before.

    Needs an administrator's key.
    """
    return await kill_switch.revive(gateway.store, ws, actor=request.user.actor)


@get("/workspaces/{ws:str}/stats", tags=["workspaces"], responses=problems(404))
async def read_stats(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> dict[str, int]:
    """Counters by name, such as `turns:succeeded`."""
    await workspaces.locate(gateway.store, ws)
    return await workspaces.read_stats(gateway.store, ws)


@get("/agents", tags=["agents"], responses=problems())
async def list_agents(gateway: NamedDependency[Gateway]) -> list[AgentEntry]:
    """Agents that some worker serves or served; `live` says whether one does now."""
    entries = await gateway.registry.entries()
    return [entries[name] for name in sorted(entries)]


@get("/workers", guards=[require_admin], tags=["agents"], responses=problems(403))
async def get_workers(gateway: NamedDependency[Gateway]) -> list[WorkerView]:
    """Workers that live now. Needs an administrator's key."""
    return await list_workers(gateway.store)


@get("/top", guards=[require_admin], tags=["agents"], responses=problems(403))
async def get_installation(gateway: NamedDependency[Gateway]) -> InstallationView:
    """Workers, workspaces, queues and what is blocked. Needs an administrator's key."""
    return await read_installation(gateway.store, gateway.queue, gateway.registry)


HANDLERS: list[ControllerRouterHandler] = [
    create_workspace,
    list_workspaces,
    get_workspace,
    patch_workspace,
    kill_workspace,
    revive_workspace,
    read_stats,
    list_agents,
    get_workers,
    get_installation,
]
