"""Each write of a worker is fenced by epoch, owner and number, and repeats itself harmlessly."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bursar.errors import Fenced, NotFound
from bursar.leases import Lease
from bursar.messages import AssistantMessage
from bursar.store.scripts import leases, turns
from bursar.store.scripts.turns import Commit
from support.stage import Stage, unchanged
from support.tool_calls import start_tool

Write = Callable[[Stage, Lease, str], Awaitable[object]]


async def _append(stage: Stage, lease: Lease, turn: str) -> object:
    return await turns.append_events(stage.store, lease, [stage.event("text.delta", turn)])


async def _commit(stage: Stage, lease: Lease, turn: str) -> object:
    commit = Commit(messages=[AssistantMessage("hi", turn=turn)], steps=1, input_tokens=2)
    await stage.commit(lease, turn, commit)
    return None


async def _tool(stage: Stage, lease: Lease, turn: str) -> object:
    events = [stage.event("tool.started", turn)]
    await start_tool(stage.store, lease, "call:1", events)
    return None


async def _park(stage: Stage, lease: Lease, turn: str) -> object:
    return await stage.park(lease, turn, seen_seq=1)


async def _park_for_money(stage: Stage, lease: Lease, turn: str) -> object:
    own = f"s:{stage.session.id}"
    return await stage.park_for_money(lease, turn, account=own, cost=10**9)


async def _finish(stage: Stage, lease: Lease, turn: str) -> object:
    return await stage.finish(lease, turn)


async def _start(stage: Stage, lease: Lease, turn: str) -> object:
    accepted = await stage.put()
    _, inbox = await leases.take_inbox(stage.store, lease, [])
    return await stage.start(lease, next(item for item in inbox if item.target == accepted.turn))


WRITES: dict[str, Write] = {
    "events_append": _append,
    "step_commit": _commit,
    "tool_start": _tool,
    "turn_park": _park,
    "budget_park": _park_for_money,
    "turn_finish": _finish,
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


async def _prepared(stage: Stage) -> tuple[Lease, str]:
    """A running turn with one open tool call."""
    lease, turn = await stage.running()
    await stage.commit(lease, turn, Commit(effects={"call:1": "intent"}))
    return lease, turn


@every_write
async def test_a_stale_epoch_is_fenced_and_changes_nothing(stage: Stage, write: Write) -> None:
    lease, turn = await _prepared(stage)
    stale = replace(lease, epoch=lease.epoch - 1)
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await write(stage, stale, turn)


@every_write
async def test_another_owner_is_fenced_even_with_the_same_epoch(stage: Stage, write: Write) -> None:
    lease, turn = await _prepared(stage)
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await write(stage, replace(lease, owner="thief"), turn)


@every_write
@pytest.mark.parametrize("distance", [-2, 1, 7])
async def test_a_write_out_of_order_is_fenced(stage: Stage, write: Write, distance: int) -> None:
    lease, turn = await _prepared(stage)
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await write(stage, replace(lease, append_no=lease.append_no + distance), turn)


@every_write
async def test_a_write_after_the_lease_was_given_back_is_fenced(stage: Stage, write: Write) -> None:
    lease, turn = await _prepared(stage)
    await leases.release(stage.store, lease)
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await write(stage, lease, turn)


@every_write
async def test_a_write_to_a_deleted_session_says_that_it_is_gone(
    stage: Stage, write: Write
) -> None:
    lease, turn = await _prepared(stage)
    await stage.store.redis.call("DEL", stage.session.hash)
    with pytest.raises(NotFound):
        await write(stage, lease, turn)


@every_write
async def test_a_repeat_after_a_lost_reply_changes_nothing(stage: Stage, write: Write) -> None:
    lease, turn = await _prepared(stage)
    before = replace(lease)
    first = await write(stage, lease, turn)
    async with unchanged(stage.store):
        assert await write(stage, before, turn) == first
    assert before.append_no == lease.append_no


async def test_a_repeated_start_answers_as_the_first_did(stage: Stage) -> None:
    await stage.put()
    claimed = await stage.claim()
    again = replace(claimed.lease)
    assert await stage.start(claimed.lease, claimed.inbox[0])
    async with unchanged(stage.store):
        assert await stage.start(again, claimed.inbox[0])


async def test_a_repeated_start_of_a_cancelled_turn_answers_as_the_first_did(stage: Stage) -> None:
    await stage.put()
    claimed = await stage.claim()
    await stage.store.redis.call(
        "HSET", stage.ws.turn(claimed.inbox[0].target), "state", "cancelled"
    )
    again = replace(claimed.lease)
    assert not await stage.start(claimed.lease, claimed.inbox[0])
    async with unchanged(stage.store):
        assert not await stage.start(again, claimed.inbox[0])
    # What the invariants of the fixture count must not stay bent.
    await stage.store.redis.call("DEL", stage.ws.turn(claimed.inbox[0].target))


async def test_start_and_resume_are_fenced(stage: Stage) -> None:
    await stage.put()
    claimed = await stage.claim()
    thief = replace(claimed.lease, owner="thief")
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await stage.start(thief, claimed.inbox[0])
        with pytest.raises(Fenced):
            await stage.resume(thief, claimed.inbox[0].target, [])


async def test_start_and_resume_of_a_deleted_session_say_that_it_is_gone(stage: Stage) -> None:
    await stage.put()
    claimed = await stage.claim()
    await stage.store.redis.call("DEL", stage.session.hash)
    with pytest.raises(NotFound):
        await stage.start(claimed.lease, claimed.inbox[0])
    with pytest.raises(NotFound):
        await stage.resume(claimed.lease, claimed.inbox[0].target, [])


async def test_a_repeated_resume_changes_nothing(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    await stage.put()
    claimed = await stage.claim("o2")
    again = replace(claimed.lease)
    await stage.resume(claimed.lease, turn, [])
    async with unchanged(stage.store):
        await stage.resume(again, turn, [])


async def test_an_expired_lease_still_writes_until_somebody_takes_over(stage: Stage) -> None:
    lease, turn = await _prepared(stage)
    await stage.expire_lease()
    await _append(stage, lease, turn)
    taken = await stage.claim("o2")
    assert taken.takeover
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await _append(stage, lease, turn)
    await _append(stage, taken.lease, turn)


async def test_reading_and_dropping_inbox_items_is_fenced(stage: Stage) -> None:
    lease, _ = await stage.running()
    await stage.put("second")
    seen, inbox = await leases.take_inbox(stage.store, lease, [])
    assert (seen, [item.kind for item in inbox]) == (2, ["input"])
    async with unchanged(stage.store):
        for stale in (replace(lease, owner="thief"), replace(lease, epoch=9)):
            with pytest.raises(Fenced):
                await leases.take_inbox(stage.store, stale, inbox)
    assert await leases.take_inbox(stage.store, lease, inbox) == (2, [])


async def test_a_renewal_is_fenced_and_tells_of_news(stage: Stage) -> None:
    lease, _ = await stage.running()
    await stage.put("second")
    keys, args = leases.renew_command([lease], lease_ms=5)
    reply = await stage.store.run(leases.RENEW, keys, args)
    assert reply == ["ok", [b"2"]]
    async with unchanged(stage.store):
        keys, args = leases.renew_command([replace(lease, owner="thief")], lease_ms=5)
        assert await stage.store.run(leases.RENEW, keys, args) == ["ok", [b"fenced"]]


async def test_one_stale_lease_does_not_keep_the_others_of_a_beat(stage: Stage) -> None:
    lease, _ = await stage.running()
    other = stage.other("ses2")
    await other.open()
    second, _ = await other.running("o2")
    stale = replace(lease, epoch=lease.epoch - 1)
    keys, args = leases.renew_command([stale, second], lease_ms=5)
    assert await stage.store.run(leases.RENEW, keys, args) == ["ok", [b"fenced", b"1"]]
    assert int(await stage.field("lease_until_ms")) > int(await other.field("lease_until_ms"))
