"""On a Cluster a message may be lost between two nodes, with no later one to show the gap."""

import asyncio

import pytest

from bursar.events import LoggedEvent
from bursar.history import add_message
from bursar.messages import UserMessage
from bursar.registry import Registry
from bursar.sessions import SessionSpec, create, locate
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from bursar.workspaces import ensure
from bursar_gateway import hub as hub_module
from bursar_gateway.hub import EventHub, _Topic
from support.gateway import wait_until


@pytest.mark.parametrize("relays", [True, False])
async def test_logs_are_read_now_and_then_where_messages_may_be_lost(
    store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch, relays: bool
) -> None:
    def lost(self: EventHub, topic: _Topic, event: LoggedEvent) -> None:
        """As if it had never come."""

    monkeypatch.setattr(hub_module, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(EventHub, "_spread", lost)
    monkeypatch.setattr(RedisClient, "relays", relays)
    await ensure(store, "acme")
    session = locate(store, "acme", (await create(store, registry, "acme", SessionSpec("echo"))).id)
    hub = EventHub(store, queue_events=16)
    running = asyncio.create_task(hub.run())
    subscription = await hub.subscribe(session)
    subscription.start([1], behind=False)
    await add_message(store, "acme", session.id, UserMessage("x"))
    if relays:
        await wait_until(lambda: subscription.behind, "look at the log")
        await subscription.fill(store)
        assert [
            event.seq for _, event in subscription.take() if isinstance(event, LoggedEvent)
        ] == [2]
    else:
        await asyncio.sleep(0.2)
        assert not subscription.behind
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
