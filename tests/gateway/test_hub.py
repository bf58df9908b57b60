"""The hub against a real server: one connection, channels counted, lost messages healed."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from bursar.events import LoggedEvent
from bursar.history import add_message
from bursar.messages import UserMessage
from bursar.registry import Registry
from bursar.sessions import SessionSpec, create, locate
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store
from bursar.workspaces import ensure
from bursar_gateway.hub import EventHub
from bursar_gateway.subscription import Gap, Subscription
from support.gateway import Running, events, kinds, play_turn, take, wait_until


@pytest.fixture
async def hub(store: Store) -> AsyncIterator[EventHub]:
    hub = EventHub(store, queue_events=16, linger_s=0)
    task = asyncio.create_task(hub.run())
    yield hub
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def session(store: Store, registry: Registry) -> SessionKeys:
    await ensure(store, "acme")
    view = await create(store, registry, "acme", SessionSpec("echo"))
    return locate(store, "acme", view.id)


async def _emit(store: Store, session: SessionKeys, count: int = 1) -> None:
    for _ in range(count):
        await add_message(store, "acme", session.id, UserMessage("x"))


async def _read(store: Store, subscription: Subscription, count: int) -> list[int]:
    """Seqs as a stream would send them; gaps show as negative numbers."""
    got: list[int] = []
    async with asyncio.timeout(5):
        while len(got) < count:
            taken = subscription.take()
            got += [-item.last if isinstance(item, Gap) else item.seq for _, item in taken]
            if not taken and subscription.behind:
                await subscription.fill(store)
            elif not taken:
                await subscription.wait(1)
    return got


async def _subscribers(store: Store, session: SessionKeys) -> int:
    return int((await store.redis.call("PUBSUB", "NUMSUB", session.events))[1])


async def test_published_events_arrive_without_a_read_of_the_log(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    subscription = await hub.subscribe(session)
    subscription.start([1], behind=False)
    await _emit(store, session, 3)
    assert await _read(store, subscription, 3) == [2, 3, 4]
    assert not subscription.behind


async def test_a_message_that_never_came_is_read_from_the_log(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    subscription = await hub.subscribe(session)
    subscription.start([1], behind=False)
    (place,) = subscription.places
    offer, dropped = place.offer, []

    def lossy(event: LoggedEvent) -> None:
        dropped.append(event.seq) if event.seq in {3, 4} else offer(event)

    place.offer = lossy  # type: ignore[method-assign]
    await _emit(store, session, 6)
    assert await _read(store, subscription, 6) == [2, 3, 4, 5, 6, 7]
    assert dropped == [3, 4]


async def test_a_full_queue_is_healed_from_the_log(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    subscription = await hub.subscribe(session)
    subscription.start([1], behind=False)
    await _emit(store, session, 60)
    await wait_until(lambda: subscription.behind, "the queue of 16 overflowed")
    assert await _read(store, subscription, 60) == list(range(2, 62))


async def test_events_that_came_before_the_start_are_not_lost(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    subscription = await hub.subscribe(session)
    await _emit(store, session, 3)
    await wait_until(lambda: subscription.position == (4,), "the events came")
    subscription.start([2], behind=False)
    assert await _read(store, subscription, 2) == [3, 4]


async def test_trimmed_events_show_as_a_gap(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    await _emit(store, session, 9)
    await store.redis.call("XTRIM", session.events, "MAXLEN", 2)
    subscription = await hub.subscribe(session)
    subscription.start([3], behind=True)
    assert await _read(store, subscription, 3) == [-8, 9, 10]
    await store.redis.call("DEL", session.events)
    subscription.start([3], behind=True)
    assert await _read(store, subscription, 1) == [-10]
    await _emit(store, session)
    assert await _read(store, subscription, 1) == [11]


async def test_a_channel_is_left_with_its_last_listener(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    first, second = await hub.subscribe(session), await hub.subscribe(session)
    assert await _subscribers(store, session) == 1
    hub.leave(first)
    hub.leave(first)
    await _emit(store, session)
    await wait_until(lambda: second.position > (0,), "the other one still listens")
    hub.leave(second)
    await wait_until(lambda: _is_left(store, session), "the channel was left")
    assert hub.channels == 0


async def _is_left(store: Store, session: SessionKeys) -> bool:
    return await _subscribers(store, session) == 0


async def test_leaving_and_joining_in_one_breath_keeps_listening(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    for seq in range(2, 30):
        subscription = await hub.subscribe(session)
        subscription.start([seq - 1], behind=False)
        await _emit(store, session)
        assert await _read(store, subscription, 1) == [seq]
        hub.leave(subscription)
        if seq % 3:
            await asyncio.sleep(0)


async def test_all_streams_share_one_connection(
    hub: EventHub, store: Store, registry: Registry, session: SessionKeys
) -> None:
    for _ in range(5):
        view = await create(store, registry, "acme", SessionSpec("echo"))
        await hub.subscribe(locate(store, "acme", view.id))
    clients = text(await store.redis.call("CLIENT", "LIST", "TYPE", "pubsub"))
    assert len(clients.strip().splitlines()) == 1
    assert " sub=5 " in clients


async def test_a_closed_hub_ends_present_and_future_subscriptions(
    hub: EventHub, session: SessionKeys
) -> None:
    present = await hub.subscribe(session)
    hub.close()
    assert present.closed
    assert (await hub.subscribe(session)).closed


async def test_waiting_costs_no_redis_commands(
    hub: EventHub, store: Store, session: SessionKeys
) -> None:
    subscription = await hub.subscribe(session)
    subscription.start([1], behind=False)
    before = (await store.redis.call("INFO", "stats"))["total_commands_processed"]
    assert not await subscription.wait(0.5)
    after = (await store.redis.call("INFO", "stats"))["total_commands_processed"]
    assert after - before == 1


async def test_a_session_is_received_for_a_while_after_its_last_client(
    store: Store, session: SessionKeys
) -> None:
    hub = EventHub(store, queue_events=16, linger_s=0.2)
    running = asyncio.create_task(hub.run())
    first = await hub.subscribe(session)
    first.start([1], behind=False)
    hub.leave(first)
    assert hub.channels == 0
    assert await _subscribers(store, session) == 1
    again = await hub.subscribe(session)
    again.start([1], behind=False)
    await _emit(store, session)
    assert await _read(store, again, 1) == [2]
    hub.leave(again)

    async def forgotten() -> bool:
        return await _subscribers(store, session) == 0

    deadline = asyncio.get_running_loop().time() + 5
    while not await forgotten():
        assert asyncio.get_running_loop().time() < deadline, "it is received for ever"
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_no_more_than_a_thousand_left_sessions_are_received(
    hub: EventHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar_gateway.hub._IDLE_MAX", 3)
    hub._linger_s = 60
    sessions = [store.workspace("acme").session(f"s{number}") for number in range(6)]
    for each in sessions:
        hub.leave(await hub.subscribe(each))
    kept = [channel.split(b":")[-2] for channel in hub._topics]
    assert kept == [b"s3", b"s4", b"s5"]


async def _subscribes(store: Store) -> int:
    """How many SUBSCRIBE commands the server has seen."""
    stats = await store.redis.call("INFO", "commandstats")
    return int(stats.get("cmdstat_subscribe", {"calls": 0})["calls"])


async def test_the_next_turn_of_a_conversation_finds_its_subscription(
    admin: httpx.AsyncClient, live: Running, store: Store, sid: str, base: str
) -> None:
    before = await _subscribes(store)
    for _ in range(3):
        headers, body = {"Accept": "text/event-stream"}, {"input": "hi"}
        async with events(
            admin, f"{base}/turns", method="POST", json=body, headers=headers
        ) as source:
            first = await take(source, 1)
            await play_turn(store, "acme", sid, "a")
            sent = kinds(first + await take(source, 99))
        assert sent == ["turn.queued", "turn.started", "text.delta", "turn.succeeded"]
        await wait_until(lambda: live.gateway.hub.channels == 0, "nobody listens any more")
    assert await _subscribes(store) == before + 1
