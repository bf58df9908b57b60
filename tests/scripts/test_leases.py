"""Who may drive a session, who has to wait, and what the sweeper finds."""

import pytest

from bursar.errors import Fenced
from bursar.leases import Claimed, ClaimRefused
from bursar.store.codec import text
from bursar.store.scripts import leases, sessions
from support.stage import Stage, claimant, unchanged


async def claim(stage: Stage, owner: str = "o9") -> Claimed | ClaimRefused:
    return await leases.claim(stage.store, stage.session, claimant("w9", 9000), owner=owner)


async def change(stage: Stage, **settings: str | int) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings=settings
    )


async def test_a_claim_brings_all_that_a_drive_needs(stage: Stage) -> None:
    accepted = await stage.put()
    claimed = await stage.claim()
    assert (claimed.lease.epoch, claimed.lease.owner, claimed.takeover) == (1, "o1", False)
    assert [(item.seq, item.kind, item.target) for item in claimed.inbox] == [
        (1, "input", accepted.turn)
    ]
    assert (claimed.fields["state"], claimed.fields["worker"]) == ("running", "w1")
    assert claimed.effects == {}
    assert not await stage.is_ready()
    assert (await stage.stats())["leases"] == 1


async def test_a_repeated_claim_of_the_same_owner_answers_as_the_first(stage: Stage) -> None:
    await stage.put()
    first = await stage.claim()
    async with unchanged(stage.store):
        again = await stage.claim()
    assert (again.lease.epoch, again.takeover) == (first.lease.epoch, False)
    await stage.expire_lease()
    assert (await stage.claim("o2")).takeover
    async with unchanged(stage.store):
        assert (await stage.claim("o2")).takeover


async def test_a_held_session_is_refused_with_its_holder(stage: Stage) -> None:
    await stage.put()
    await stage.claim()
    async with unchanged(stage.store):
        assert await claim(stage) == ClaimRefused("held", "w1")


async def test_a_claim_without_news_is_refused_and_clears_the_bell(stage: Stage) -> None:
    await stage.store.redis.call("ZADD", stage.ws.shard.ready, 1, stage.session.ref)
    assert await claim(stage) == ClaimRefused("idle")
    assert not await stage.is_ready()


async def test_a_claim_of_a_deleted_session_clears_its_traces(stage: Stage) -> None:
    await sessions.delete_session(stage.store, stage.session, user="u1", workspace_path="")
    await stage.store.redis.call("ZADD", stage.ws.shard.ready, 1, stage.session.ref)
    assert await claim(stage) == ClaimRefused("gone")
    assert not await stage.is_ready()


async def test_a_parked_session_is_idle_until_something_new_comes(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    assert await claim(stage) == ClaimRefused("idle")
    await stage.put("news")
    assert isinstance(await claim(stage), Claimed)


async def test_a_take_over_counts_an_attempt_and_no_second_lease(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    taken = await stage.claim("o2")
    assert taken.takeover
    assert (taken.lease.epoch, taken.fields["attempts"]) == (2, "1")
    assert (await stage.stats())["leases"] == 1


async def test_a_released_lease_is_no_take_over(stage: Stage) -> None:
    lease, _ = await stage.running()
    ring = await leases.release(stage.store, lease)
    assert ring is not None
    assert (ring.epoch, ring.inbox_seq) == (1, 1)
    again = await stage.claim("o2")
    assert not again.takeover
    assert again.fields["attempts"] == "0"


async def test_a_pause_blocks_claims_until_it_ends(stage: Stage) -> None:
    await stage.put()
    await change(stage, paused=1)
    assert await claim(stage) == ClaimRefused("blocked", "paused")
    assert (await stage.field("blocked"), await stage.is_ready()) == ("paused", False)
    shard = stage.ws.shard
    paused = shard.blocked_paused("acme")
    async with unchanged(stage.store):
        assert not await leases.unblock(stage.store, stage.session, why="paused", list_key=paused)
    await change(stage, paused=0)
    ring = await leases.unblock(stage.store, stage.session, why="paused", list_key=paused)
    assert ring is not None
    assert (ring.agent, ring.epoch, ring.inbox_seq) == ("echo", 0, 1)
    assert await stage.store.redis.call("ZCARD", shard.blocked) == 0
    assert isinstance(await claim(stage), Claimed)


async def test_a_pause_of_a_crashed_session_gives_its_slot_back(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    await change(stage, paused=1)
    assert await claim(stage) == ClaimRefused("blocked", "paused")
    assert "leases" not in await stage.stats()
    assert await stage.store.redis.call("ZCARD", stage.ws.shard.leases) == 0


async def test_the_running_cap_blocks_the_next_session_and_release_names_it(stage: Stage) -> None:
    await change(stage, max_running=1)
    lease, _ = await stage.running()
    second = stage.other("ses2")
    await second.open()
    await second.put()
    assert await claim(second) == ClaimRefused("blocked", "cap")
    capped = stage.ws.shard.blocked_cap("acme")
    assert not await leases.unblock(stage.store, second.session, why="cap", list_key=capped)
    await leases.release(stage.store, lease)
    assert lease.next_blocked == [f"cap {second.session.ref}"]
    assert await leases.unblock(stage.store, second.session, why="cap", list_key=capped)
    assert isinstance(await claim(second), Claimed)


async def test_a_take_over_needs_no_free_slot(stage: Stage) -> None:
    await change(stage, max_running=1)
    await stage.running()
    await stage.expire_lease()
    assert isinstance(await claim(stage), Claimed)


async def test_unblocking_what_is_blocked_for_another_reason_keeps_it(stage: Stage) -> None:
    await stage.put(no_worker=True)
    paused = stage.ws.shard.blocked_paused("acme")
    assert not await leases.unblock(stage.store, stage.session, why="paused", list_key=paused)
    assert await stage.field("blocked") == "agent"
    waiting = stage.ws.shard.blocked_agent("echo")
    assert await leases.unblock(stage.store, stage.session, why="agent", list_key=waiting)
    assert await stage.is_ready()


async def test_release_of_a_finished_inbox_makes_the_session_idle(stage: Stage) -> None:
    accepted = await stage.put()
    claimed = await stage.claim()
    await stage.cancel(accepted.turn)
    assert await leases.release(stage.store, claimed.lease) is None
    assert await stage.field("state") == "idle"
    assert await stage.store.redis.call("PTTL", stage.session.events) > 0
    with pytest.raises(Fenced):
        await leases.release(stage.store, claimed.lease)


async def test_release_completes_an_end_that_was_asked_for(stage: Stage) -> None:
    accepted = await stage.put()
    claimed = await stage.claim()
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    await stage.cancel(accepted.turn)
    assert await leases.release(stage.store, claimed.lease) is None
    assert await stage.field("state") == "ended"
    assert (await stage.events())[-1].kind == "session.ended"
    assert await stage.stats() == {"sessions:ended": 1, "turns:cancelled": 1}


async def test_a_live_lease_is_not_reaped(stage: Stage) -> None:
    await stage.running()
    until = await stage.field("lease_until_ms")
    await stage.store.redis.call("ZADD", stage.ws.shard.leases, 1, stage.session.ref)
    assert await leases.reap(stage.store, stage.session) is None
    score = await stage.store.redis.call("ZSCORE", stage.ws.shard.leases, stage.session.ref)
    assert int(score) == int(until)


async def test_an_expired_lease_is_reaped_once(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    ring = await leases.reap(stage.store, stage.session)
    assert ring is not None
    assert (ring.agent, ring.epoch, ring.inbox_seq) == ("echo", 1, 1)
    assert await stage.is_ready()
    assert await stage.store.redis.call("ZCARD", stage.ws.shard.leases) == 0


async def test_reaping_what_is_released_or_gone_only_clears_the_index(stage: Stage) -> None:
    shard = stage.ws.shard
    for ref in (stage.session, stage.ws.session("nobody")):
        await stage.store.redis.call("ZADD", shard.leases, 1, ref.ref)
        assert await leases.reap(stage.store, ref) is None
    assert await stage.store.redis.call("ZCARD", shard.leases) == 0
    assert not await stage.is_ready()


async def test_a_renewal_takes_a_reaped_session_back(stage: Stage) -> None:
    lease, _ = await stage.running()
    await stage.expire_lease()
    await leases.reap(stage.store, stage.session)
    keys, args = leases.renew_command([lease], lease_ms=60_000)
    assert (await stage.store.run(leases.RENEW, keys, args))[1] == [b"1"]
    assert not await stage.is_ready()
    assert await claim(stage) == ClaimRefused("held", "w1")


async def test_a_bell_is_repeated_when_due_with_doubling_pauses(stage: Stage) -> None:
    await stage.put()
    shard = stage.ws.shard
    async with unchanged(stage.store):
        assert await leases.ring_again(stage.store, stage.session) is None
    await stage.make_due(shard.ready, stage.session.ref)
    first = await leases.ring_again(stage.store, stage.session)
    assert first is not None
    since = int(await stage.field("since_ms"))
    assert 2000 <= int(first.again) - since < 3500
    await stage.store.redis.call("HSET", stage.session.hash, "since_ms", since - 20_000)
    await stage.make_due(shard.ready, stage.session.ref)
    second = await leases.ring_again(stage.store, stage.session)
    assert second is not None
    assert 20_000 <= int(second.again) - since < 22_000
    await stage.store.redis.call("HSET", stage.session.hash, "since_ms", since - 900_000)
    await stage.make_due(shard.ready, stage.session.ref)
    third = await leases.ring_again(stage.store, stage.session)
    assert third is not None
    assert 60_000 <= int(third.again) - since < 62_000


async def test_no_bell_for_what_is_not_ready_or_gone(stage: Stage) -> None:
    assert await leases.ring_again(stage.store, stage.session) is None
    nobody = stage.ws.session("nobody")
    await stage.store.redis.call("ZADD", stage.ws.shard.ready, 1, nobody.ref)
    assert await leases.ring_again(stage.store, nobody) is None
    assert await stage.store.redis.call("ZCARD", stage.ws.shard.ready) == 0


async def parked(stage: Stage) -> tuple[str, str]:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1, wake_ms=3_600_000)
    return stage.session.timer("wake", turn), turn


async def test_a_due_timer_becomes_an_inbox_item_once(stage: Stage) -> None:
    member, turn = await parked(stage)
    async with unchanged(stage.store):
        assert not await leases.fire_timer(stage.store, stage.session, member=member, turn=turn)
    await stage.make_due(stage.ws.shard.timers, member)
    ring = await leases.fire_timer(stage.store, stage.session, member=member, turn=turn)
    assert ring is not None
    assert (ring.agent, ring.epoch, ring.inbox_seq) == ("echo", 1, 2)
    items = await stage.store.redis.call("LRANGE", stage.session.inbox, 0, -1)
    assert [text(item) for item in items] == [f"2 timer {turn}"]
    async with unchanged(stage.store):
        assert not await leases.fire_timer(stage.store, stage.session, member=member, turn=turn)


async def test_a_timer_of_a_turn_that_is_over_goes_away_silently(stage: Stage) -> None:
    member, _ = await parked(stage)
    await stage.make_due(stage.ws.shard.timers, member)
    assert not await leases.fire_timer(stage.store, stage.session, member=member, turn="trn_other")
    assert await stage.store.redis.call("ZCARD", stage.ws.shard.timers) == 0
    assert await stage.store.redis.call("LLEN", stage.session.inbox) == 0


async def test_a_timer_of_a_driven_session_rings_nobody(stage: Stage) -> None:
    member, turn = await parked(stage)
    await stage.put("news")
    claimed = await stage.claim("o2")
    await stage.make_due(stage.ws.shard.timers, member)
    assert not await leases.fire_timer(stage.store, stage.session, member=member, turn=turn)
    seen, inbox = await leases.take_inbox(stage.store, claimed.lease, [])
    assert (seen, [item.kind for item in inbox]) == (3, ["input", "timer"])
