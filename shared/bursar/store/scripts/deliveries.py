"""Typed calls of the scripts by which messages go to endpoints. Times are by Redis's clock."""

from collections.abc import Sequence
from typing import Any

import msgspec

from bursar.store.codec import hash_fields, text, text_list
from bursar.store.keys import ShardKeys, WebhookKeys, WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = [
    "ATTEMPTS_MAX",
    "DEAD_MAX",
    "LINE_MAX",
    "Look",
    "OutboxEntry",
    "Share",
    "Taken",
    "Tried",
    "end",
    "look",
    "spread",
    "take",
]

_LOOK = Script("outbox_look")
_SPREAD = Script("outbox_spread")
_TAKE = Script("delivery_take")
_END = Script("delivery_end")

LINE_MAX = 20_000
"""Messages that wait for one endpoint; one more is given up at once."""
DEAD_MAX = 1000
"""Messages that were given up and are kept, of one endpoint."""
ATTEMPTS_MAX = 200
"""Tries that are remembered, of one endpoint; some more may be."""


class OutboxEntry(msgspec.Struct, frozen=True):
    """Something that happened. ``to`` is the one endpoint that it is for, or empty."""

    entry: str
    workspace: str
    kind: str
    data: bytes
    to: str = ""

    @property
    def at_ms(self) -> int:
        return int(self.entry.partition("-")[0])


class Look(msgspec.Struct, frozen=True):
    """What is to be done in one shard. ``due`` has references ``<workspace>/<webhook>``."""

    entries: list[OutboxEntry]
    due: list[str]


class Share(msgspec.Struct, frozen=True):
    """What one endpoint gets of an event; ``told`` is the body of `webhook.failed` about it."""

    webhook: WebhookKeys
    body: bytes
    told: bytes


class Taken(msgspec.Struct, frozen=True):
    """A message to be sent now, for the so many-and-first time."""

    id: str
    tries: int
    body: bytes


class Tried(msgspec.Struct, frozen=True):
    """How an endpoint answered.

    Args:
        why: a word for a failure.
        delay_ms: until the next try; ``pause_ms`` and ``pause_max_ms`` are of an endpoint that
            fails again and again.
        attempt: body of the entry about it.
        told: body of `webhook.failed`, if it is given up.
        gone_audit: body of the audit entry about an endpoint that wants no more.

    """

    message: str
    outcome: str
    why: str
    delay_ms: int
    pause_ms: int
    pause_max_ms: int
    attempt: bytes
    told: bytes
    gone_audit: bytes


async def look(store: Store, shard: ShardKeys, *, limit: int) -> Look:
    """What is to be done, at most ``limit`` of each kind."""
    reply = await store.run(_LOOK, [shard.outbox, shard.deliveries], [limit])
    entries = []
    for entry, flat in reply[1]:
        fields = hash_fields(flat)
        entries.append(
            OutboxEntry(
                text(entry),
                text(fields.get("ws")),
                text(fields.get("kind")),
                fields.get("d", b"{}"),
                text(fields.get("to")),
            )
        )
    return Look(entries, text_list(reply[2]))


async def spread(
    store: Store,
    workspace: WorkspaceKeys,
    entry: str,
    message: str,
    shares: Sequence[Share],
    *,
    give_up_ms: int,
    urgent: bool = False,
) -> bool:
    """Hand an event over to its endpoints. False: another gateway did so before."""
    keys = [
        workspace.shard.outbox, workspace.hash, workspace.events, workspace.webhooks,
        workspace.shard.deliveries,
    ]  # fmt: skip
    args: list[Any] = [
        entry, message, give_up_ms, int(urgent), LINE_MAX, DEAD_MAX, store.settings.event_log_max,
        len(shares),
    ]  # fmt: skip
    for share in shares:
        webhook = share.webhook
        keys += [webhook.hash, webhook.due, webhook.messages, webhook.dead]
        args += [webhook.id, webhook.ref, share.body, share.told]
    reply = await store.run(_SPREAD, keys, args)
    return bool(reply[0] == "ok")


async def take(
    store: Store,
    webhook: WebhookKeys,
    *,
    owner: str,
    lease_ms: int,
    room: int,
    threshold: int,
    told: bytes,
    in_flight: Sequence[str] = (),
) -> list[Taken] | None:
    """Take up to ``room`` messages that are due, and keep the endpoint while they are sent.

    Args:
        in_flight: those that this owner is sending already.

    Returns:
        None: the endpoint is not, or not any more, this owner's: nothing waits, it is paused or
        rests, it was removed, or others have it.

    """
    ws = webhook.workspace
    keys = [
        ws.hash, ws.events, ws.webhooks, ws.shard.deliveries, webhook.hash, webhook.due,
        webhook.messages, webhook.dead,
    ]  # fmt: skip
    args: list[Any] = [
        webhook.id, webhook.ref, owner, lease_ms, room, threshold, DEAD_MAX,
        store.settings.event_log_max, told, len(in_flight), *in_flight,
    ]  # fmt: skip
    reply = await store.run(_TAKE, keys, args)
    if reply[0] != "ok":
        return None
    flat = reply[1]
    return [Taken(text(flat[at]), int(flat[at + 1]), flat[at + 2]) for at in range(0, len(flat), 3)]


async def end(
    store: Store, webhook: WebhookKeys, tried: Tried, *, owner: str, threshold: int
) -> bool:
    """Record how an endpoint answered. False: it should not be sent more now.

    Nothing is recorded of a message that was taken before, of an endpoint that was removed, and of
    failures that others, who have the endpoint now, will see for themselves.
    """
    ws = webhook.workspace
    keys = [
        ws.hash, ws.audit, ws.events, ws.webhooks, ws.shard.deliveries, webhook.hash, webhook.due,
        webhook.messages, webhook.dead, webhook.attempts,
    ]  # fmt: skip
    args: list[Any] = [
        webhook.id, webhook.ref, owner, tried.message, tried.outcome, tried.why, tried.delay_ms,
        threshold, tried.pause_ms, tried.pause_max_ms, DEAD_MAX, store.settings.event_log_max,
        ATTEMPTS_MAX, tried.told, tried.attempt, tried.gone_audit,
    ]  # fmt: skip
    reply = await store.run(_END, keys, args)
    return reply[0] == "ended" or (reply[0] == "ok" and text(reply[1]) == "good")
