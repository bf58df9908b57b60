"""How the endpoints of a workspace are made and changed. Each change is in the audit log."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET

from bursar.audit.entries import Record
from bursar.egress import Egress
from bursar.errors import InvalidInput
from bursar.ids import check_id, new_id
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, encode_json
from bursar.store.keys import WebhookKeys, WorkspaceKeys
from bursar.store.scripts import webhooks as scripts
from bursar.store.store import Store
from bursar.webhooks.endpoints import (
    EVENTS,
    Endpoint,
    NewWebhook,
    WebhookPatch,
    WebhookSecret,
    WebhookView,
    get,
    read_stored,
)
from bursar.webhooks.secrets import Secrets, new_secret

__all__ = ["change", "create", "record", "remove", "rotate"]

_MAX_DESCRIPTION = 256


async def create(
    store: Store,
    workspace: WorkspaceKeys,
    wish: NewWebhook,
    *,
    egress: Egress,
    max_webhooks: int,
    by: str,
) -> WebhookSecret:
    """Make an endpoint.

    Raises:
        InvalidInput: ``url``, ``events`` or ``description``.
        LimitReached: the workspace has too many (``too_many_webhooks``).
        NotFound: no such workspace.

    """
    host = _check(wish.url, wish.events, wish.description, egress)
    webhook = workspace.webhook(new_id("whk"))
    now = await redis_ms(store)
    endpoint = Endpoint(wish.url, _unique(wish.events), wish.description, now, by)
    secret = new_secret()
    await scripts.put_webhook(
        store,
        webhook,
        encode_json(endpoint),
        record(webhook, "webhook.create", by, host=host, events=list(endpoint.events)),
        max_webhooks=max_webhooks,
        secret=Secrets(secret).encode(),
    )
    return WebhookSecret(await get(store, workspace, webhook.id), secret)


async def change(
    store: Store,
    workspace: WorkspaceKeys,
    webhook_id: str,
    patch: WebhookPatch,
    *,
    egress: Egress,
    by: str,
) -> WebhookView:
    """Change what is given.

    Raises:
        InvalidInput: ``url``, ``events`` or ``description``.
        Conflict: it was changed meanwhile (``webhook_changed``).
        NotFound: no such endpoint.

    """
    webhook, stored = await read_stored(store, workspace, webhook_id)
    before = decode_json(stored, Endpoint)
    given: dict[str, Any] = {
        name: value
        for name in ("url", "events", "description")
        if (value := getattr(patch, name)) is not UNSET
    }
    if "events" in given:
        given["events"] = _unique(given["events"])
    after = msgspec.structs.replace(before, **given)
    host = _check(after.url, after.events, after.description, egress)
    changed: dict[str, Any] = {"host": host, "events": list(after.events), "changed": sorted(given)}
    paused: Literal["", "person", "no"] = ""
    if patch.paused is not UNSET:
        paused = "person" if patch.paused else "no"
        changed["paused"] = patch.paused
    await scripts.put_webhook(
        store,
        webhook,
        encode_json(after),
        record(webhook, "webhook.change", by, **changed),
        max_webhooks=0,
        expected=stored,
        paused=paused,
    )
    return await get(store, workspace, webhook.id)


async def rotate(
    store: Store, workspace: WorkspaceKeys, webhook_id: str, *, by: str
) -> WebhookSecret:
    """Make a new secret. For a day messages are signed with the old one as well.

    Raises:
        Conflict: somebody else did so at the same time (``webhook_changed``).
        NotFound: no such endpoint.

    """
    webhook, _ = await read_stored(store, workspace, webhook_id)
    stored: bytes = await store.redis.call("HGET", workspace.webhook_secrets, webhook.id)
    rotated = Secrets.decode(stored).rotated(await redis_ms(store))
    entry = record(webhook, "webhook.rotate", by)
    await scripts.rotate_secret(store, webhook, rotated.encode(), entry, expected=stored)
    return WebhookSecret(await get(store, workspace, webhook.id), rotated.current)


async def remove(store: Store, workspace: WorkspaceKeys, webhook_id: str, *, by: str) -> None:
    """Remove an endpoint with all that waits for it. Raises `NotFound`."""
    webhook = workspace.webhook(check_id(webhook_id, "webhook"))
    await scripts.remove_webhook(store, webhook, record(webhook, "webhook.remove", by))


def record(webhook: WebhookKeys, action: str, by: str, **details: Any) -> Record:
    """The audit entry of something that was done to an endpoint.

    Of its URL it has the host: the rest is often a secret, and more people read the audit log.
    """
    return Record(
        workspace=webhook.workspace.id,
        actor=by,
        action=action,
        decision="done",
        details={"webhook": webhook.id, **details},
    )


def _check(url: str, events: tuple[str, ...], description: str, egress: Egress) -> str:
    """Whether an endpoint can be so; returns its host."""
    host = egress.target(url).host
    if not events:
        raise InvalidInput(f"expected some of {', '.join(EVENTS)}", field="events")
    for index, kind in enumerate(events):
        if kind not in EVENTS:
            raise InvalidInput(f"expected one of {', '.join(EVENTS)}", field=f"events[{index}]")
    if len(description) > _MAX_DESCRIPTION or not description.isprintable():
        raise InvalidInput(
            f"expected at most {_MAX_DESCRIPTION} printable characters", field="description"
        )
    return host


def _unique(events: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(events))
