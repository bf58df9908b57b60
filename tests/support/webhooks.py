"""Endpoints and messages for tests: made and moved on by hand, with the typed scripts."""

from dataclasses import dataclass
from typing import Any

from bursar.events import LoggedEvent, read_log
from bursar.store.codec import encode_json, text
from bursar.store.keys import WebhookKeys, WorkspaceKeys
from bursar.store.scripts import deliveries, sessions
from bursar.store.scripts import webhooks as scripts
from bursar.store.scripts.deliveries import OutboxEntry, Share, Taken, Tried
from bursar.store.store import Store
from bursar.webhooks.changes import record
from bursar.webhooks.endpoints import Endpoint
from bursar.webhooks.messages import failed_body, message_body, message_id
from bursar.webhooks.secrets import Secrets, new_secret

__all__ = ["DAY_MS", "Post"]

DAY_MS = 86_400_000
THRESHOLD = 3


@dataclass
class Post:
    """One workspace, its outbox, and what gateways do with it."""

    store: Store
    ws: WorkspaceKeys

    @classmethod
    async def build(cls, store: Store, workspace: str = "acme") -> "Post":
        await sessions.open_workspace(
            store, workspace, limit="unlimited", warn_percent=80, settings={}
        )
        return cls(store, store.workspace(workspace))

    async def endpoint(self, name: str = "whk_1", *, max_webhooks: int = 20) -> WebhookKeys:
        webhook = self.ws.webhook(name)
        body = Endpoint("https://example.org/", ("approval.requested",), "", 1, "key:k")
        await scripts.put_webhook(
            self.store,
            webhook,
            encode_json(body),
            record(webhook, "webhook.create", "key:k"),
            max_webhooks=max_webhooks,
            secret=Secrets(new_secret()).encode(),
        )
        return webhook

    async def change(self, webhook: WebhookKeys, **how: Any) -> None:
        stored = await self.store.redis.call("HGET", self.ws.webhooks, webhook.id)
        changed = record(webhook, "webhook.change", "key:k")
        await scripts.put_webhook(
            self.store, webhook, stored, changed, max_webhooks=0, expected=stored, **how
        )

    async def happen(self, kind: str = "approval.requested", **more: str) -> str:
        """Something happens; returns the id that its message will have."""
        fields = {"ws": self.ws.id, "kind": kind, "d": '{"approval":"apr_1","seq":1}', **more}
        flat = [part for pair in fields.items() for part in pair]
        entry = await self.store.redis.call("XADD", self.ws.shard.outbox, "*", *flat)
        return message_id(self.ws.shard.shard, text(entry))

    async def entries(self) -> list[OutboxEntry]:
        return (await deliveries.look(self.store, self.ws.shard, limit=1000)).entries

    async def due(self) -> list[str]:
        """Endpoints that a gateway would look at now."""
        return (await deliveries.look(self.store, self.ws.shard, limit=1000)).due

    async def spread(self, *webhooks: WebhookKeys, give_up_ms: int = DAY_MS, **how: Any) -> int:
        """Hand everything over to these; returns how many entries that were."""
        entries = await self.entries()
        for entry in entries:
            shares = [
                Share(webhook, message_body(entry), failed_body(webhook)) for webhook in webhooks
            ]
            name = message_id(self.ws.shard.shard, entry.entry)
            assert await deliveries.spread(
                self.store, self.ws, entry.entry, name, shares, give_up_ms=give_up_ms, **how
            )
        return len(entries)

    async def waiting(self, webhook: WebhookKeys, count: int = 1, **how: Any) -> list[str]:
        """Let so much happen and hand it over; returns the messages' ids."""
        ids = [await self.happen() for _ in range(count)]
        await self.spread(webhook, **how)
        return ids

    async def take(
        self,
        webhook: WebhookKeys,
        owner: str = "g1",
        *,
        room: int = 10,
        in_flight: tuple[str, ...] = (),
    ) -> list[Taken] | None:
        return await deliveries.take(
            self.store,
            webhook,
            owner=owner,
            lease_ms=5000,
            room=room,
            threshold=THRESHOLD,
            told=failed_body(webhook),
            in_flight=in_flight,
        )

    async def end(
        self,
        webhook: WebhookKeys,
        message: str,
        outcome: str = "delivered",
        owner: str = "g1",
        *,
        delay_ms: int = 0,
        pause_ms: int = 60_000,
    ) -> bool:
        tried = Tried(
            message=message,
            outcome=outcome,
            why="" if outcome == "delivered" else "status_500",
            delay_ms=delay_ms,
            pause_ms=pause_ms,
            pause_max_ms=pause_ms * 4,
            attempt=encode_json({"message": message, "event": "approval.requested"}),
            told=failed_body(webhook),
            gone_audit=record(webhook, "webhook.pause", "system").body,
        )
        return await deliveries.end(self.store, webhook, tried, owner=owner, threshold=THRESHOLD)

    async def state(self, webhook: WebhookKeys, field: str) -> str:
        return text(await self.store.redis.call("HGET", webhook.hash, field))

    async def pending(self, webhook: WebhookKeys) -> int:
        return int(await self.store.redis.call("ZCARD", webhook.due))

    async def dead(self, webhook: WebhookKeys) -> list[str]:
        found = await self.store.redis.call("ZRANGE", webhook.dead, 0, -1)
        return [text(each) for each in found]

    async def lose_gateway(self, webhook: WebhookKeys) -> None:
        """Let the lease of whoever has the endpoint run out, with what it was sending."""
        call = self.store.redis.call
        await call("HSET", webhook.hash, "lease_until_ms", 1)
        for message in await call("ZRANGE", webhook.due, 0, -1):
            await call("ZADD", webhook.due, 1, message)
        await call("ZADD", self.ws.shard.deliveries, 1, webhook.ref)

    async def wake(self, webhook: WebhookKeys) -> None:
        """Let a rest and all pauses between two tries be over."""
        call = self.store.redis.call
        await call("HSET", webhook.hash, "open_until_ms", 1)
        for message in await call("ZRANGE", webhook.due, 0, -1):
            await call("ZADD", webhook.due, 1, message)
        await call("ZADD", self.ws.shard.deliveries, 1, webhook.ref)

    async def feed(self) -> list[LoggedEvent]:
        return await read_log(self.store, self.ws, after=0)
