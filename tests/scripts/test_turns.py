"""What the scripts that move a turn on do to turn, session, log, inbox and counters."""

from typing import Any

import msgspec
import pytest

from bursar.errors import BudgetRefused, Conflict
from bursar.events import Event
from bursar.leases import ClaimRefused, InboxItem
from bursar.messages import AssistantMessage
from bursar.store.codec import text
from bursar.store.scripts import leases, sessions, turns
from bursar.store.scripts.budgets import end_hold
from bursar.store.scripts.turns import Commit, Started
from support.stage import Stage, claimant, unchanged
from support.tool_calls import start_tool


async def kinds(stage: Stage) -> list[str]:
    return [event.kind for event in await stage.events()]


async def test_start_moves_the_input_into_the_conversation(stage: Stage) -> None:
    lease, turn = await stage.running()
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["state"], record["first_message"]) == ("running", "0")
    assert "input" not in record
    assert await stage.store.redis.call("LLEN", stage.session.inbox) == 0
    assert await stage.store.redis.call("LLEN", stage.session.messages) == 1
    assert (await stage.field("turn"), await stage.field("turn_count")) == (turn, "1")
    assert lease.append_no == 1
    assert (await stage.stats())["turns:running"] == 1


async def test_start_drops_the_item_of_a_turn_that_is_not_queued(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = InboxItem(1, "input", turn)
    await stage.store.redis.call("RPUSH", stage.session.inbox, item.raw)
    assert not await stage.start(lease, item)
    assert await stage.store.redis.call("LLEN", stage.session.inbox) == 0
    assert await stage.field("turn_count") == "1"


async def test_events_have_gapless_seqs_and_complete_bodies(stage: Stage) -> None:
    lease, turn = await stage.running()
    deltas = [stage.event("text.delta", turn) for _ in range(3)]
    assert await turns.append_events(stage.store, lease, deltas) == 6
    bodies = [event.decode() for event in await stage.events()]
    assert [body["seq"] for body in bodies] == [1, 2, 3, 4, 5, 6]
    assert all(body["session"] == "ses1" and body["at_ms"] > 0 for body in bodies)


async def test_an_append_of_nothing_answers_the_last_seq(stage: Stage) -> None:
    lease, _ = await stage.running()
    assert await turns.append_events(stage.store, lease, []) == 3


async def test_an_empty_event_body_still_becomes_json(stage: Stage) -> None:
    lease, _ = await stage.running()
    await turns.append_events(stage.store, lease, [Event("usage", b"{}")])
    assert set((await stage.events())[-1].decode()) == {"seq", "at_ms"}


async def test_a_commit_counts_on_session_turn_and_statistics(stage: Stage) -> None:
    lease, turn = await stage.running()
    commit = Commit(
        messages=[AssistantMessage("a", turn=turn), AssistantMessage("b", turn=turn)],
        effects={"call:1": b"\x00\xff", "call:2": "intent"},
        steps=1,
        tool_calls=2,
        input_tokens=30,
        output_tokens=4,
        token_count=34,
    )
    await stage.commit(lease, turn, commit)
    await stage.commit(lease, turn, Commit(effects_done=["call:2"]))
    record = await stage.hash(stage.ws.turn(turn))
    assert [record[name] for name in ("steps", "tool_calls", "input_tokens", "output_tokens")] == [
        "1",
        "2",
        "30",
        "4",
    ]
    assert await stage.field("message_count") == "3"
    assert await stage.field("step_count") == "1"
    assert await stage.field("tool_call_count") == "2"
    assert await stage.field("token_count") == "34"
    assert await stage.store.redis.call("HGETALL", stage.session.effects) == {
        b"call:1": b"\x00\xff"
    }
    stats = await stage.stats()
    assert (stats["steps"], stats["tool_calls"], stats["input_tokens"]) == (1, 2, 30)


async def test_progress_sets_the_attempts_to_zero(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    taken = await stage.claim("o2")
    assert await stage.field("attempts") == "1"
    await stage.commit(taken.lease, taken.fields["turn"])
    assert await stage.field("attempts") == "0"


async def test_a_commit_books_its_hold_and_warns_once(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 900_000)
    warning = stage.event("budget.warning", turn).body
    commit = Commit(steps=1, hold=hold, actual_microusd=850_000, warning=warning)
    await stage.commit(lease, turn, commit)
    second = await stage.reserve(lease, 10, hold_id="h/2")
    await stage.commit(lease, turn, Commit(hold=second, actual_microusd=10, warning=warning))
    own = await stage.hash(stage.session.account)
    assert (own["posted"], own["pending"], own["warned"]) == ("850010", "0", "80")
    warnings = [e.decode() for e in await stage.events() if e.kind == "budget.warning"]
    assert [body["account"] for body in warnings] == ["s:ses1"]
    assert (await stage.hash(stage.ws.turn(turn)))["cost_microusd"] == "850010"
    assert not await stage.store.redis.call("EXISTS", stage.session.effects)


async def test_a_warning_without_a_body_is_json_all_the_same(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 900_000)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=900_000))
    bodies = [e.decode() for e in await stage.events() if e.kind == "budget.warning"]
    assert bodies[0]["account"] == "s:ses1"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": "wrong"}, "hold_not_yours"),
        ({"names": "ws,s:ses1"}, "path_mismatch"),
        ({"key": "missing"}, "hold_not_found"),
        ({"actual": "1e3"}, "bad_amount"),
        ({"actual": "-1"}, "bad_amount"),
    ],
)
async def test_a_commit_with_a_wrong_hold_commits_nothing_at_all(
    stage: Stage, change: dict[str, str], code: str
) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 100)
    change = dict(change)
    if "key" in change:
        change = {"key": stage.ws.hold(change["key"])}
    actual: Any = change.pop("actual", 1)
    wrong = msgspec.structs.replace(hold, **change)
    commit = Commit(messages=[AssistantMessage("a")], hold=wrong, actual_microusd=actual)
    async with unchanged(stage.store):
        with pytest.raises(Exception, match=r".") as caught:
            await stage.commit(lease, turn, commit)
        assert getattr(caught.value, "code", "") == code
        with pytest.raises(Exception, match=r"."):
            await stage.finish(lease, turn, commit=commit)


async def test_a_commit_of_a_hold_that_expired_books_it_once(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 100)
    ended = await expire_hold(stage, turn)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=40))
    assert ended == "unconfirmed"
    assert (await stage.hash(stage.session.account))["posted"] == "100"


async def expire_hold(stage: Stage, turn: str) -> str:
    names = ",".join(stage.path.names)
    ended = await end_hold(
        stage.store, stage.session, op="expire", hold_id="h/1", names=names, turn=turn
    )
    assert ended is not None
    return ended.state


async def test_a_tool_call_is_sent_only_if_it_was_intended(stage: Stage) -> None:
    lease, turn = await stage.running()
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await start_tool(stage.store, lease, "call:9")
    assert caught.value.code == "call_not_open"
    await stage.commit(lease, turn, Commit(effects={"call:9": "intent"}))
    await start_tool(stage.store, lease, "call:9", [stage.event("tool.started", turn)])
    effect = await stage.store.redis.call("HGET", stage.session.effects, "call:9")
    assert text(effect) == "sent"


async def test_a_tool_call_and_its_hold_start_together_or_not_at_all(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.commit(lease, turn, Commit(effects={"call:1": "intent", "call:2": "intent"}))
    wish = stage.wish(100, hold_id="h/1", turn=turn)
    hold = await start_tool(stage.store, lease, "call:1", wish=wish, path=stage.path)
    assert hold is not None
    assert (await stage.hash(hold.key))["sent"] == "1"
    assert await expire_hold(stage, turn) == "unconfirmed"
    wish = stage.wish(10**12, hold_id="h/2", turn=turn)
    async with unchanged(stage.store):
        with pytest.raises(BudgetRefused):
            await start_tool(stage.store, lease, "call:2", wish=wish, path=stage.path)


async def test_a_parked_turn_holds_no_lease(stage: Stage) -> None:
    lease, turn = await stage.running()
    assert await stage.park(lease, turn, seen_seq=1, wake_ms=1000)
    assert (await stage.field("state"), await stage.field("lease_until_ms")) == ("waiting", "0")
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["state"], record["waiting_for"]) == ("waiting", "test")
    shard = stage.ws.shard
    assert await stage.store.redis.call("ZCARD", shard.leases) == 0
    timers = await stage.store.redis.call("ZRANGE", shard.timers, 0, -1)
    assert [text(member) for member in timers] == [f"wake acme/ses1 {turn}"]
    assert "leases" not in await stage.stats()


async def test_a_turn_does_not_park_past_something_unseen(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.put("news")
    async with unchanged(stage.store):
        assert not await stage.park(lease, turn, seen_seq=1)
    assert await stage.park(lease, turn, seen_seq=2)


async def test_a_waiting_turn_parks_again_without_bending_the_counters(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1)
    await stage.put("not about this turn")
    claimed = await stage.claim("o2")
    before = {k: v for k, v in (await stage.stats()).items() if k.startswith("turns:")}
    assert await stage.park(claimed.lease, turn, seen_seq=2)
    after = {k: v for k, v in (await stage.stats()).items() if k.startswith("turns:")}
    assert before == after == {"turns:waiting": 1, "turns:queued": 1}


async def test_resume_runs_the_turn_and_drops_what_woke_it(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.park(lease, turn, seen_seq=1, wake_ms=1)
    member = stage.session.timer("wake", turn)
    await stage.make_due(stage.ws.shard.timers, member)
    await leases.fire_timer(stage.store, stage.session, member=member, turn=turn)
    claimed = await stage.claim("o2")
    assert [(item.kind, item.target) for item in claimed.inbox] == [("timer", turn)]
    await stage.resume(claimed.lease, turn, claimed.inbox)
    record = await stage.hash(stage.ws.turn(turn))
    assert record["state"] == "running"
    assert "waiting_for" not in record
    assert await stage.store.redis.call("LLEN", stage.session.inbox) == 0


async def test_resume_of_a_running_turn_changes_nothing(stage: Stage) -> None:
    lease, turn = await stage.running()
    async with unchanged(stage.store):
        await stage.resume(lease, turn, [])
    assert lease.append_no == 1


async def test_finish_ends_turn_log_and_lease(stage: Stage) -> None:
    lease, turn = await stage.running()
    answer = AssistantMessage("done", turn=turn)
    assert not await stage.finish(lease, turn, commit=Commit(messages=[answer]))
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["state"], record["last_message"]) == ("succeeded", "1")
    assert (await stage.field("state"), await stage.field("turn")) == ("idle", "")
    assert (await kinds(stage))[-1] == "turn.succeeded"
    for key in (stage.session.events, stage.ws.turn(turn)):
        assert await stage.store.redis.call("PTTL", key) > 0
    assert await stage.stats() == {"sessions:idle": 1, "sessions:live": 1, "turns:succeeded": 1}


async def test_warnings_come_before_the_terminal_event(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 900_000)
    await stage.finish(lease, turn, commit=Commit(hold=hold, actual_microusd=900_000))
    assert (await kinds(stage))[-2:] == ["budget.warning", "turn.succeeded"]


async def test_finish_keeps_the_lease_while_the_inbox_holds_more(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.put("second")
    assert await stage.finish(lease, turn)
    assert (await stage.field("state"), await stage.field("turn")) == ("running", "")
    assert await stage.store.redis.call("PTTL", stage.session.events) == -1
    _, inbox = await leases.take_inbox(stage.store, lease, [])
    assert await stage.start(lease, inbox[0])


async def test_finish_completes_an_end_that_was_asked_for(stage: Stage) -> None:
    lease, turn = await stage.running()
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    assert not await stage.finish(lease, turn)
    assert await stage.field("state") == "ended"
    assert (await kinds(stage))[-2:] == ["turn.succeeded", "session.ended"]
    assert await stage.stats() == {"sessions:ended": 1, "turns:succeeded": 1}


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "quarantined"])
async def test_a_turn_that_has_ended_never_changes(stage: Stage, outcome: str) -> None:
    lease, turn = await stage.running()
    await stage.put("second")
    assert await stage.finish(lease, turn, outcome=outcome)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await stage.finish(lease, turn, outcome="failed")
        assert caught.value.code == "turn_ended"
        with pytest.raises(Conflict):
            await stage.park(lease, turn, seen_seq=9)


async def test_a_slot_that_finish_frees_names_the_session_that_waits_for_it(stage: Stage) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings={"max_running": "1"}
    )
    lease, turn = await stage.running()
    second = stage.other("ses2")
    await second.open()
    await second.put()
    refused = await leases.claim(stage.store, second.session, claimant("w2", 1000), owner="o2")
    assert refused == ClaimRefused("blocked", "cap")
    await stage.finish(lease, turn)
    assert lease.next_blocked == [f"cap {second.session.ref}"]


async def test_a_turn_does_not_start_in_a_workspace_that_was_paused_meanwhile(stage: Stage) -> None:
    lease, turn = await stage.running()
    second = await stage.put("second")
    assert await stage.finish(lease, turn)
    await stage.store.redis.call("HSET", stage.ws.hash, "paused", 1)
    item = InboxItem(second.inbox_seq, "input", second.turn)
    async with unchanged(stage.store):
        assert await stage.try_start(lease, item) is Started.BLOCKED


async def test_a_session_gives_way_to_those_that_wait_for_a_place(stage: Stage) -> None:
    """Otherwise one with many inputs would keep the workspace's only place for itself."""
    lease, turn = await stage.running()
    second = await stage.put("second")
    assert await stage.finish(lease, turn)
    await stage.store.redis.call("ZADD", stage.ws.shard.blocked_cap(stage.ws.id), 1, "acme/other")
    item = InboxItem(second.inbox_seq, "input", second.turn)
    async with unchanged(stage.store):
        assert await stage.try_start(lease, item, yields=True) is Started.BLOCKED


async def test_the_first_turn_of_a_lease_gives_way_to_nobody(stage: Stage) -> None:
    """Else many that wait would hand the only place around, and none of them would ever start."""
    accepted = await stage.put()
    claimed = await stage.claim()
    await stage.store.redis.call("ZADD", stage.ws.shard.blocked_cap(stage.ws.id), 1, "acme/other")
    item = InboxItem(accepted.inbox_seq, "input", accepted.turn)
    assert await stage.try_start(claimed.lease, item) is Started.YES


async def test_an_answer_that_asks_for_thousands_of_calls_is_committed(stage: Stage) -> None:
    lease, turn = await stage.running()
    asked = [f"call:{number}" for number in range(9000)]
    await stage.commit(lease, turn, Commit(effects=dict.fromkeys(asked, "intent")))
    assert len(await stage.hash(stage.session.effects)) == 9000
    said = [AssistantMessage(str(number)) for number in range(9000)]
    await stage.commit(lease, turn, Commit(effects_done=asked, messages=said))
    assert await stage.hash(stage.session.effects) == {}
    assert await stage.field("message_count") == "9001"
