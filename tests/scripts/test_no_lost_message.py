"""Events, gateways, answers, deaths and rests in any order: no message is lost or forgotten."""

import random

import pytest

from bursar.store.keys import WebhookKeys
from bursar.store.store import Store
from support.webhooks import Post


@pytest.fixture
async def post(any_store: Store) -> Post:
    return await Post.build(any_store)


@pytest.mark.parametrize("seed", range(5))
async def test_nothing_is_lost_or_forgotten_whoever_dies_when(post: Post, seed: int) -> None:
    """Any order of events, gateways, answers, deaths and pauses; then all goes well."""
    chance = random.Random(seed)
    webhooks = [await post.endpoint(f"whk_{number}") for number in range(2)]
    wanted: dict[str, set[str]] = {each.id: set() for each in webhooks}
    got: dict[str, set[str]] = {each.id: set() for each in webhooks}
    holding: dict[tuple[str, str], list[str]] = {}
    for _ in range(150):
        webhook, gateway = chance.choice(webhooks), chance.choice(["g1", "g2", "g3"])
        mine = holding.setdefault((webhook.id, gateway), [])
        match chance.choice(["happen", "spread", "take", "take", "end", "end", "die", "wake"]):
            case "happen":
                message = await post.happen()
                for each in webhooks:
                    wanted[each.id].add(message)
            case "spread":
                await post.spread(*webhooks)
            case "take":
                taken = await post.take(
                    webhook, gateway, room=chance.randint(1, 3), in_flight=tuple(mine)
                )
                mine[:] = [] if taken is None else [*mine, *(each.id for each in taken)]
            case "end" if mine:
                message = mine.pop(chance.randrange(len(mine)))
                outcome = chance.choice(["delivered", "failed"])
                if outcome == "delivered":
                    got[webhook.id].add(message)
                await post.end(webhook, message, outcome, gateway)
            case "die":
                mine.clear()
                await post.lose_gateway(webhook)
            case "wake":
                await post.wake(webhook)
        assert await _unseen(post, webhooks) == []
    await post.spread(*webhooks)
    for webhook in webhooks:
        while await post.pending(webhook):
            await post.lose_gateway(webhook)
            await post.wake(webhook)
            for left in await post.take(webhook, "last") or []:
                got[webhook.id].add(left.id)
                await post.end(webhook, left.id, owner="last")
        assert await post.take(webhook, "last") is None
        assert not await post.store.redis.call("EXISTS", webhook.messages, webhook.due)
    assert got == wanted
    assert await post.due() == []


async def _unseen(post: Post, webhooks: list[WebhookKeys]) -> list[str]:
    """Endpoints for which something waits and at which nobody would ever look again."""
    call = post.store.redis.call
    return [
        webhook.id
        for webhook in webhooks
        if await post.pending(webhook)
        and await call("ZSCORE", post.ws.shard.deliveries, webhook.ref) is None
    ]
