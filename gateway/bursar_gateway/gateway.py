"""What one gateway process holds: made in `main` (or a test), passed to everything else."""

import asyncio
from dataclasses import dataclass

from bursar.api_keys import ApiKeys
from bursar.inbox import Inputs
from bursar.queue import Bells, connect_queue
from bursar.registry import Registry
from bursar.settings import GatewaySettings
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar_gateway.admission import Admission
from bursar_gateway.hub import EventHub

__all__ = ["Gateway", "open_gateway"]


@dataclass
class Gateway:
    settings: GatewaySettings
    store: Store
    queue: RedisClient
    registry: Registry
    bells: Bells
    inputs: Inputs
    keys: ApiKeys
    admission: Admission
    hub: EventHub
    hub_task: asyncio.Task[None]

    async def aclose(self) -> None:
        self.hub.close()
        self.hub_task.cancel()
        await asyncio.gather(self.hub_task, return_exceptions=True)
        await self.queue.aclose()
        await self.store.aclose()


async def open_gateway(settings: GatewaySettings) -> Gateway:
    """Connect to the store and the queue.

    Raises:
        StoreUnavailable: one of them does not answer.
        StoreUnfit: the store must not be used as it is configured.

    """
    store = await open_store(settings)
    try:
        queue = await connect_queue(settings)
    except BaseException:
        await store.aclose()
        raise
    registry = Registry(store)
    pepper, admin = settings.key_pepper, settings.api_key
    keys = ApiKeys(
        store,
        pepper=pepper.get_secret_value() if pepper else "",
        admin_token=admin.get_secret_value() if admin else "",
    )
    bells = Bells(store, queue, registry)
    hub = EventHub(store, queue_events=settings.stream_queue_events)
    return Gateway(
        settings=settings,
        store=store,
        queue=queue,
        registry=registry,
        bells=bells,
        inputs=Inputs(store, registry, bells),
        keys=keys,
        admission=Admission(store, settings),
        hub=hub,
        hub_task=asyncio.create_task(hub.run(), name="event-hub"),
    )
