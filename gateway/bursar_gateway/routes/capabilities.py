"""Signed rights: given out, made narrower, looked at, ended, brought back."""

from typing import Annotated

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.gate import capability_views, minting
from bursar.gate.capabilities import Capability
from bursar.gate.capability_views import Inspection, view_of
from bursar.gate.terms import DerivedCapability, NewCapability
from bursar_gateway.auth import require_approver
from bursar_gateway.bodies import CapabilityQuestion, MintedCapability, PresentedCapability
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_MANY = "/workspaces/{ws:str}/capabilities"
_TOKEN = "eyJhbGciOiJFZERTQSIsImtpZCI6InNrXzEiLCJ0eXAiOiJidXJzYXIrY2FwIn0.e30.AA"  # noqa: S105


@post(
    _MANY,
    guards=[require_approver],
    tags=["capabilities"],
    responses=problems(403, 404, 409, 429, with_body=True),
)
async def mint_capability(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[
        NewCapability,
        body(
            {"patterns": ["file+write://reports/**"], "expires_in_s": 3600},
            {"patterns": ["exec://git push **"], "scope": "workspace", "single_use": True},
        ),
    ],
) -> MintedCapability:
    """Give out a right to call without being asked, and put it in force. Needs an approver's key.

    It bypasses no budget and nothing that a policy blocks.
    """
    workspace = await workspaces.locate(gateway.store, ws)
    made = await minting.mint(
        gateway.store, workspace, gateway.signing, data, by=request.user.actor
    )
    return _minted(made)


@post(
    _MANY + "/derive",
    tags=["capabilities"],
    responses=problems(403, 404, 409, 429, with_body=True),
)
async def derive_capability(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[
        DerivedCapability, body({"token": _TOKEN, "patterns": ["file+write://reports/a.md"]})
    ],
) -> MintedCapability:
    """Make a part of a right that is in force; the token is the proof that one may.

    What is left out is as in the token. Nothing of it may be more than the token permits.
    """
    workspace = await workspaces.locate(gateway.store, ws)
    made = await minting.derive(
        gateway.store,
        workspace,
        gateway.signing,
        gateway.public_keys,
        data,
        by=request.user.actor,
    )
    return _minted(made)


@post(
    _MANY + "/inspect",
    status_code=200,
    tags=["capabilities"],
    responses=problems(404, with_body=True),
)
async def inspect_capability(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[CapabilityQuestion, body({"token": _TOKEN}, {"id": "cap_06e0v3k"})],
) -> Inspection:
    """Say whether a token, or the capability with an id, is good now, and if not, why not."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await capability_views.inspect(
        gateway.store, workspace, gateway.public_keys, token=data.token, capability_id=data.id
    )


@get(_MANY, tags=["capabilities"], responses=problems(404))
async def list_capabilities(
    gateway: NamedDependency[Gateway], ws: FromPath[str]
) -> list[Inspection]:
    """All that are in force, and those that ended a short while ago; oldest first."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await capability_views.list_capabilities(gateway.store, workspace, gateway.public_keys)


@post(
    _MANY + "/import",
    status_code=200,
    guards=[require_approver],
    tags=["capabilities"],
    responses=problems(403, 404, 409, 429, with_body=True),
)
async def import_capability(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[PresentedCapability, body({"token": _TOKEN})],
) -> Inspection:
    """Put a token in force again, as after a backup without it. Needs an approver's key.

    What was revoked or used up stays so.
    """
    workspace = await workspaces.locate(gateway.store, ws)
    keys = gateway.public_keys
    brought = await minting.bring_back(
        gateway.store, workspace, keys, data.token, by=request.user.actor
    )
    return await capability_views.inspect(gateway.store, workspace, keys, capability_id=brought.id)


@delete(
    _MANY + "/{capability:str}",
    guards=[require_approver],
    tags=["capabilities"],
    responses=problems(403, 404),
)
async def revoke_capability(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    capability: FromPath[str],
) -> None:
    """Revoke one, and with it all that were derived from it. Needs an approver's key."""
    workspace = await workspaces.locate(gateway.store, ws)
    await capability_views.revoke(gateway.store, workspace, capability, by=request.user.actor)


def _minted(capability: Capability) -> MintedCapability:
    return MintedCapability(token=capability.token, capability=view_of(capability))


HANDLERS: list[ControllerRouterHandler] = [
    mint_capability,
    derive_capability,
    inspect_capability,
    list_capabilities,
    import_capability,
    revoke_capability,
]
