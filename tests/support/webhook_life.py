"""Everything that the scripts of webhooks do, once."""

from bursar.egress import Egress
from bursar.webhooks import changes, messages
from bursar.webhooks.endpoints import NewWebhook, WebhookPatch
from support.stage import Stage
from support.webhooks import DAY_MS, Post

__all__ = ["deliver_in_every_way", "live_with_webhooks"]


async def live_with_webhooks(stage: Stage) -> None:
    """An endpoint from its making to its removal, with messages in between."""
    store, ws = stage.store, stage.ws
    wish = NewWebhook("https://example.org/")
    made = await changes.create(store, ws, wish, egress=Egress(), max_webhooks=20, by="key:k")
    name = made.webhook.id
    patch = WebhookPatch(description="x")
    await changes.change(store, ws, name, patch, egress=Egress(), by="key:k")
    await changes.rotate(store, ws, name, by="key:k")
    webhook, post = ws.webhook(name), Post(store, ws)
    given_up, taken = await post.waiting(webhook, 2)
    assert len(await post.take(webhook) or []) == 2
    assert await post.end(webhook, given_up, "failed", delay_ms=2 * DAY_MS)
    assert await post.end(webhook, taken)
    await messages.retry(store, ws, name, given_up, give_up_s=60, by="key:k")
    await changes.remove(store, ws, name, by="key:k")


async def deliver_in_every_way(stage: Stage) -> None:
    """Leaves messages of an endpoint in every state, and something that nobody handed over yet."""
    post = Post(stage.store, stage.ws)
    webhook = await post.endpoint()
    taken, given_up, *others = await post.waiting(webhook, 4)
    await post.take(webhook)
    await post.end(webhook, taken)
    await post.end(webhook, given_up, "failed", delay_ms=2 * DAY_MS)
    for message in others:
        await post.end(webhook, message, "failed")
    await post.happen("webhook.test", to=webhook.id)
