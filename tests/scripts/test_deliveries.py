"""How messages go to endpoints: handed over once, taken by one gateway, given up, revived."""

import pytest

from bursar.errors import Conflict, NotFound
from bursar.store.codec import text
from bursar.store.scripts import deliveries
from bursar.store.scripts import webhooks as scripts
from bursar.store.scripts.deliveries import Share
from bursar.store.store import Store
from bursar.webhooks.changes import record
from bursar.webhooks.messages import failed_body, message_body, message_id
from support.webhooks import DAY_MS, Post


@pytest.fixture
async def post(any_store: Store) -> Post:
    return await Post.build(any_store)


# -- handing over


async def test_an_event_reaches_each_endpoint_once_and_leaves_the_outbox(post: Post) -> None:
    first, second = await post.endpoint("whk_1"), await post.endpoint("whk_2")
    message = await post.happen()
    (entry,) = await post.entries()
    shares = [Share(each, message_body(entry), failed_body(each)) for each in (first, second)]
    for handed in (True, False, False):
        done = await deliveries.spread(
            post.store, post.ws, entry.entry, message, shares, give_up_ms=DAY_MS
        )
        assert done is handed
    assert await post.entries() == []
    assert sorted(await post.due()) == [first.ref, second.ref]
    for webhook in (first, second):
        (taken,) = await post.take(webhook) or []
        assert (taken.id, taken.tries, taken.body) == (message, 0, message_body(entry))


async def test_an_event_that_nobody_wants_leaves_the_outbox_too(post: Post) -> None:
    await post.endpoint()
    await post.happen()
    assert await post.spread() == 1
    assert await post.entries() == []
    assert await post.due() == []


async def test_a_paused_or_removed_endpoint_gets_nothing(post: Post) -> None:
    paused, gone = await post.endpoint("whk_1"), await post.endpoint("whk_2")
    await post.change(paused, paused="person")
    await scripts.remove_webhook(post.store, gone, record(gone, "webhook.remove", "k"))
    await post.waiting(paused)
    await post.waiting(gone)
    assert (await post.pending(paused), await post.pending(gone)) == (0, 0)
    assert await post.due() == []


async def test_a_line_that_is_too_long_takes_no_more(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LINE_MAX", 2)
    webhook = await post.endpoint()
    messages = await post.waiting(webhook, 3)
    assert await post.pending(webhook) == 2
    assert await post.dead(webhook) == [messages[2]]
    (event,) = await post.feed()
    assert event.kind == "webhook.failed"
    assert event.decode()["why"] == "too_many"


# -- taking


async def test_one_gateway_at_a_time_has_an_endpoint(post: Post) -> None:
    webhook = await post.endpoint()
    first, second = await post.waiting(webhook, 2)
    (taken,) = await post.take(webhook, "g1", room=1) or []
    assert taken.id == first
    assert await post.take(webhook, "g2") is None
    assert await post.due() == [], "others do not look again before the lease ends"
    (other,) = await post.take(webhook, "g1", in_flight=(first,)) or []
    assert other.id == second
    assert await post.take(webhook, "g1", in_flight=(first, second)) == []


async def test_what_a_lost_gateway_was_sending_is_sent_by_the_next_one(post: Post) -> None:
    webhook = await post.endpoint()
    messages = await post.waiting(webhook, 3)
    assert len(await post.take(webhook, "g1") or []) == 3
    await post.end(webhook, messages[0], owner="g1")
    await post.lose_gateway(webhook)
    assert await post.due() == [webhook.ref]
    again = await post.take(webhook, "g2") or []
    assert [each.id for each in again] == messages[1:]
    assert await post.take(webhook, "g1", in_flight=tuple(messages[1:])) is None


async def test_a_gateway_that_lost_an_endpoint_does_not_go_on_when_it_is_free(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook, "g1")
    await post.lose_gateway(webhook)
    await post.take(webhook, "g2")
    await post.end(webhook, message, owner="g2")
    assert await post.take(webhook, "g2") is None
    await post.waiting(webhook)
    assert await post.take(webhook, "g1", in_flight=(message,)) is None
    assert await post.state(webhook, "owner") == ""


async def test_renewing_keeps_what_is_under_way(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    taken = int(await post.store.redis.call("ZSCORE", webhook.due, message))
    assert await post.take(webhook, in_flight=(message,)) == []
    assert await post.store.redis.call("ZSCORE", webhook.due, message) >= taken + 5000


async def test_an_endpoint_is_let_go_when_nothing_is_due(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    await post.end(webhook, message)
    assert await post.take(webhook) is None
    assert await post.state(webhook, "owner") == ""
    assert await post.due() == []
    later = await post.waiting(webhook)
    assert [each.id for each in await post.take(webhook, "g2") or []] == later


async def test_a_gateway_that_takes_no_more_lets_others_have_it_at_once(post: Post) -> None:
    webhook = await post.endpoint()
    await post.waiting(webhook, 2)
    (taken,) = await post.take(webhook, room=1) or []
    await post.end(webhook, taken.id)
    assert await post.take(webhook, room=0) is None
    assert await post.due() == [webhook.ref]
    assert len(await post.take(webhook, "g2") or []) == 1


async def test_nothing_of_a_removed_endpoint_is_made_again(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    await scripts.remove_webhook(post.store, webhook, record(webhook, "webhook.remove", "k"))
    assert await post.take(webhook, in_flight=(message,)) is None
    assert not await post.end(webhook, message)
    assert not await post.end(webhook, message, "failed")
    assert await post.store.redis.call("KEYS", "*whk_1*") == []


# -- ending


async def test_a_message_that_was_taken_is_done(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    assert await post.end(webhook, message)
    assert await post.pending(webhook) == 0
    assert not await post.store.redis.call("EXISTS", webhook.messages)
    assert await post.state(webhook, "delivered") == "1"
    assert await post.end(webhook, message, "failed"), "a late word about it changes nothing"
    assert await post.state(webhook, "failures") == "0"


async def test_what_an_endpoint_took_counts_from_whoever_brought_it(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook, "g1")
    await post.lose_gateway(webhook)
    await post.take(webhook, "g2")
    assert not await post.end(webhook, message, "failed", "g1"), "this one is not asked any more"
    assert await post.state(webhook, "failures") in {"", "0"}
    assert await post.end(webhook, message, "delivered", "g1")
    assert await post.pending(webhook) == 0


async def test_a_failure_is_tried_again_after_a_while(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    assert await post.end(webhook, message, "failed", delay_ms=60_000)
    assert await post.take(webhook) is None
    assert await post.due() == []
    await post.wake(webhook)
    (taken,) = await post.take(webhook) or []
    assert (taken.id, taken.tries) == (message, 1)


async def test_an_endpoint_that_fails_again_and_again_rests_longer_and_longer(post: Post) -> None:
    webhook = await post.endpoint()
    messages = await post.waiting(webhook, 8)
    await post.take(webhook)
    assert [await post.end(webhook, each, "failed") for each in messages[:3]] == [True, True, False]
    rests = []
    for _ in range(5):
        assert await post.take(webhook) is None
        now = int((await post.store.redis.call("TIME"))[0]) * 1000
        rests.append(round((int(await post.state(webhook, "open_until_ms")) - now) / 60_000))
        await post.wake(webhook)
        (probe,) = await post.take(webhook) or []
        assert await post.take(webhook, in_flight=(probe.id,)) == [], "one at a time"
        assert not await post.end(webhook, probe.id, "failed")
    assert rests == [1, 2, 4, 4, 4]
    await post.wake(webhook)
    (probe,) = await post.take(webhook) or []
    assert await post.end(webhook, probe.id)
    assert len(await post.take(webhook) or []) == 7, "it is well again"


async def test_further_failures_of_the_same_burst_do_not_lengthen_the_rest(post: Post) -> None:
    webhook = await post.endpoint()
    messages = await post.waiting(webhook, 6)
    await post.take(webhook)
    for each in messages:
        await post.end(webhook, each, "failed")
    assert await post.state(webhook, "trips") == "1"


async def test_a_message_is_given_up_after_its_time(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    await post.end(webhook, message, "failed", delay_ms=DAY_MS + 1000)
    assert (await post.pending(webhook), await post.dead(webhook)) == (0, [message])
    (event,) = await post.feed()
    data = event.decode()
    assert (event.kind, data["webhook"], data["message"]) == ("webhook.failed", "whk_1", message)
    assert (data["tries"], data["why"], data["seq"]) == (1, "status_500", 1)
    assert await post.take(webhook) is None


async def test_what_became_too_old_while_an_endpoint_rested_is_given_up(post: Post) -> None:
    webhook = await post.endpoint()
    messages = await post.waiting(webhook, 3)
    await post.take(webhook)
    await post.end(webhook, messages[0], "failed")
    for each in messages:
        await post.store.redis.call("HSET", webhook.messages, f"{each}:until", 5)
    await post.wake(webhook)
    taken = await post.take(webhook) or []
    assert [each.id for each in taken] == messages[1:], "those were never tried"
    assert await post.dead(webhook) == [messages[0]]
    assert (await post.feed())[0].decode()["why"] == "too_old"


async def test_so_many_dead_messages_are_kept(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "DEAD_MAX", 2)
    webhook = await post.endpoint()
    messages = []
    for _ in range(4):
        messages += await post.waiting(webhook)
        await post.take(webhook)
        await post.end(webhook, messages[-1], "failed", delay_ms=DAY_MS * 2)
        await post.store.redis.call("HSET", webhook.hash, "failures", 0)
    assert set(await post.dead(webhook)) == set(messages[2:])
    fields = await post.store.redis.call("HKEYS", webhook.messages)
    assert {text(name).partition(":")[0] for name in fields} == set(messages[2:])


async def test_an_endpoint_that_wants_no_more_is_paused_and_its_message_waits(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    await post.take(webhook)
    assert not await post.end(webhook, message, "gone")
    assert await post.state(webhook, "paused") == "gone"
    assert await post.take(webhook) is None
    assert await post.due() == []
    assert await post.pending(webhook) == 1
    await post.change(webhook, paused="no")
    assert [each.id for each in await post.take(webhook) or []] == [message]


async def test_a_message_for_one_try_goes_first_and_leaves_no_trace(post: Post) -> None:
    webhook = await post.endpoint()
    await post.waiting(webhook, 2)
    await post.store.redis.call(
        "HSET", webhook.hash, "open_until_ms", 10**15, "failures", 9, "trips", 3
    )
    (test,) = await post.waiting(webhook, give_up_ms=0, urgent=True)
    (taken,) = await post.take(webhook) or []
    assert taken.id == test, "although it rests, and before all others"
    assert not await post.end(webhook, test, "failed")
    assert await post.dead(webhook) == []
    assert await post.feed() == []
    fields = await post.store.redis.call("HKEYS", webhook.messages)
    assert test not in {text(name).partition(":")[0] for name in fields}


async def test_tries_are_remembered(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    for outcome in ("failed", "delivered"):
        await post.take(webhook)
        await post.end(webhook, message, outcome)
    entries = await post.store.redis.call("XRANGE", webhook.attempts, "-", "+")
    numbers = [text(fields[b"d"]).split('"number":')[1][0] for _, fields in entries]
    assert numbers == ["1", "2"]


# -- again


async def test_a_dead_message_is_tried_again_as_a_new_one(post: Post) -> None:
    webhook = await post.endpoint()
    first, second = await post.waiting(webhook, 2)
    await post.take(webhook, room=1)
    await post.end(webhook, first, "failed", delay_ms=DAY_MS * 2)
    entry = record(webhook, "webhook.retry", "key:k")
    await scripts.retry_delivery(post.store, webhook, first, entry, give_up_ms=DAY_MS)
    assert await post.dead(webhook) == []
    taken = await post.take(webhook) or []
    assert [(each.id, each.tries) for each in taken] == [(first, 0), (second, 0)]


async def test_what_cannot_be_tried_again_is_refused(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    entry = record(webhook, "webhook.retry", "key:k")

    async def refused(name: str, what: str) -> str:
        other = post.ws.webhook(name)
        with pytest.raises((NotFound, Conflict)) as caught:
            await scripts.retry_delivery(post.store, other, what, entry, give_up_ms=1)
        return caught.value.code

    assert await refused("whk_none", message) == "webhook_not_found"
    assert await refused("whk_1", "msg_none") == "delivery_not_found"
    await post.change(webhook, paused="person")
    assert await refused("whk_1", message) == "webhook_paused"


def test_a_message_has_the_same_id_whoever_names_it() -> None:
    assert message_id(3, "1732567890123-4") == "msg_3_1732567890123_4"
