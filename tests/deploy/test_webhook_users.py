"""Who may do what with webhooks: workers fill the outbox, gateways deliver and have secrets."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from bursar import workspaces
from bursar.egress import Egress
from bursar.ids import new_id
from bursar.settings import Settings
from bursar.store.keys import WorkspaceKeys
from bursar.store.opening import open_store
from bursar.store.store import Store
from bursar.webhooks import changes, endpoints, messages
from bursar.webhooks.endpoints import NewWebhook, WebhookPatch
from support.webhooks import DAY_MS, Post


@dataclass
class Pair:
    """A gateway and a worker, each connected as its own user, and an empty workspace of theirs."""

    gateway: Store
    worker: Store
    ws: WorkspaceKeys


@pytest.fixture
async def pair(as_role: Callable[[str], Settings]) -> AsyncIterator[Pair]:
    gateway, worker = [await open_store(as_role(role)) for role in ("gateway", "worker")]
    name = new_id("ws").replace("_", "-")
    await workspaces.create(gateway, name)
    yield Pair(gateway, worker, gateway.workspace(name))
    for store in (gateway, worker):
        await store.aclose()


async def test_a_gateway_makes_endpoints_and_delivers_what_a_worker_put_out(pair: Pair) -> None:
    store, ws = pair.gateway, pair.ws
    wish = NewWebhook("https://example.org/")
    made = await changes.create(store, ws, wish, egress=Egress(), max_webhooks=5, by="key:k")
    name = made.webhook.id
    await changes.rotate(store, ws, name, by="key:k")
    await changes.change(
        store, ws, name, WebhookPatch(description="x"), egress=Egress(), by="key:k"
    )
    webhook, post = ws.webhook(name), Post(store, ws)
    await Post(pair.worker, ws).happen()
    await messages.send_test(store, ws, name, by="key:k")
    await post.spread(webhook)
    first, second = await post.take(webhook) or []
    await post.end(webhook, first.id)
    await post.end(webhook, second.id, "failed", delay_ms=2 * DAY_MS)
    told = await messages.list_deliveries(store, ws, name)
    assert (len(told.attempts), len(told.dead)) == (2, 1)
    await messages.retry(store, ws, name, second.id, give_up_s=5, by="key:k")
    await post.take(webhook)
    await post.end(webhook, second.id, "gone")
    assert (await endpoints.list_webhooks(store, ws))[0].paused_by == "gone"
    await changes.remove(store, ws, name, by="key:k")


@pytest.mark.parametrize("role", ["worker", "dashboard", "operator"])
async def test_what_messages_are_signed_with_is_the_gateways_alone(
    pair: Pair, as_role: Callable[[str], Settings], role: str
) -> None:
    async with Redis.from_url(as_role(role).redis_url) as redis:
        for command in (
            ("HGETALL", pair.ws.webhook_secrets),
            ("HSET", pair.ws.webhook_secrets, "whk_1", "mine"),
            ("DEL", pair.ws.webhook_secrets),
        ):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)


async def test_a_worker_takes_nothing_out_of_the_outbox(
    pair: Pair, as_role: Callable[[str], Settings]
) -> None:
    async with Redis.from_url(as_role("worker").redis_url) as redis:
        with pytest.raises(NoPermissionError):
            await redis.xdel(pair.ws.shard.outbox, "1-0")
