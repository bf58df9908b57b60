"""Typed calls of the scripts that make, change and remove the endpoints of a workspace."""

from typing import Any, Literal

from bursar.audit.entries import Record
from bursar.store.keys import WebhookKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["put_webhook", "remove_webhook", "retry_delivery", "rotate_secret"]

_PUT = Script("webhook_put")
_ROTATE = Script("webhook_rotate")
_REMOVE = Script("webhook_remove")
_RETRY = Script("delivery_retry")


async def put_webhook(
    store: Store,
    webhook: WebhookKeys,
    body: bytes,
    record: Record,
    *,
    max_webhooks: int,
    expected: bytes = b"",
    secret: bytes = b"",
    paused: Literal["", "person", "no"] = "",
) -> None:
    """Make an endpoint, or with ``expected`` change that one.

    Args:
        expected: the endpoint as it was read.
        secret: the secrets of a new one.
        paused: by whom, or that it is not any more; empty leaves that.

    Raises:
        Conflict: it was changed meanwhile (``webhook_changed``).
        LimitReached: the workspace has too many (``too_many_webhooks``).
        NotFound: no such workspace, or no such endpoint any more.

    """
    ws = webhook.workspace
    keys = [
        ws.hash, ws.audit, ws.webhooks, ws.webhook_secrets, ws.shard.deliveries, webhook.hash,
        webhook.due,
    ]  # fmt: skip
    args: list[Any] = [
        webhook.id, webhook.ref, expected, body, secret, paused, max_webhooks, record.body,
    ]  # fmt: skip
    _check(await store.run(_PUT, keys, args))


async def rotate_secret(
    store: Store, webhook: WebhookKeys, secrets: bytes, record: Record, *, expected: bytes
) -> None:
    """Raises `Conflict` (``webhook_changed``) or `NotFound`."""
    ws = webhook.workspace
    keys = [ws.hash, ws.audit, ws.webhooks, ws.webhook_secrets]
    _check(await store.run(_ROTATE, keys, [webhook.id, expected, secrets, record.body]))


async def remove_webhook(store: Store, webhook: WebhookKeys, record: Record) -> None:
    """Remove an endpoint and all that waits for it. Raises `NotFound`."""
    ws = webhook.workspace
    keys = [
        ws.hash, ws.audit, ws.webhooks, ws.webhook_secrets, ws.shard.deliveries, webhook.hash,
        webhook.due, webhook.messages, webhook.dead, webhook.attempts,
    ]  # fmt: skip
    _check(await store.run(_REMOVE, keys, [webhook.id, webhook.ref, record.body]))


async def retry_delivery(
    store: Store, webhook: WebhookKeys, message: str, record: Record, *, give_up_ms: int
) -> None:
    """Try a message again: one that was given up, or one that waits.

    Raises:
        Conflict: the endpoint is paused (``webhook_paused``).
        NotFound: no such endpoint, or no such message of it.

    """
    ws = webhook.workspace
    keys = [
        ws.hash, ws.audit, ws.webhooks, ws.shard.deliveries, webhook.hash, webhook.due,
        webhook.messages, webhook.dead,
    ]  # fmt: skip
    args = [webhook.id, webhook.ref, message, give_up_ms, record.body]
    _check(await store.run(_RETRY, keys, args))


def _check(reply: list[Any]) -> None:
    if reply[0] != "ok":
        raise_for(reply)
