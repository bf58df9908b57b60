"""A workspace with endpoints, and gateways that deliver to them and can be killed."""

import asyncio
from dataclasses import dataclass
from typing import Any

from bursar.egress import Egress
from bursar.settings import GatewaySettings
from bursar.store.keys import WebhookKeys
from bursar.store.opening import open_store
from bursar.store.store import Store
from bursar.webhooks import changes
from bursar.webhooks.endpoints import NewWebhook
from bursar_gateway.webhooks.courier import Courier
from bursar_gateway.webhooks.sending import Sender
from support.gateway import wait_until
from support.webhooks import Post

__all__ = ["Hook", "Office", "emptied", "handed_over"]


@dataclass
class Hook:
    keys: WebhookKeys
    secret: str


class Office:
    """A workspace with endpoints, and the gateways that deliver to them."""

    def __init__(self, store: Store, post: Post, settings: GatewaySettings) -> None:
        self.store, self.post, self.settings = store, post, settings
        self.egress = Egress.of(settings)
        self._stores: list[Store] = []
        self._running: list[tuple[Courier, asyncio.Task[None]]] = []

    async def hook(self, url: str, *events: str) -> Hook:
        wish = NewWebhook(url, events or ("approval.requested",))
        made = await changes.create(
            self.store, self.post.ws, wish, egress=self.egress, max_webhooks=20, by="key:k"
        )
        return Hook(self.post.ws.webhook(made.webhook.id), made.secret)

    async def gateway(self, **settings: Any) -> Courier:
        """One more, with a connection of its own."""
        own = self.settings.model_copy(update=settings)
        store = await open_store(own)
        self._stores.append(store)
        courier = Courier(store, own, Sender(own))
        self._running.append((courier, asyncio.create_task(courier.run())))
        return courier

    async def kill(self, courier: Courier) -> None:
        """As a crash: nothing is given back, what is under way has no answer."""
        for each, task in self._running:
            if each is courier:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                lines = [one for _, one in courier._lines.values()]
                for one in lines:
                    one.cancel()
                await asyncio.gather(*lines, return_exceptions=True)

    async def close(self) -> None:
        for courier, task in self._running:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await courier.aclose()
        for store in self._stores:
            await store.aclose()


async def emptied(office: Office, hook: Hook) -> None:
    async def nothing_waits() -> bool:
        return not await office.post.pending(hook.keys) and not await office.post.entries()

    await wait_until(nothing_waits, "everything was delivered", timeout_s=30)


async def handed_over(office: Office) -> bool:
    return not await office.post.entries()
