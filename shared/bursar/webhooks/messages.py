"""The messages of an endpoint: what they say, which were given up, and how the last tries went."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from bursar.errors import Conflict
from bursar.events import Span
from bursar.ids import check_id
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import WebhookKeys, WorkspaceKeys
from bursar.store.scripts import webhooks as scripts
from bursar.store.scripts.deliveries import OutboxEntry
from bursar.store.store import Store
from bursar.webhooks.changes import record
from bursar.webhooks.endpoints import TEST, get, read_stored

__all__ = [
    "Attempt",
    "DeadMessage",
    "Deliveries",
    "SentTest",
    "event_of",
    "failed_body",
    "list_deliveries",
    "message_body",
    "message_id",
    "retry",
    "send_test",
]

_SHOWN = 100


class Attempt(msgspec.Struct, frozen=True):
    """One try. ``status`` is what was answered, 0 for nothing; ``error`` is empty if it worked."""

    message: str
    event: str
    number: int
    at_ms: int
    status: int = 0
    error: str = ""
    took_ms: int = 0


class DeadMessage(msgspec.Struct, frozen=True):
    """A message that was given up. It can be tried again."""

    message: str
    event: str
    at_ms: int
    tries: int
    error: str


class Deliveries(msgspec.Struct, frozen=True):
    """What became of an endpoint's messages: the last tries and the dead ones, newest first."""

    pending: int
    attempts: list[Attempt]
    dead: list[DeadMessage]


class SentTest(msgspec.Struct, frozen=True):
    """A test is on its way; how it went shows among the endpoint's attempts."""

    message: str


class _Typed(msgspec.Struct, frozen=True):
    type: str = ""


def message_id(shard: int, entry: str) -> str:
    """The id of what stands in the outbox of a shard; the same whoever makes it, whenever."""
    return f"msg_{shard}_{entry.replace('-', '_')}"


def message_body(event: OutboxEntry) -> bytes:
    """What endpoints are sent, byte by byte the same in each try."""
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    head = {"type": event.kind, "timestamp": at, "workspace": event.workspace}
    return encode_json(head)[:-1] + b',"data":' + event.data + b"}"


def event_of(body: bytes) -> str:
    """The kind of event that a message is about."""
    return decode_json(body, _Typed).type


def failed_body(webhook: WebhookKeys) -> bytes:
    """The body of `webhook.failed`, to which the scripts add the message and why."""
    return Span("").event("webhook.failed", webhook=webhook.id).body


async def list_deliveries(store: Store, workspace: WorkspaceKeys, webhook_id: str) -> Deliveries:
    """The last hundred tries, and as many dead messages. Raises `NotFound`."""
    webhook, _ = await read_stored(store, workspace, webhook_id)
    call = store.redis.call
    pending, entries, dead = await asyncio.gather(
        call("ZCARD", webhook.due),
        call("XREVRANGE", webhook.attempts, "+", "-", "COUNT", _SHOWN),
        call("ZREVRANGEBYSCORE", webhook.dead, "+inf", "-inf", "LIMIT", 0, _SHOWN),
    )
    attempts = [decode_json(fields[b"d"], Attempt) for _, fields in entries]
    found = await asyncio.gather(*(_dead(store, webhook, text(message)) for message in dead))
    return Deliveries(pending, attempts, [each for each in found if each is not None])


async def retry(
    store: Store,
    workspace: WorkspaceKeys,
    webhook_id: str,
    message: str,
    *,
    give_up_s: float,
    by: str,
) -> None:
    """Try a message again, now, and for as long as a new one.

    Raises:
        Conflict: the endpoint is paused (``webhook_paused``).
        NotFound: no such endpoint, or no such message of it (``delivery_not_found``).

    """
    webhook = workspace.webhook(check_id(webhook_id, "webhook"))
    entry = record(webhook, "webhook.retry", by, message=check_id(message, "message"))
    await scripts.retry_delivery(store, webhook, message, entry, give_up_ms=int(give_up_s * 1000))


async def send_test(
    store: Store, workspace: WorkspaceKeys, webhook_id: str, *, by: str
) -> SentTest:
    """Send an endpoint a `webhook.test`, once, and before all that waits for it.

    Raises:
        Conflict: it is paused (``webhook_paused``).
        NotFound: no such endpoint.

    """
    view = await get(store, workspace, webhook_id)
    if view.paused:
        raise Conflict("the webhook is paused", code="webhook_paused")
    now = await redis_ms(store)
    data = encode_json({"webhook": view.id, "asked_by": by, "at_ms": now})
    fields: dict[str, Any] = {"ws": workspace.id, "kind": TEST, "d": data, "to": view.id}
    flat = [part for pair in fields.items() for part in pair]
    entry = await store.redis.call("XADD", workspace.shard.outbox, "*", *flat)
    return SentTest(message_id(workspace.shard.shard, text(entry)))


async def _dead(store: Store, webhook: WebhookKeys, message: str) -> DeadMessage | None:
    call = store.redis.call
    fields = (message, f"{message}:tries", f"{message}:why")
    (body, tries, why), at_ms = await asyncio.gather(
        call("HMGET", webhook.messages, *fields), call("ZSCORE", webhook.dead, message)
    )
    if body is None or at_ms is None:
        return None  # Somebody tries it again right now.
    return DeadMessage(message, event_of(body), int(at_ms), int(tries or 0), text(why))
