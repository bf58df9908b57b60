"""The keys that sign capabilities and audit seals: their public halves, rotation, revocation."""

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from bursar.ids import check_id
from bursar.signing import SigningKeyView
from bursar_gateway.auth import require_admin
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]


@get("/signing-keys", tags=["signing keys"], responses=problems())
async def list_signing_keys(gateway: NamedDependency[Gateway]) -> list[SigningKeyView]:
    """The public halves, newest first: what one needs to verify capabilities and audit seals."""
    return await gateway.public_keys.list_keys()


@post(
    "/signing-keys/rotate",
    guards=[require_admin],
    tags=["signing keys"],
    responses=problems(403, 409, 429),
)
async def rotate_signing_key(
    request: JsonRequest, gateway: NamedDependency[Gateway]
) -> SigningKeyView:
    """Sign with a new key from now on. What older ones signed stays valid.

    Needs an administrator's key.
    """
    return await gateway.signing.rotate(request.user.actor)


@delete(
    "/signing-keys/{kid:str}",
    status_code=200,
    guards=[require_admin],
    tags=["signing keys"],
    responses=problems(403, 404, 409),
)
async def revoke_signing_key(
    request: JsonRequest, gateway: NamedDependency[Gateway], kid: FromPath[str]
) -> SigningKeyView:
    """End all that a key ever signed, everywhere within a second. For a key that got out.

    A new one takes the place of the current one. Needs an administrator's key.
    """
    return await gateway.signing.revoke(check_id(kid, "kid"), request.user.actor)


HANDLERS: list[ControllerRouterHandler] = [
    list_signing_keys,
    rotate_signing_key,
    revoke_signing_key,
]
