"""The endpoints of a workspace as people see them."""

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from bursar.errors import NotFound
from bursar.ids import check_id
from bursar.store.codec import decode_json, text
from bursar.store.keys import WebhookKeys, WorkspaceKeys
from bursar.store.store import Store
from bursar.webhooks.secrets import Secrets

__all__ = [
    "EVENTS",
    "TEST",
    "Endpoint",
    "NewWebhook",
    "WebhookPatch",
    "WebhookSecret",
    "WebhookView",
    "get",
    "list_webhooks",
    "read_stored",
]

EVENTS = ("approval.requested", "approval.deferred", "approval.resolved")
"""What endpoints can be told of."""
TEST = "webhook.test"
"""What each of them is told when somebody asks for that."""
DEFAULT_EVENTS = EVENTS[:2]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    events: tuple[str, ...] = DEFAULT_EVENTS
    description: str = ""


class WebhookPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. One that is changed is tried again at once."""

    url: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    paused: bool | UnsetType = UNSET


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint without its secret.

    Args:
        paused: it is sent nothing; what happens meanwhile it does not get later either.
        paused_by: ``person``, or ``gone`` if it answered that it wants no more.
        pending: messages that wait for it; ``dead`` were given up and are kept.
        failures: in a row, since it last took a message.
        rests_until_ms: after several failures it is left alone until then.
        old_secret_until_ms: until then messages are signed with the secret before, too.

    """

    id: str
    url: str
    events: tuple[str, ...]
    description: str
    created_ms: int
    created_by: str
    paused: bool
    paused_by: str
    pending: int
    dead: int
    delivered: int
    failures: int
    rests_until_ms: int
    last_delivered_ms: int
    last_failed_ms: int
    last_failure: str
    old_secret_until_ms: int


class WebhookSecret(msgspec.Struct, frozen=True):
    """An endpoint with its new secret: the only time that this is shown."""

    webhook: WebhookView
    secret: str


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint as it is stored."""

    url: str
    events: tuple[str, ...]
    description: str
    created_ms: int
    created_by: str

    def wants(self, kind: str) -> bool:
        return kind in self.events or kind == TEST


async def get(store: Store, workspace: WorkspaceKeys, webhook_id: str) -> WebhookView:
    """Raises `NotFound` (``webhook_not_found``)."""
    webhook, stored = await read_stored(store, workspace, webhook_id)
    return await _view(store, webhook, stored)


async def list_webhooks(store: Store, workspace: WorkspaceKeys) -> list[WebhookView]:
    """All endpoints, the oldest first."""
    found = await store.redis.call("HGETALL", workspace.webhooks)
    ordered = sorted((text(name), stored) for name, stored in found.items())
    views = [_view(store, workspace.webhook(name), stored) for name, stored in ordered]
    return list(await asyncio.gather(*views))


async def read_stored(
    store: Store, workspace: WorkspaceKeys, webhook_id: str
) -> tuple[WebhookKeys, bytes]:
    """An endpoint's keys, and the bytes of it that changes go by. Raises `NotFound`."""
    webhook = workspace.webhook(check_id(webhook_id, "webhook"))
    stored = await store.redis.call("HGET", workspace.webhooks, webhook.id)
    if stored is None:
        raise NotFound("no such webhook in this workspace", code="webhook_not_found")
    return webhook, stored


async def _view(store: Store, webhook: WebhookKeys, stored: bytes) -> WebhookView:
    call = store.redis.call
    state, secrets, pending, dead = await asyncio.gather(
        call("HGETALL", webhook.hash),
        call("HGET", webhook.workspace.webhook_secrets, webhook.id),
        call("ZCARD", webhook.due),
        call("ZCARD", webhook.dead),
    )
    endpoint = decode_json(stored, Endpoint)
    paused_by = text(state.get(b"paused"))
    return WebhookView(
        id=webhook.id,
        url=endpoint.url,
        events=endpoint.events,
        description=endpoint.description,
        created_ms=endpoint.created_ms,
        created_by=endpoint.created_by,
        paused=bool(paused_by),
        paused_by=paused_by,
        pending=pending,
        dead=dead,
        delivered=_number(state, b"delivered"),
        failures=_number(state, b"failures"),
        rests_until_ms=_number(state, b"open_until_ms"),
        last_delivered_ms=_number(state, b"delivered_ms"),
        last_failed_ms=_number(state, b"failed_ms"),
        last_failure=text(state.get(b"failed_why")),
        old_secret_until_ms=Secrets.decode(secrets).previous_until_ms if secrets else 0,
    )


def _number(state: Mapping[bytes, bytes], field: bytes) -> int:
    return int(state.get(field, b"0"))
