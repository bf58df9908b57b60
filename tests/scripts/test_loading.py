"""A server that restarted has forgotten all scripts; callers must not notice."""

import asyncio

from bursar.store.scripts import leases, sessions
from bursar.store.scripts.budgets import end_hold
from bursar.store.scripts.turns import Commit
from support.stage import Stage


async def test_every_step_of_a_turn_survives_a_script_flush(stage: Stage) -> None:
    async def forget() -> None:
        await stage.store.redis.call("SCRIPT", "FLUSH")

    await forget()
    await stage.put()
    await forget()
    claimed = await stage.claim()
    lease, turn = claimed.lease, claimed.inbox[0].target
    await forget()
    await stage.start(lease, claimed.inbox[0])
    await forget()
    hold = await stage.reserve(lease, 500)
    await forget()
    await stage.commit(lease, turn, Commit(steps=1, hold=hold, actual_microusd=400))
    released = await stage.reserve(lease, 500, hold_id="h/2")
    await forget()
    await end_hold(
        stage.store,
        stage.session,
        op="release",
        hold_id=released.id,
        names=released.names,
        turn=turn,
        secret=released.secret,
    )
    await forget()
    assert await stage.park(lease, turn, seen_seq=1, wake_ms=1)
    await forget()
    await stage.put("news")
    again = await stage.claim("o2")
    await forget()
    await stage.resume(again.lease, turn, [])
    await forget()
    assert await stage.finish(again.lease, turn)
    await forget()
    assert await leases.release(stage.store, again.lease)
    await forget()
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    kinds = [event.kind for event in await stage.events()]
    assert kinds.count("turn.succeeded") == 1
    assert [event.seq for event in await stage.events()] == list(range(1, len(kinds) + 1))


async def test_concurrent_callers_of_a_forgotten_script_all_get_their_reply(stage: Stage) -> None:
    await stage.store.redis.call("SCRIPT", "FLUSH")
    accepted = await asyncio.gather(*(stage.put(str(i)) for i in range(30)))
    assert sorted(one.inbox_seq for one in accepted) == list(range(1, 31))
