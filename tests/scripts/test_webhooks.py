"""Making, changing and removing endpoints."""

import pytest

from bursar.errors import Conflict, LimitReached, NotFound
from bursar.store.codec import text
from bursar.store.scripts import webhooks as scripts
from bursar.store.store import Store
from bursar.webhooks.changes import record
from support.webhooks import Post


@pytest.fixture
async def post(any_store: Store) -> Post:
    return await Post.build(any_store)


async def _count(post: Post) -> str:
    return text(await post.store.redis.call("HGET", post.ws.hash, "webhooks"))


async def _audited(post: Post) -> int:
    return int(await post.store.redis.call("XLEN", post.ws.audit))


async def test_the_workspace_counts_its_endpoints(post: Post) -> None:
    assert await _count(post) == ""
    await post.endpoint("whk_1")
    await post.endpoint("whk_2")
    assert await _count(post) == "2"
    for name in ("whk_1", "whk_2"):
        webhook = post.ws.webhook(name)
        await scripts.remove_webhook(post.store, webhook, record(webhook, "webhook.remove", "k"))
    assert await _count(post) == "0"


async def test_an_endpoint_is_made_once(post: Post) -> None:
    await post.endpoint()
    audited = await _audited(post)
    with pytest.raises(Conflict) as caught:
        await post.endpoint()
    assert caught.value.code == "webhook_changed"
    assert await _audited(post) == audited


async def test_a_workspace_has_so_many(post: Post) -> None:
    await post.endpoint("whk_1", max_webhooks=1)
    with pytest.raises(LimitReached) as caught:
        await post.endpoint("whk_2", max_webhooks=1)
    assert caught.value.code == "too_many_webhooks"
    assert await _count(post) == "1"
    assert await post.store.redis.call("HLEN", post.ws.webhook_secrets) == 1


async def test_there_are_none_without_a_workspace(post: Post) -> None:
    nowhere = Post(post.store, post.store.workspace("nowhere"))
    with pytest.raises(NotFound) as caught:
        await nowhere.endpoint()
    assert caught.value.code == "workspace_not_found"
    assert not await post.store.redis.call("EXISTS", nowhere.ws.webhooks)


async def test_a_change_by_what_is_not_there_any_more_is_refused(post: Post) -> None:
    webhook = await post.endpoint()
    entry = record(webhook, "webhook.change", "k")
    with pytest.raises(Conflict) as caught:
        await scripts.put_webhook(
            post.store, webhook, b"{}", entry, max_webhooks=0, expected=b"old"
        )
    assert caught.value.code == "webhook_changed"
    other = post.ws.webhook("whk_none")
    with pytest.raises(NotFound):
        await scripts.put_webhook(post.store, other, b"{}", entry, max_webhooks=0, expected=b"x")


async def test_a_paused_endpoint_is_not_looked_at_until_that_ends(post: Post) -> None:
    webhook = await post.endpoint()
    await post.waiting(webhook)
    await post.change(webhook, paused="person")
    assert await post.due() == []
    assert await post.take(webhook) is None
    await post.change(webhook)
    assert (await post.due(), await post.state(webhook, "paused")) == ([], "person")
    await post.change(webhook, paused="no")
    assert await post.due() == [webhook.ref]
    assert len(await post.take(webhook) or []) == 1


async def test_a_change_lets_a_resting_endpoint_be_tried_at_once(post: Post) -> None:
    webhook = await post.endpoint()
    (message,) = await post.waiting(webhook)
    for _ in range(3):
        await post.take(webhook)
        await post.end(webhook, message, "failed")
    assert await post.take(webhook) is None
    assert await post.due() == []
    await post.change(webhook)
    assert await post.due() == [webhook.ref]
    assert [each.id for each in await post.take(webhook) or []] == [message]
    assert await post.state(webhook, "failures") == "0"


async def test_an_endpoint_goes_with_all_that_waits_for_it(post: Post) -> None:
    webhook = await post.endpoint()
    first, second, _ = await post.waiting(webhook, 3)
    await post.take(webhook)
    await post.end(webhook, first)
    await post.end(webhook, second, "failed", delay_ms=10**11)
    assert await post.dead(webhook) == [second]
    await scripts.remove_webhook(post.store, webhook, record(webhook, "webhook.remove", "k"))
    left = [text(key) for key in await post.store.redis.call("KEYS", "*whk_1*")]
    assert left == []
    assert not await post.store.redis.call("EXISTS", post.ws.webhook_secrets)
    assert await post.due() == []
    with pytest.raises(NotFound) as caught:
        await scripts.remove_webhook(post.store, webhook, record(webhook, "webhook.remove", "k"))
    assert caught.value.code == "webhook_not_found"


async def test_secrets_are_changed_by_who_read_the_present_ones(post: Post) -> None:
    webhook = await post.endpoint()
    key = post.ws.webhook_secrets
    present: bytes = await post.store.redis.call("HGET", key, webhook.id)
    entry = record(webhook, "webhook.rotate", "k")
    with pytest.raises(Conflict):
        await scripts.rotate_secret(post.store, webhook, b"new", entry, expected=b"other")
    await scripts.rotate_secret(post.store, webhook, b"new", entry, expected=present)
    assert await post.store.redis.call("HGET", key, webhook.id) == b"new"
    with pytest.raises(NotFound):
        await scripts.rotate_secret(
            post.store, post.ws.webhook("whk_none"), b"new", entry, expected=b""
        )


async def test_every_change_is_on_record(post: Post) -> None:
    webhook = await post.endpoint()
    await post.change(webhook, paused="person")
    await scripts.remove_webhook(post.store, webhook, record(webhook, "webhook.remove", "key:k"))
    entries = await post.store.redis.call("XRANGE", post.ws.audit, "-", "+")
    actions = [text(fields[b"d"]).split('"action":"')[1].split('"')[0] for _, fields in entries]
    assert actions == ["workspace.create", "webhook.create", "webhook.change", "webhook.remove"]
