"""What one endpoint gets when it fails, hangs, wants no more, is tested or removed."""

import asyncio
from collections.abc import Callable

from bursar.webhooks import changes, endpoints, messages
from bursar.webhooks.endpoints import WebhookPatch
from support.gateway import wait_until
from support.office import Office, emptied, handed_over
from support.receiver import Received, Receiver, Reply


async def test_a_dead_endpoint_slows_nobody_down(office: Office) -> None:
    """It hangs until its time is over, and is left alone after a few of these."""
    async with Receiver(lambda _: Reply(hang_s=60)) as dead, Receiver() as well:
        hanging, healthy = await office.hook(dead.url), await office.hook(well.url)
        await office.gateway(webhook_timeout_s=0.3)
        for _ in range(100):
            await office.post.happen()
        await emptied(office, healthy)
        assert len(well.seen) == 100
        assert len(dead.seen) <= 8, "it gets one at a time"
        assert await office.post.pending(hanging.keys) == 100


async def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_tried_again(
    office: Office,
) -> None:
    broken = True
    async with Receiver(lambda _: Reply(500 if broken else 204)) as receiver:
        hook = await office.hook(receiver.url)
        for _ in range(20):
            await office.post.happen()
        await office.gateway(webhook_retry_s=0.3)

        async def rests() -> bool:
            view = await endpoints.get(office.store, office.post.ws, hook.keys.id)
            return view.rests_until_ms > 0

        await wait_until(rests, "it is left alone")
        assert len(receiver.seen) <= 8
        broken = False
        await emptied(office, hook)
        view = await endpoints.get(office.store, office.post.ws, hook.keys.id)
    assert (view.delivered, view.failures, view.rests_until_ms) == (20, 0, 0)
    assert (view.last_failure, view.dead) == ("status_500", 0)


async def test_an_endpoint_gets_so_many_at_a_time(office: Office) -> None:
    async with Receiver(lambda _: Reply(hang_s=0.02)) as receiver:
        hook = await office.hook(receiver.url)
        await office.gateway(webhook_at_once=4, webhook_per_second=10_000)
        for _ in range(60):
            await office.post.happen()
        await emptied(office, hook)
        # They are kept, so there are as many as were needed at the same time.
        assert 2 <= receiver.connections <= 4


async def test_an_endpoint_that_fails_now_and_then_gets_fewer_at_a_time(office: Office) -> None:
    def answer(_: Received) -> Reply:
        return Reply(500 if len(receiver.seen) % 2 else 204, hang_s=0.02)

    async with Receiver(answer) as receiver:
        hook = await office.hook(receiver.url)
        await office.gateway(webhook_at_once=8, webhook_per_second=10_000)
        for _ in range(60):
            await office.post.happen()
        await emptied(office, hook)
        assert receiver.connections <= 4


async def test_an_endpoint_gets_so_many_a_second(office: Office) -> None:
    async with Receiver() as receiver:
        hook = await office.hook(receiver.url)
        for _ in range(12):
            await office.post.happen()
        began = asyncio.get_running_loop().time()
        await office.gateway(webhook_at_once=2, webhook_per_second=20)
        await emptied(office, hook)
        took = asyncio.get_running_loop().time() - began
    assert took >= 0.45, "two at once, and ten more in half a second at the earliest"


async def test_an_endpoint_that_wants_no_more_is_paused(office: Office) -> None:
    answers: list[Callable[[], Reply]] = [lambda: Reply(410)]
    async with Receiver(lambda _: answers[-1]()) as receiver:
        hook = await office.hook(receiver.url)
        first = await office.post.happen()
        await office.gateway()

        async def paused() -> bool:
            return (await endpoints.get(office.store, office.post.ws, hook.keys.id)).paused

        await wait_until(paused, "it is paused")
        await office.post.happen()
        await wait_until(lambda: handed_over(office), "the next event found nobody")
        assert len(receiver.seen) == 1
        answers.append(Reply)
        patch = WebhookPatch(paused=False)
        view = await changes.change(
            office.store, office.post.ws, hook.keys.id, patch, egress=office.egress, by="key:k"
        )
        assert not view.paused
        await emptied(office, hook)
    assert [each.id for each in receiver.seen] == [first, first]


async def test_a_message_that_is_given_up_is_kept_told_and_tried_again(office: Office) -> None:
    broken = True
    async with Receiver(lambda _: Reply(503 if broken else 204)) as receiver:
        hook = await office.hook(receiver.url)
        message = await office.post.happen()
        await office.gateway(webhook_give_up_s=0.2)

        async def given_up() -> bool:
            return bool(await office.post.dead(hook.keys))

        await wait_until(given_up, "it was given up")
        (event,) = await office.post.feed()
        assert event.kind == "webhook.failed"
        assert event.decode()["message"] == message
        told = await messages.list_deliveries(office.store, office.post.ws, hook.keys.id)
        (dead,) = told.dead
        assert (dead.message, dead.event, told.pending) == (message, "approval.requested", 0)
        assert dead.tries >= 1
        broken = False
        await messages.retry(
            office.store, office.post.ws, hook.keys.id, message, give_up_s=60, by="key:k"
        )
        await emptied(office, hook)
    assert {each.id for each in receiver.seen} == {message}
    assert (await messages.list_deliveries(office.store, office.post.ws, hook.keys.id)).dead == []


async def test_a_test_goes_to_its_endpoint_alone_and_once(office: Office) -> None:
    async with Receiver(lambda _: Reply(500)) as mine, Receiver() as other:
        hook, _ = await office.hook(mine.url), await office.hook(other.url)
        sent = await messages.send_test(office.store, office.post.ws, hook.keys.id, by="key:k")
        await office.gateway()
        await wait_until(lambda: bool(mine.seen), "it came")
        await emptied(office, hook)
        told = await messages.list_deliveries(office.store, office.post.ws, hook.keys.id)
    (seen,) = mine.seen
    assert (seen.id, seen.json()["type"]) == (sent.message, "webhook.test")
    assert seen.json()["data"]["asked_by"] == "key:k"
    assert other.seen == []
    assert [each.message for each in told.attempts] == [sent.message]
    assert (told.dead, await office.post.feed()) == ([], [])


async def test_a_new_secret_signs_beside_the_old_one(office: Office) -> None:
    async with Receiver() as receiver:
        hook = await office.hook(receiver.url)
        rotated = await changes.rotate(office.store, office.post.ws, hook.keys.id, by="key:k")
        assert rotated.webhook.old_secret_until_ms > 0
        await office.post.happen()
        await office.gateway()
        await emptied(office, hook)
        (seen,) = receiver.seen
        seen.verify(hook.secret)
        seen.verify(rotated.secret)


async def test_a_removed_endpoint_gets_nothing_more(office: Office) -> None:
    async with Receiver(lambda _: Reply(500)) as receiver:
        hook = await office.hook(receiver.url)
        await office.post.happen()
        await office.gateway()
        await wait_until(lambda: bool(receiver.seen), "it was tried")
        await changes.remove(office.store, office.post.ws, hook.keys.id, by="key:k")
        count = len(receiver.seen)
        await office.post.happen()
        await wait_until(lambda: handed_over(office), "nobody wants it")
        assert len(receiver.seen) <= count + 1
