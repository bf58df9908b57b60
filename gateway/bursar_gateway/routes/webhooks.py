"""Webhooks of a workspace: endpoints that are told of its questions. For administrators."""

from typing import Annotated

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.webhooks import changes, endpoints, messages
from bursar.webhooks.endpoints import NewWebhook, WebhookPatch, WebhookSecret, WebhookView
from bursar.webhooks.messages import Deliveries, SentTest
from bursar_gateway.auth import require_admin
from bursar_gateway.gateway import Gateway
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS"]

_MANY = "/workspaces/{ws:str}/webhooks"
_ONE = _MANY + "/{webhook:str}"
_URL = "https://example.org/bursar"


@get(_MANY, guards=[require_admin], tags=["webhooks"], responses=problems(403, 404))
async def list_webhooks(gateway: NamedDependency[Gateway], ws: FromPath[str]) -> list[WebhookView]:
    """All endpoints of the workspace, the oldest first, and how they answer."""
    workspace = await workspaces.locate(gateway.store, ws)
    return await endpoints.list_webhooks(gateway.store, workspace)


@post(
    _MANY,
    guards=[require_admin],
    tags=["webhooks"],
    responses=problems(403, 404, 429, with_body=True),
)
async def create_webhook(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[
        NewWebhook,
        body({"url": _URL}, {"url": _URL, "events": ["approval.requested"]}),
    ],
) -> WebhookSecret:
    """Make an endpoint. Its secret is in this answer and is never shown again.

    It is sent each event of the kinds that it wants, signed, until it takes it (2xx), for a day;
    410 pauses it. It has to be a public `https` address.
    """
    return await changes.create(
        gateway.store,
        gateway.store.workspace(ws),
        data,
        egress=gateway.egress,
        max_webhooks=gateway.settings.max_webhooks,
        by=request.user.actor,
    )


@get(_ONE, guards=[require_admin], tags=["webhooks"], responses=problems(403, 404))
async def get_webhook(
    gateway: NamedDependency[Gateway], ws: FromPath[str], webhook: FromPath[str]
) -> WebhookView:
    """One endpoint and how it answers."""
    return await endpoints.get(gateway.store, gateway.store.workspace(ws), webhook)


@patch(
    _ONE,
    guards=[require_admin],
    tags=["webhooks"],
    responses=problems(403, 404, 409, with_body=True),
)
async def patch_webhook(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    webhook: FromPath[str],
    data: Annotated[WebhookPatch, body({"paused": True}, {"events": ["approval.deferred"]})],
) -> WebhookView:
    """Change what is given. What waits for it is then tried at once, unless it is paused.

    While it is paused it is sent nothing, and what happens then it does not get later either.
    """
    return await changes.change(
        gateway.store,
        gateway.store.workspace(ws),
        webhook,
        data,
        egress=gateway.egress,
        by=request.user.actor,
    )


@delete(_ONE, guards=[require_admin], tags=["webhooks"], responses=problems(403, 404))
async def delete_webhook(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    webhook: FromPath[str],
) -> None:
    """Remove an endpoint with all that waits for it."""
    workspace = gateway.store.workspace(ws)
    await changes.remove(gateway.store, workspace, webhook, by=request.user.actor)


@post(
    f"{_ONE}/rotate",
    guards=[require_admin],
    tags=["webhooks"],
    status_code=200,
    responses=problems(403, 404, 409),
)
async def rotate_webhook(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    webhook: FromPath[str],
) -> WebhookSecret:
    """Make a new secret. For 24 hours messages are signed with both."""
    workspace = gateway.store.workspace(ws)
    return await changes.rotate(gateway.store, workspace, webhook, by=request.user.actor)


@post(
    f"{_ONE}/test",
    guards=[require_admin],
    tags=["webhooks"],
    status_code=202,
    responses=problems(403, 404, 409),
)
async def test_webhook(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    webhook: FromPath[str],
) -> SentTest:
    """Send it a `webhook.test`, once. How it went shows among its deliveries."""
    workspace = gateway.store.workspace(ws)
    return await messages.send_test(gateway.store, workspace, webhook, by=request.user.actor)


@get(f"{_ONE}/deliveries", guards=[require_admin], tags=["webhooks"], responses=problems(403, 404))
async def list_deliveries(
    gateway: NamedDependency[Gateway], ws: FromPath[str], webhook: FromPath[str]
) -> Deliveries:
    """The last hundred tries, and as many of the messages that were given up; the newest first."""
    workspace = gateway.store.workspace(ws)
    return await messages.list_deliveries(gateway.store, workspace, webhook)


@post(
    f"{_ONE}/deliveries/{{message:str}}/retry",
    guards=[require_admin],
    tags=["webhooks"],
    status_code=204,
    responses=problems(403, 404, 409),
)
async def retry_delivery(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    webhook: FromPath[str],
    message: FromPath[str],
) -> None:
    """Try a message again, now: one that was given up, or one that waits."""
    await messages.retry(
        gateway.store,
        gateway.store.workspace(ws),
        webhook,
        message,
        give_up_s=gateway.settings.webhook_give_up_s,
        by=request.user.actor,
    )


HANDLERS: list[ControllerRouterHandler] = [
    list_webhooks,
    create_webhook,
    get_webhook,
    patch_webhook,
    delete_webhook,
    rotate_webhook,
    test_webhook,
    list_deliveries,
    retry_delivery,
]
