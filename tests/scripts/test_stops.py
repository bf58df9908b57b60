"""Stopping: a workspace's kill switch, and why a turn was cancelled."""

import pytest

from bursar.errors import NotFound
from bursar.leases import Claimed, ClaimRefused
from bursar.store.codec import text
from bursar.store.scripts import leases, sessions
from support.stage import Stage, claimant, unchanged


async def kill(stage: Stage, reason: str = "enough") -> None:
    await sessions.kill_workspace(stage.store, stage.ws, reason)


async def timers(stage: Stage) -> list[str]:
    found = await stage.store.redis.call("ZRANGE", stage.ws.shard.timers, 0, -1)
    return [text(member) for member in found]


async def claim(stage: Stage) -> Claimed | ClaimRefused:
    return await leases.claim(stage.store, stage.session, claimant("w9"), owner="o9")


async def test_a_killed_workspace_says_so_with_time_and_reason(stage: Stage) -> None:
    await kill(stage, "runs wild")
    fields = await stage.hash(stage.ws.hash)
    assert (fields["killed"], fields["paused"], fields["kill_reason"]) == ("1", "1", "runs wild")
    assert int(fields["killed_ms"]) > 0


async def test_a_kill_leaves_a_timer_that_is_due(stage: Stage) -> None:
    await kill(stage)
    assert await timers(stage) == ["kill acme/ -"]
    due = await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, "kill acme/ -")
    assert int(due) == int((await stage.hash(stage.ws.hash))["killed_ms"])


async def test_a_second_kill_leaves_one_timer_and_the_newest_reason(stage: Stage) -> None:
    await kill(stage, "first")
    await kill(stage, "second")
    assert await timers(stage) == ["kill acme/ -"]
    assert (await stage.hash(stage.ws.hash))["kill_reason"] == "second"


async def test_a_kill_keeps_the_settings_of_the_workspace(stage: Stage) -> None:
    before = await stage.hash(stage.ws.hash)
    await kill(stage)
    after = await stage.hash(stage.ws.hash)
    changed = {"killed", "paused", "killed_ms", "kill_reason", "audit_seq"}
    assert {name for name in after if after[name] != before.get(name)} == changed
    assert before.keys() <= after.keys()


async def test_a_kill_of_no_workspace_is_refused(stage: Stage) -> None:
    async with unchanged(stage.store):
        with pytest.raises(NotFound) as caught:
            await sessions.kill_workspace(stage.store, stage.store.workspace("nowhere"), "x")
    assert caught.value.code == "workspace_not_found"


async def test_a_kill_stops_no_other_workspace(stage: Stage) -> None:
    other = await Stage.build(stage.store, workspace="bystander")
    await kill(stage)
    await other.put()
    assert isinstance(await claim(other), Claimed)


async def test_a_claim_in_a_killed_workspace_is_blocked_as_paused(stage: Stage) -> None:
    await stage.put()
    await kill(stage)
    assert await claim(stage) == ClaimRefused("blocked", "paused")
    assert (await stage.field("blocked"), await stage.is_ready()) == ("paused", False)


async def test_a_take_over_in_a_killed_workspace_is_blocked_as_paused(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    await kill(stage)
    assert await claim(stage) == ClaimRefused("blocked", "paused")
    assert "leases" not in await stage.stats()


async def test_a_cancelled_turn_of_a_killed_workspace_can_be_ended(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.expire_lease()
    await kill(stage)
    await stage.cancel(turn)
    claimed = await claim(stage)
    assert isinstance(claimed, Claimed)
    assert not await stage.finish(
        claimed.lease, turn, outcome="cancelled", items=list(claimed.inbox)
    )
    assert await stage.field("state") == "idle"


async def test_a_revived_workspace_runs_what_waited(stage: Stage) -> None:
    await stage.put()
    await kill(stage)
    await claim(stage)
    await sessions.open_workspace(
        stage.store,
        "acme",
        limit="unlimited",
        warn_percent=80,
        settings={"killed": 0, "paused": 0},
    )
    paused = stage.ws.shard.blocked_paused("acme")
    assert await leases.unblock(stage.store, stage.session, why="paused", list_key=paused)
    assert isinstance(await claim(stage), Claimed)


async def test_a_queued_turn_is_cancelled_with_its_reason(stage: Stage) -> None:
    accepted = await stage.put()
    await stage.cancel(accepted.turn, "changed my mind")
    record = await stage.hash(stage.ws.turn(accepted.turn))
    assert (record["code"], record["reason"]) == ("cancelled", "changed my mind")


async def test_the_event_of_a_cancelled_queued_turn_says_why(stage: Stage) -> None:
    accepted = await stage.put()
    await stage.cancel(accepted.turn, "changed my mind")
    last = (await stage.events())[-1]
    body = last.decode()
    assert (last.kind, body["turn"], body["code"], body["reason"]) == (
        "turn.cancelled",
        accepted.turn,
        "cancelled",
        "changed my mind",
    )


async def test_a_running_turn_keeps_why_it_is_to_be_cancelled(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.cancel(turn, "too slow")
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["state"], record["cancel_reason"]) == ("running", "too slow")
    assert int(record["cancel_ms"]) > 0
    assert await stage.field("cancelling") == "1"


async def test_a_turn_that_is_only_asked_to_end_has_no_terminal_event(stage: Stage) -> None:
    _, turn = await stage.running()
    events = await stage.events()
    await stage.cancel(turn, "too slow")
    assert await stage.events() == events


async def test_only_the_first_reason_of_a_running_turn_counts(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.cancel(turn, "first")
    async with unchanged(stage.store):
        await stage.cancel(turn, "second")


async def test_only_the_first_reason_of_a_parked_turn_counts(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    await stage.cancel(turn, "first")
    async with unchanged(stage.store):
        again = await stage.cancel(turn, "second")
    assert again.told is not None
    assert again.told.outcome == "ring"


async def test_only_the_first_reason_of_a_queued_turn_counts(stage: Stage) -> None:
    accepted = await stage.put()
    await stage.cancel(accepted.turn, "first")
    async with unchanged(stage.store):
        assert (await stage.cancel(accepted.turn, "second")).status == "terminal"


async def test_a_queued_turn_that_is_cancelled_marks_no_session_as_cancelling(
    stage: Stage,
) -> None:
    await stage.running()
    accepted = await stage.put()
    await stage.cancel(accepted.turn)
    assert await stage.field("cancelling") == "0"
