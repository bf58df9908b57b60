"""What one gateway process holds: made in `main` (or a test), passed to everything else."""

import asyncio
from dataclasses import dataclass

from bursar.api_keys import ApiKeys
from bursar.egress import Egress
from bursar.gate.answers import Answers
from bursar.ids import new_id
from bursar.inbox import Inputs
from bursar.queue import Bells, connect_queue
from bursar.registry import Registry
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar_gateway.admission import Admission
from bursar_gateway.audit import Sealer
from bursar_gateway.hub import EventHub
from bursar_gateway.refusals import Refusals
from bursar_gateway.webhooks.courier import Courier
from bursar_gateway.webhooks.sending import Sender

__all__ = ["Gateway", "open_gateway"]


@dataclass
class Gateway:
    settings: GatewaySettings
    store: Store
    queue: RedisClient
    registry: Registry
    bells: Bells
    inputs: Inputs
    answers: Answers
    keys: ApiKeys
    signing: SigningKeys
    public_keys: PublicKeys
    admission: Admission
    hub: EventHub
    hub_task: asyncio.Task[None]
    sealer: Sealer
    refusals: Refusals
    audit_tasks: tuple[asyncio.Task[None], ...]
    egress: Egress
    courier: Courier
    courier_task: asyncio.Task[None]

    async def aclose(self) -> None:
        self.hub.close()
        tasks = (self.hub_task, self.courier_task, *self.audit_tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.courier.aclose()
        await self.refusals.flush()
        await self.queue.aclose()
        await self.store.aclose()


async def open_gateway(settings: GatewaySettings) -> Gateway:
    """Connect to the store and the queue.

    Raises:
        StoreUnavailable: one of them does not answer.
        StoreUnfit: the store must not be used as it is configured, or the signing key was revoked.
        InvalidInput: the signing key of the settings is none, or its certificates for webhooks are.

    """
    sender = Sender(settings)
    store = await open_store(settings)
    try:
        signing = await SigningKeys.load(store, settings)
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
    public_keys = PublicKeys(store)
    sealer = Sealer(
        store, signing, public_keys, every_s=settings.seal_every_s, name=new_id("gateway")
    )
    refusals = Refusals(store)
    courier = Courier(store, settings, sender)
    return Gateway(
        settings=settings,
        store=store,
        queue=queue,
        registry=registry,
        bells=bells,
        inputs=Inputs(store, registry, bells),
        answers=Answers(store, registry, bells, signing),
        keys=keys,
        signing=signing,
        public_keys=public_keys,
        admission=Admission(store, settings),
        hub=hub,
        hub_task=asyncio.create_task(hub.run(), name="event-hub"),
        sealer=sealer,
        refusals=refusals,
        audit_tasks=(
            asyncio.create_task(sealer.run(), name="audit-sealer"),
            asyncio.create_task(refusals.run(), name="refused-logins"),
        ),
        egress=Egress.of(settings),
        courier=courier,
        courier_task=asyncio.create_task(courier.run(), name="webhooks"),
    )
