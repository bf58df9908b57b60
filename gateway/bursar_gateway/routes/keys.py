"""API keys, for administrators only."""

from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from bursar.api_keys import ApiKeyView, NewApiKey
from bursar_gateway.auth import require_admin
from bursar_gateway.bodies import NewKey
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]


@post("/keys", guards=[require_admin], tags=["keys"], responses=problems(403, with_body=True))
async def create_key(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    data: Annotated[NewKey, body({"name": "backend", "workspaces": ["acme"]})],
) -> NewApiKey:
    """Make a key. Its token is shown this once."""
    return await gateway.keys.create(
        name=data.name,
        workspaces=data.workspaces,
        admin=data.admin,
        approver=data.approver,
        actor=request.user.actor,
    )


@get("/keys", guards=[require_admin], tags=["keys"], responses=problems(403))
async def list_keys(gateway: NamedDependency[Gateway]) -> list[ApiKeyView]:
    """All keys, without their secrets."""
    return await gateway.keys.list_keys()


@delete("/keys/{key_id:str}", guards=[require_admin], tags=["keys"], responses=problems(403, 404))
async def revoke_key(
    request: JsonRequest, gateway: NamedDependency[Gateway], key_id: FromPath[str]
) -> None:
    """Revoke a key; every gateway refuses it within a second, and ends its streams."""
    await gateway.keys.revoke(key_id, actor=request.user.actor)


HANDLERS: list[ControllerRouterHandler] = [create_key, list_keys, revoke_key]
