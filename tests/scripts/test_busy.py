"""What an input does beside a turn that is under way: wait, be refused, interrupt it or join it."""

import pytest

from bursar.errors import BursarError
from bursar.messages import UserMessage
from bursar.settings import Settings
from bursar.store.codec import encode_message
from bursar.store.scripts import inputs, leases, sessions
from bursar.store.scripts.inputs import IF_BUSY, Accepted, Busy
from bursar.store.scripts.sessions import Idempotency
from support.stage import Stage, unchanged

KEY = Idempotency("turns", "k1", "f1")
needs_turn = pytest.mark.parametrize("if_busy", ["interrupt", "inject"])


async def change(stage: Stage, **settings: str | int) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings=settings
    )


async def put_beside(stage: Stage, if_busy: str, turn: str) -> Accepted | None:
    """Put an input of a caller that read ``turn`` as the one under way."""
    return await inputs.put_input(
        stage.store,
        stage.session,
        stage.facts,
        turn="trn_new",
        payload=encode_message(UserMessage("late")),
        idempotency=Idempotency(),
        no_worker=False,
        busy=Busy(if_busy, turn),
    )


async def refused(stage: Stage, if_busy: str) -> str:
    """The code that an input is refused with, which has written nothing."""
    async with unchanged(stage.store):
        with pytest.raises(BursarError) as caught:
            await stage.put(if_busy=if_busy)
    return caught.value.code


async def parked(stage: Stage) -> str:
    lease, turn = await stage.running()
    assert await stage.park(lease, turn, seen_seq=1)
    return turn


async def test_reject_takes_an_input_of_an_idle_session(stage: Stage) -> None:
    assert (await stage.put(if_busy="reject")).outcome == "ring"
    assert await stage.field("state") == "queued"


async def test_reject_refuses_beside_a_queued_turn(stage: Stage) -> None:
    await stage.put()
    assert await refused(stage, "reject") == "session_busy"


async def test_reject_refuses_beside_a_running_turn(stage: Stage) -> None:
    await stage.running()
    assert await refused(stage, "reject") == "session_busy"


async def test_reject_refuses_beside_a_parked_turn(stage: Stage) -> None:
    await parked(stage)
    assert await refused(stage, "reject") == "session_busy"


async def test_reject_takes_an_input_once_the_turn_has_ended(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.finish(lease, turn)
    assert (await stage.put(if_busy="reject")).outcome == "ring"


async def test_reject_answers_the_same_key_with_the_first_turn(stage: Stage) -> None:
    first = await stage.put(idempotency=KEY, if_busy="reject")
    async with unchanged(stage.store):
        again = await stage.put(idempotency=KEY, if_busy="reject")
    assert again == Accepted(first.turn, "repeat")


async def test_interrupt_records_the_cancel_before_its_input_behind_all_that_wait(
    stage: Stage,
) -> None:
    _, turn = await stage.running()
    waiting = await stage.put()
    accepted = await stage.put(if_busy="interrupt")
    assert await stage.items() == [
        f"2 input {waiting.turn}",
        f"3 cancel {turn}",
        f"4 input {accepted.turn}",
    ]
    assert (accepted.outcome, accepted.worker, accepted.inbox_seq) == ("held", "w1", 4)
    assert not accepted.joined


async def test_interrupt_marks_the_turn_under_way_and_its_session(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.put(if_busy="interrupt")
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["state"], record["cancel_reason"]) == ("running", "interrupted by a newer input")
    assert int(record["cancel_ms"]) > 0
    assert (await stage.field("cancelling"), await stage.field("cancel_epoch")) == ("1", "1")


async def test_interrupt_announces_its_input_alone(stage: Stage) -> None:
    await stage.running()
    accepted = await stage.put(if_busy="interrupt")
    last = (await stage.events())[-1]
    assert (last.kind, last.decode()["turn"], last.seq) == (
        "turn.queued",
        accepted.turn,
        accepted.seq,
    )


async def test_a_second_interrupt_asks_for_no_second_cancel(stage: Stage) -> None:
    _, turn = await stage.running()
    first = await stage.put(if_busy="interrupt")
    second = await stage.put(if_busy="interrupt")
    assert await stage.items() == [
        f"2 cancel {turn}",
        f"3 input {first.turn}",
        f"4 input {second.turn}",
    ]
    assert await stage.field("cancel_epoch") == "1"


async def test_interrupt_keeps_the_reason_of_an_earlier_cancel(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.cancel(turn, "a person said so")
    await stage.put(if_busy="interrupt")
    assert (await stage.hash(stage.ws.turn(turn)))["cancel_reason"] == "a person said so"


async def test_interrupt_of_a_parked_turn_rings(stage: Stage) -> None:
    turn = await parked(stage)
    assert (await stage.put(if_busy="interrupt")).outcome == "ring"
    claimed = await stage.claim("o2")
    assert [item.kind for item in claimed.inbox] == ["cancel", "input"]
    assert claimed.fields["turn"] == turn


async def test_interrupt_of_a_parked_turn_is_held_up_by_no_pause(stage: Stage) -> None:
    await parked(stage)
    await change(stage, paused=1)
    assert (await stage.put(if_busy="interrupt")).outcome == "ring"
    assert await stage.is_ready()


async def test_interrupt_of_a_parked_turn_needs_no_worker_of_its_agent(stage: Stage) -> None:
    await parked(stage)
    accepted = await stage.put(no_worker=True, if_busy="interrupt")
    assert accepted.outcome == "ring"
    assert await stage.is_ready()


async def test_interrupt_of_a_blocked_session_rings(stage: Stage) -> None:
    await parked(stage)
    await stage.put(no_worker=True)
    assert await stage.field("blocked") == "agent"
    assert (await stage.put(if_busy="interrupt")).outcome == "ring"
    assert await stage.is_ready()


@needs_turn
async def test_with_nothing_under_way_it_is_an_input_like_any_other(
    stage: Stage, if_busy: str
) -> None:
    first = await stage.put(if_busy=if_busy)
    second = await stage.put(if_busy=if_busy)
    assert await stage.items() == [f"1 input {first.turn}", f"2 input {second.turn}"]
    assert (first.outcome, first.joined, first.inbox_seq) == ("ring", False, 1)
    assert [event.kind for event in await stage.events()][1:] == ["turn.queued", "turn.queued"]
    assert await stage.field("cancelling") == "0"
    assert await stage.stats() == {"sessions:queued": 1, "sessions:live": 1, "turns:queued": 2}


async def test_inject_joins_the_turn_under_way(stage: Stage) -> None:
    _, turn = await stage.running()
    accepted = await stage.put("and this", if_busy="inject")
    assert accepted == Accepted(turn, "held", seq=3, worker="w1", epoch=1, inbox_seq=2, joined=True)
    assert await stage.items() == [f"2 inject {turn}"]


async def test_inject_keeps_text_and_number_with_the_turn(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.put("and this", if_busy="inject")
    await stage.put("and that", if_busy="inject")
    record = await stage.hash(stage.ws.turn(turn))
    assert record["injections"] == "2"
    assert "and this" in record["injected:2"]
    assert "and that" in record["injected:3"]


async def test_inject_makes_no_turn_and_no_event(stage: Stage) -> None:
    await stage.running()
    records = await stage.store.redis.call("KEYS", stage.ws.turn("*"))
    events, stats = await stage.events(), await stage.stats()
    await stage.put(if_busy="inject")
    assert await stage.store.redis.call("KEYS", stage.ws.turn("*")) == records
    assert (await stage.events(), await stage.stats()) == (events, stats)


async def test_inject_into_a_parked_turn_rings(stage: Stage) -> None:
    turn = await parked(stage)
    accepted = await stage.put(if_busy="inject")
    assert (accepted.turn, accepted.outcome, accepted.worker) == (turn, "ring", "")
    assert await stage.is_ready()
    claimed = await stage.claim("o2")
    assert [(item.kind, item.target) for item in claimed.inbox] == [("inject", turn)]


async def test_inject_under_an_expired_lease_rings(stage: Stage) -> None:
    await stage.running()
    await stage.expire_lease()
    assert (await stage.put(if_busy="inject")).outcome == "ring"
    assert await stage.is_ready()


async def test_the_same_key_is_answered_with_the_turn_that_was_joined(stage: Stage) -> None:
    _, turn = await stage.running()
    await stage.put(idempotency=KEY, if_busy="inject")
    async with unchanged(stage.store):
        again = await stage.put(idempotency=KEY, if_busy="inject")
        with pytest.raises(BursarError) as caught:
            await stage.put(idempotency=Idempotency("turns", "k1", "f2"), if_busy="inject")
    assert (again.turn, again.outcome) == (turn, "repeat")
    assert caught.value.code == "idempotency_conflict"


async def test_a_repeat_of_an_input_that_joined_says_so_and_from_where(stage: Stage) -> None:
    await stage.running()
    first = await stage.put(idempotency=KEY, if_busy="inject")
    again = await stage.put(idempotency=KEY, if_busy="inject")
    assert (again.joined, again.seq) == (True, first.seq)


async def test_the_same_key_is_answered_after_the_joined_turn_has_ended(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.put(idempotency=KEY, if_busy="inject")
    _, items = await leases.take_inbox(stage.store, lease, [])
    await stage.finish(lease, turn, items=items)
    async with unchanged(stage.store):
        assert (await stage.put(idempotency=KEY, if_busy="inject")).turn == turn


@needs_turn
async def test_another_turn_than_the_caller_read_is_noticed(stage: Stage, if_busy: str) -> None:
    await stage.running()
    async with unchanged(stage.store):
        assert await put_beside(stage, if_busy, "trn_former") is None


@needs_turn
async def test_a_turn_that_began_meanwhile_is_noticed(stage: Stage, if_busy: str) -> None:
    await stage.running()
    async with unchanged(stage.store):
        assert await put_beside(stage, if_busy, "") is None


@needs_turn
async def test_a_turn_that_ended_meanwhile_is_noticed(stage: Stage, if_busy: str) -> None:
    lease, turn = await stage.running()
    await stage.finish(lease, turn)
    async with unchanged(stage.store):
        assert await put_beside(stage, if_busy, turn) is None


@pytest.mark.parametrize("if_busy", ["enqueue", "reject"])
async def test_the_turn_under_way_is_no_matter_to_others(stage: Stage, if_busy: str) -> None:
    assert await put_beside(stage, if_busy, "trn_former") is not None


@pytest.mark.parametrize("if_busy", ["enqueue", "interrupt", "inject"])
async def test_a_killed_workspace_takes_no_input(stage: Stage, if_busy: str) -> None:
    await stage.running()
    await sessions.kill_workspace(stage.store, stage.ws, "enough")
    assert await refused(stage, if_busy) == "workspace_killed"


@pytest.mark.parametrize("if_busy", IF_BUSY)
async def test_a_killed_workspace_takes_no_input_of_an_idle_session(
    stage: Stage, if_busy: str
) -> None:
    await sessions.kill_workspace(stage.store, stage.ws, "enough")
    assert await refused(stage, if_busy) == "workspace_killed"


@pytest.mark.parametrize("if_busy", ["enqueue", "interrupt"])
async def test_the_workspaces_own_cap_of_queued_turns_refuses(stage: Stage, if_busy: str) -> None:
    await change(stage, max_queued=1)
    await stage.running()
    await stage.put()
    assert await refused(stage, if_busy) == "workspace_busy"


async def test_the_settings_cap_counts_where_the_workspace_has_none(stage: Stage) -> None:
    stage.store.settings = Settings(max_queued=1)
    await stage.put()
    assert await refused(stage, "enqueue") == "workspace_busy"


async def test_the_workspaces_own_cap_goes_before_the_settings(stage: Stage) -> None:
    stage.store.settings = Settings(max_queued=1)
    await change(stage, max_queued=2)
    await stage.put()
    assert (await stage.put()).outcome == "ring"


async def test_queued_turns_of_all_sessions_count(stage: Stage) -> None:
    await change(stage, max_queued=1)
    second = stage.other("ses2")
    await second.open()
    await second.put()
    assert await refused(stage, "enqueue") == "workspace_busy"


async def test_a_full_line_keeps_no_input_from_joining(stage: Stage) -> None:
    await change(stage, max_queued=1)
    await stage.running()
    await stage.put()
    assert (await stage.put(if_busy="inject")).joined


@pytest.mark.parametrize("if_busy", ["enqueue", "interrupt", "inject"])
async def test_a_full_inbox_refuses_every_kind(stage: Stage, if_busy: str) -> None:
    stage.store.settings = Settings(max_inbox=2)
    await stage.running()
    await stage.put(if_busy="inject")
    await stage.put(if_busy="inject")
    assert await refused(stage, if_busy) == "inbox_full"
