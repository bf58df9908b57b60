"""Messages on their way through several gateways, with deaths and outages in between."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from bursar import failpoints
from bursar.embedded import EmbeddedServer
from bursar.settings import GatewaySettings
from bursar.store.opening import open_store
from bursar.store.scripts import deliveries
from bursar.webhooks import changes, endpoints, messages
from support.gateway import wait_until
from support.office import Office, emptied
from support.receiver import Received, Receiver, Reply
from support.webhooks import Post


async def test_an_event_arrives_signed_at_those_who_want_it(office: Office) -> None:
    async with Receiver() as asked, Receiver() as resolved:
        first = await office.hook(asked.url, "approval.requested", "approval.deferred")
        second = await office.hook(resolved.url, "approval.resolved")
        ids = [await office.post.happen(f"approval.{what}") for what in ("requested", "resolved")]
        await office.gateway()
        await emptied(office, first)
        await emptied(office, second)
        await wait_until(lambda: len(asked.seen) + len(resolved.seen) == 2, "both came")
    for receiver, hook, message, kind in (
        (asked, first, ids[0], "approval.requested"),
        (resolved, second, ids[1], "approval.resolved"),
    ):
        (seen,) = receiver.seen
        seen.verify(hook.secret)
        assert seen.id == message
        body = seen.json()
        assert (body["type"], body["workspace"]) == (kind, "acme")
        assert body["data"] == {"approval": "apr_1", "seq": 1}
        assert body["timestamp"].endswith("+00:00")
    view = await endpoints.get(office.store, office.post.ws, first.keys.id)
    assert (view.delivered, view.pending, view.failures) == (1, 0, 0)


async def test_a_message_is_repeated_under_its_id_until_it_is_taken(office: Office) -> None:
    answers = [Reply(500), Reply(drop=True), Reply(429), Reply(302), Reply(200)]
    async with Receiver(lambda _: answers.pop(0)) as receiver:
        hook = await office.hook(receiver.url)
        message = await office.post.happen()
        await office.gateway()
        await wait_until(lambda: not answers, "all answers were given")
        await emptied(office, hook)
    assert {each.id for each in receiver.seen} == {message}
    assert len({each.body for each in receiver.seen}) == 1
    for each in receiver.seen:
        each.verify(hook.secret)
    told = await messages.list_deliveries(office.store, office.post.ws, hook.keys.id)
    assert [(each.number, each.status, each.error) for each in told.attempts] == [
        (5, 200, ""),
        (4, 302, "status_302"),
        (3, 429, "status_429"),
        (2, 0, "broken_answer"),
        (1, 500, "status_500"),
    ]
    assert {each.event for each in told.attempts} == {"approval.requested"}


async def test_several_gateways_bring_each_message_once(office: Office) -> None:
    async with Receiver() as receiver:
        hook = await office.hook(receiver.url)
        for _ in range(3):
            await office.gateway()
        ids = [await office.post.happen() for _ in range(200)]
        await emptied(office, hook)
    assert Counter(each.id for each in receiver.seen) == Counter(ids)


async def test_a_gateway_that_dies_while_it_sends_is_followed_within_its_lease(
    office: Office,
) -> None:
    """What the endpoint had taken, and nobody had recorded, comes again under the same id."""
    hanging = asyncio.Event()

    def answer(_: Received) -> Reply:
        first = not hanging.is_set()
        hanging.set()
        return Reply(hang_s=60) if first else Reply()

    async with Receiver(answer) as receiver:
        hook = await office.hook(receiver.url)
        message = await office.post.happen()
        victim = await office.gateway(webhook_timeout_s=60)
        await asyncio.wait_for(hanging.wait(), 5)
        await office.gateway()
        await office.kill(victim)
        await emptied(office, hook)
    assert [each.id for each in receiver.seen] == [message, message]


@pytest.mark.parametrize("step", ["spread", "take", "end"])
async def test_a_gateway_may_die_at_each_step(
    office: Office, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before and after each script: the next gateway goes on from there, and nothing is lost."""
    for moment in ("before", "after"):
        async with Receiver() as receiver, Receiver() as second:
            hooks = [await office.hook(receiver.url), await office.hook(second.url)]
            message = await office.post.happen()
            died = asyncio.Event()
            real = getattr(deliveries, step)

            async def dies(*args: Any, _real: Any = real, _at: str = moment, **how: Any) -> Any:
                if _at == "after":
                    await _real(*args, **how)
                died.set()  # noqa: B023
                await asyncio.Event().wait()

            with monkeypatch.context() as patch:
                patch.setattr(deliveries, step, dies)
                victim = await office.gateway()
                await asyncio.wait_for(died.wait(), 5)
                await office.kill(victim)
            follower = await office.gateway()
            for hook in hooks:
                await emptied(office, hook)
            for each in (receiver, second):
                await wait_until(lambda each=each: bool(each.seen), "it came")  # type: ignore[misc]
                assert {one.id for one in each.seen} == {message}
            await office.kill(follower)
        for hook in hooks:
            await changes.remove(office.store, office.post.ws, hook.keys.id, by="key:k")


async def test_a_failpoint_stands_before_each_message(office: Office) -> None:
    failpoints.arm(GatewaySettings(failpoints="C17=raise@1"))
    try:
        async with Receiver() as receiver:
            hook = await office.hook(receiver.url)
            await office.post.happen()
            await office.gateway()
            await emptied(office, hook)
            await wait_until(lambda: len(receiver.seen) == 1, "the next line sent it")
    finally:
        failpoints.disarm()


async def test_stopping_waits_for_answers_and_gives_endpoints_back(office: Office) -> None:
    arrived = asyncio.Event()

    def answer(_: Received) -> Reply:
        arrived.set()
        return Reply(hang_s=0.2)

    async with Receiver(answer) as receiver:
        hook = await office.hook(receiver.url)
        await office.post.happen()
        courier = await office.gateway()
        await asyncio.wait_for(arrived.wait(), 5)
        await courier.aclose()
        assert await office.post.pending(hook.keys) == 0
        assert await office.post.state(hook.keys, "owner") == ""


async def test_an_entry_that_is_none_is_dropped(office: Office) -> None:
    async with Receiver() as receiver:
        hook = await office.hook(receiver.url)
        await office.post.happen(ws="of-another-shard")
        await office.post.happen()
        await office.gateway()
        await emptied(office, hook)
    assert len(receiver.seen) == 1


async def test_an_outage_of_redis_is_waited_out(office: Office) -> None:
    """An answer that came in the meantime is recorded afterwards."""
    answering = asyncio.Event()

    def answer(_: Received) -> Reply:
        answering.set()
        return Reply(hang_s=0.1)

    with EmbeddedServer() as server:
        settings = office.settings.model_copy(
            update={"redis_url": server.url, "redis_timeout_s": 0.3}
        )
        store = await open_store(settings.model_copy(update={"redis_timeout_s": 10}))
        away = Office(store, await Post.build(store), settings)
        async with Receiver(answer) as receiver:
            hook = await away.hook(receiver.url)
            ids = {await away.post.happen() for _ in range(5)}
            await away.gateway()
            await asyncio.wait_for(answering.wait(), 5)
            await store.redis.call("CLIENT", "PAUSE", 1000, "ALL")
            await emptied(away, hook)
            await away.close()
        await store.aclose()
    assert {each.id for each in receiver.seen} == ids
