"""Inputs and cancels: accepted once, in order, and never half."""

import asyncio

import pytest

from bursar.errors import BursarError, Conflict, LimitReached, NotFound
from bursar.leases import ClaimRefused
from bursar.messages import UserMessage
from bursar.settings import Settings
from bursar.store.codec import encode_message, text
from bursar.store.scripts import inputs, leases, sessions
from bursar.store.scripts.inputs import Busy, Facts
from bursar.store.scripts.sessions import Idempotency
from support.stage import Stage, claimant, unchanged


async def state_of(stage: Stage, turn: str) -> str:
    return (await stage.hash(stage.ws.turn(turn)))["state"]


async def cancel(stage: Stage, turn: str) -> inputs.Cancelled:
    return await stage.cancel(turn)


async def test_an_input_is_turn_item_and_event_at_once(stage: Stage) -> None:
    accepted = await stage.put()
    assert (accepted.outcome, accepted.seq, accepted.inbox_seq, accepted.epoch) == ("ring", 2, 1, 0)
    assert await state_of(stage, accepted.turn) == "queued"
    items = await stage.store.redis.call("LRANGE", stage.session.inbox, 0, -1)
    assert [text(item) for item in items] == [f"1 input {accepted.turn}"]
    assert [event.kind for event in await stage.events()] == ["session.created", "turn.queued"]
    assert await stage.is_ready()
    assert await stage.field("state") == "queued"
    assert await stage.stats() == {"sessions:queued": 1, "sessions:live": 1, "turns:queued": 1}


async def test_an_input_for_a_driven_session_names_its_worker(stage: Stage) -> None:
    await stage.running()
    accepted = await stage.put("second")
    assert (accepted.outcome, accepted.worker, accepted.epoch) == ("held", "w1", 1)
    assert not await stage.is_ready()


async def test_an_input_for_an_expired_lease_rings(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    assert (await stage.put("second")).outcome == "ring"
    assert await stage.is_ready()


async def test_inputs_of_a_paused_workspace_are_accepted_and_blocked(stage: Stage) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings={"paused": 1}
    )
    assert (await stage.put()).outcome == "blocked"
    assert (await stage.put()).outcome == "blocked"
    assert not await stage.is_ready()
    assert await stage.field("blocked") == "paused"


async def test_an_input_nobody_serves_waits_and_says_so(stage: Stage) -> None:
    accepted = await stage.put(no_worker=True)
    assert (accepted.outcome, accepted.seq) == ("blocked", 2)
    last = (await stage.events())[-1]
    assert (last.kind, last.decode()["reason"]) == ("turn.waiting", "no_worker")
    members = await stage.store.redis.call("ZRANGE", stage.ws.shard.blocked_agent("echo"), 0, -1)
    assert [text(member) for member in members] == [stage.session.ref]


async def test_the_same_idempotency_key_gives_the_same_turn(stage: Stage) -> None:
    key = Idempotency("turns", "k1", "f1")
    first = await stage.put(idempotency=key)
    async with unchanged(stage.store):
        again = await stage.put(idempotency=key)
        assert (again.turn, again.outcome) == (first.turn, "repeat")
        with pytest.raises(Conflict) as caught:
            await stage.put(idempotency=Idempotency("turns", "k1", "f2"))
    assert caught.value.code == "idempotency_conflict"


async def test_of_many_inputs_with_one_key_exactly_one_is_accepted(stage: Stage) -> None:
    key = Idempotency("turns", "k1", "f1")
    accepted = await asyncio.gather(*(stage.put(idempotency=key) for _ in range(20)))
    assert len({one.turn for one in accepted}) == 1
    assert sum(one.outcome != "repeat" for one in accepted) == 1
    assert await stage.store.redis.call("LLEN", stage.session.inbox) == 1


async def test_an_unknown_session_is_refused(stage: Stage) -> None:
    async with unchanged(stage.store):
        with pytest.raises(NotFound):
            await stage.other("nobody").put()


async def test_no_input_enters_after_the_end(stage: Stage) -> None:
    lease, turn = await stage.running()
    await sessions.end_session(stage.store, stage.session)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await stage.put()
    assert caught.value.code == "session_ended"
    await stage.finish(lease, turn)
    with pytest.raises(Conflict):
        await stage.put()


@pytest.mark.parametrize(
    "facts",
    [
        Facts("u2", "", "echo", "interactive"),
        Facts("u1", "docs", "echo", "interactive"),
        Facts("u1", "", "other", "interactive"),
        Facts("u1", "", "echo", "background"),
    ],
)
async def test_stale_facts_are_noticed_and_nothing_is_written(stage: Stage, facts: Facts) -> None:
    async with unchanged(stage.store):
        accepted = await inputs.put_input(
            stage.store,
            stage.session,
            facts,
            turn="trn1",
            payload=encode_message(UserMessage("x")),
            idempotency=Idempotency(),
            no_worker=False,
            busy=Busy(),
        )
    assert accepted is None


async def test_a_full_inbox_refuses_one_more(stage: Stage) -> None:
    stage.store.settings = Settings(max_inbox=3)
    for _ in range(3):
        await stage.put()
    async with unchanged(stage.store):
        with pytest.raises(LimitReached) as caught:
            await stage.put()
    assert caught.value.code == "inbox_full"
    assert "3" in str(caught.value)


async def test_a_queued_turn_is_cancelled_at_once(stage: Stage) -> None:
    accepted = await stage.put()
    assert (await cancel(stage, accepted.turn)).status == "cancelled"
    assert await state_of(stage, accepted.turn) == "cancelled"
    assert [event.kind for event in await stage.events()][-1] == "turn.cancelled"
    assert await stage.field("state") == "idle"
    assert not await stage.is_ready()
    assert await stage.stats() == {"sessions:idle": 1, "sessions:live": 1, "turns:cancelled": 1}


async def test_a_cancelled_turn_leaves_the_line_to_the_next(stage: Stage) -> None:
    first = await stage.put()
    second = await stage.put()
    await cancel(stage, first.turn)
    assert await stage.is_ready()
    claimed = await stage.claim()
    assert [item.target for item in claimed.inbox] == [second.turn]


async def test_cancelling_the_last_queued_turn_completes_an_end(stage: Stage) -> None:
    accepted = await stage.put()
    await sessions.end_session(stage.store, stage.session)
    await cancel(stage, accepted.turn)
    assert await stage.field("state") == "ended"
    assert [e.kind for e in await stage.events()][-2:] == ["turn.cancelled", "session.ended"]


async def test_a_running_turn_is_asked_and_its_worker_named(stage: Stage) -> None:
    _, turn = await stage.running()
    asked = await cancel(stage, turn)
    assert asked.told is not None
    assert (asked.status, asked.told.outcome, asked.told.worker) == ("asked", "held", "w1")
    assert asked.told.ring.inbox_seq == 2
    items = await stage.store.redis.call("LRANGE", stage.session.inbox, 0, -1)
    assert [text(item) for item in items] == [f"2 cancel {turn}"]
    async with unchanged(stage.store):
        again = await cancel(stage, turn)
    assert again.told is not None
    assert (again.status, again.told.ring.inbox_seq) == ("asked", 2)
    assert await stage.field("cancel_epoch") == "1"


async def test_a_parked_turn_is_asked_and_rung_for(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    asked = await cancel(stage, turn)
    assert asked.told is not None
    assert (asked.status, asked.told.outcome, asked.told.ring.agent) == ("asked", "ring", "echo")
    assert await stage.is_ready()
    claimed = await stage.claim("o2")
    assert [item.kind for item in claimed.inbox] == ["cancel"]


async def test_a_turn_that_has_ended_stays_as_it_is(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.finish(lease, turn)
    async with unchanged(stage.store):
        assert (await cancel(stage, turn)).status == "terminal"


async def test_a_turn_of_another_session_is_not_found(stage: Stage) -> None:
    accepted = await stage.put()
    second = stage.other("ses2")
    await second.open()
    async with unchanged(stage.store):
        for turn in (accepted.turn, "trn_nobody"):
            with pytest.raises(BursarError) as caught:
                await second.cancel(turn)
            assert caught.value.code == "turn_not_found"


async def test_a_cancel_under_an_expired_lease_frees_its_slot_in_the_end(stage: Stage) -> None:
    accepted = await stage.put()
    await stage.claim()
    await stage.expire_lease()
    await cancel(stage, accepted.turn)
    assert await leases.reap(stage.store, stage.session)
    claimed = await stage.claim("o2")
    assert await leases.release(stage.store, claimed.lease) is None
    assert await stage.stats() == {"sessions:idle": 1, "sessions:live": 1, "turns:cancelled": 1}
    refused = await leases.claim(stage.store, stage.session, claimant("w", 1000), owner="o3")
    assert refused == ClaimRefused("idle")
