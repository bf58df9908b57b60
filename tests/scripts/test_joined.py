"""Inputs that joined a turn: a step takes them in, and no turn ends over one that is left."""

from dataclasses import replace

import msgspec
import pytest

from bursar.errors import Fenced
from bursar.leases import InboxItem, Lease
from bursar.messages import AssistantMessage, UserMessage
from bursar.store.scripts import leases, sessions
from bursar.store.scripts.turns import Commit, Finished
from support.stage import Stage, unchanged


async def joined(stage: Stage, words: str = "and this") -> InboxItem:
    """Let an input join the turn under way."""
    accepted = await stage.put(words, if_busy="inject")
    return InboxItem(accepted.inbox_seq, "inject", accepted.turn)


def taking_in(item: InboxItem, words: str = "and this") -> Commit:
    return Commit(items=[item], messages=[UserMessage(words, turn=item.target)])


async def left_in(stage: Stage, turn: str) -> dict[str, str]:
    """What a turn's record says of inputs that joined it."""
    record = await stage.hash(stage.ws.turn(turn))
    return {name: value for name, value in record.items() if name.startswith("inject")}


async def texts(stage: Stage) -> list[str]:
    return [getattr(message, "text", "") for message in await stage.messages()]


async def test_a_step_that_takes_an_input_in_clears_item_text_and_number(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    await stage.commit(lease, turn, taking_in(item))
    assert await stage.items() == []
    assert await left_in(stage, turn) == {"injections": "0"}


async def test_what_a_step_takes_in_is_in_the_history(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    await stage.commit(lease, turn, taking_in(item))
    assert await texts(stage) == ["hello", "and this"]
    assert await stage.field("message_count") == "2"


async def test_a_step_leaves_inputs_that_it_does_not_name(stage: Stage) -> None:
    lease, turn = await stage.running()
    first, second = await joined(stage), await joined(stage)
    await stage.commit(lease, turn, taking_in(first))
    assert await stage.items() == [second.raw]
    assert set(await left_in(stage, turn)) == {"injections", f"injected:{second.seq}"}
    assert (await left_in(stage, turn))["injections"] == "1"


async def test_a_step_takes_in_several_at_once(stage: Stage) -> None:
    lease, turn = await stage.running()
    items = [await joined(stage) for _ in range(3)]
    await stage.commit(lease, turn, Commit(items=items))
    assert await stage.items() == []
    assert await left_in(stage, turn) == {"injections": "0"}


async def test_taking_in_is_not_doubled_by_a_repeat_after_a_lost_reply(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    before = replace(lease)
    await stage.commit(lease, turn, taking_in(item))
    async with unchanged(stage.store):
        await stage.commit(before, turn, taking_in(item))
    assert before.append_no == lease.append_no


async def test_an_item_that_was_taken_in_already_counts_no_more(stage: Stage) -> None:
    lease, turn = await stage.running()
    first = await joined(stage)
    await stage.commit(lease, turn, taking_in(first))
    second = await joined(stage)
    await stage.commit(lease, turn, Commit(items=[first]))
    assert await stage.items() == [second.raw]
    assert (await left_in(stage, turn))["injections"] == "1"


async def test_a_fenced_step_takes_nothing_in(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    async with unchanged(stage.store):
        with pytest.raises(Fenced):
            await stage.commit(replace(lease, owner="thief"), turn, taking_in(item))


async def test_a_step_with_a_wrong_hold_takes_nothing_in(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    hold = await stage.reserve(lease, 100)
    wrong = msgspec.structs.replace(hold, secret="wrong")
    commit = msgspec.structs.replace(taking_in(item), hold=wrong, actual_microusd=1)
    async with unchanged(stage.store):
        with pytest.raises(Exception, match="hold"):
            await stage.commit(lease, turn, commit)


@pytest.mark.parametrize("kind", ["cancel", "timer", "input"])
async def test_a_step_drops_items_of_every_kind(stage: Stage, kind: str) -> None:
    lease, turn = await stage.running()
    kept = await joined(stage)
    item = InboxItem(9, kind, turn)
    await stage.store.redis.call("RPUSH", stage.session.inbox, item.raw)
    await stage.commit(lease, turn, Commit(items=[item]))
    assert await stage.items() == [kept.raw]
    assert (await left_in(stage, turn))["injections"] == "1"


async def test_a_step_with_an_item_that_is_gone_commits_all_the_same(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.commit(lease, turn, taking_in(InboxItem(7, "inject", turn)))
    assert await texts(stage) == ["hello", "and this"]
    assert await left_in(stage, turn) == {}


async def test_the_next_owner_finds_what_its_dead_forerunner_did_not_take_in(stage: Stage) -> None:
    _, turn = await stage.running()
    item = await joined(stage)
    await stage.expire_lease()
    taken = await stage.claim("o2")
    assert taken.inbox == [item]
    await stage.commit(taken.lease, turn, taking_in(item))
    assert await texts(stage) == ["hello", "and this"]


OUTCOMES = pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "quarantined"])


@OUTCOMES
async def test_no_turn_ends_over_an_input_that_joined_it(stage: Stage, outcome: str) -> None:
    lease, turn = await stage.running()
    await joined(stage)
    answer = Commit(messages=[AssistantMessage("done", turn=turn)], steps=1)
    async with unchanged(stage.store):
        finished = await stage.try_finish(lease, turn, outcome=outcome, commit=answer)
    assert finished is Finished.INJECTED


async def test_a_refused_end_takes_no_number_of_the_lease(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    await stage.try_finish(lease, turn)
    assert lease.append_no == 1
    await stage.commit(lease, turn, taking_in(item))
    assert not await stage.finish(lease, turn)


async def test_a_refused_end_leaves_its_hold_open(stage: Stage) -> None:
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 100)
    await joined(stage)
    commit = Commit(hold=hold, actual_microusd=40)
    assert await stage.try_finish(lease, turn, commit=commit) is Finished.INJECTED
    assert (await stage.hash(hold.key))["state"] == "open"


@OUTCOMES
async def test_a_turn_ends_with_the_inputs_that_it_names(stage: Stage, outcome: str) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    assert not await stage.finish(lease, turn, outcome=outcome, commit=taking_in(item))
    assert await texts(stage) == ["hello", "and this"]
    assert await stage.items() == []
    assert await left_in(stage, turn) == {"injections": "0"}
    assert (await stage.hash(stage.ws.turn(turn)))["state"] == outcome


async def test_a_turn_does_not_end_while_one_of_two_is_left(stage: Stage) -> None:
    lease, turn = await stage.running()
    first, second = await joined(stage), await joined(stage)
    for items in ([first], [second]):
        async with unchanged(stage.store):
            assert await stage.try_finish(lease, turn, items=items) is Finished.INJECTED
    assert not await stage.finish(lease, turn, items=[first, second])


async def test_an_input_taken_in_before_does_not_stand_for_one_that_is_left(stage: Stage) -> None:
    lease, turn = await stage.running()
    first = await joined(stage)
    await stage.commit(lease, turn, taking_in(first))
    await joined(stage)
    async with unchanged(stage.store):
        finished = await stage.try_finish(lease, turn, outcome="failed", items=[first])
    assert finished is Finished.INJECTED


async def test_an_item_that_names_another_turn_does_not_stand_for_one_that_is_left(
    stage: Stage,
) -> None:
    lease, turn = await stage.running()
    await joined(stage)
    other = InboxItem(1, "inject", "trn_other")
    async with unchanged(stage.store):
        assert await stage.try_finish(lease, turn, items=[other]) is Finished.INJECTED


async def test_an_end_with_joined_inputs_is_recognised_as_a_repeat(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    before = replace(lease)
    await stage.finish(lease, turn, commit=taking_in(item))
    async with unchanged(stage.store):
        assert not await stage.finish(before, turn, commit=taking_in(item))


async def test_an_input_that_waits_in_line_keeps_no_turn_from_ending(stage: Stage) -> None:
    lease, turn = await stage.running()
    waiting = await stage.put()
    assert await stage.finish(lease, turn)
    assert await stage.items() == [f"2 input {waiting.turn}"]


@pytest.fixture
async def cancelling(stage: Stage) -> tuple[Lease, str, list[InboxItem]]:
    """A turn that is to be cancelled under its lease, with the items about it."""
    lease, turn = await stage.running()
    await stage.cancel(turn)
    _, items = await leases.take_inbox(stage.store, lease, [])
    return lease, turn, items


@OUTCOMES
async def test_the_end_of_a_turn_ends_its_cancelling(
    stage: Stage, cancelling: tuple[Lease, str, list[InboxItem]], outcome: str
) -> None:
    lease, turn, items = cancelling
    await stage.finish(lease, turn, outcome=outcome, items=items)
    assert await stage.field("cancelling") == "0"


async def test_the_turn_after_a_cancelled_one_is_not_to_be_cancelled(
    stage: Stage, cancelling: tuple[Lease, str, list[InboxItem]]
) -> None:
    lease, turn, items = cancelling
    accepted = await stage.put()
    assert await stage.finish(lease, turn, outcome="cancelled", items=items)
    assert await stage.start(lease, InboxItem(accepted.inbox_seq, "input", accepted.turn))
    record = await stage.hash(stage.ws.turn(accepted.turn))
    assert "cancel_ms" not in record
    assert await stage.field("cancelling") == "0"


async def test_a_refused_end_stays_cancelling(
    stage: Stage, cancelling: tuple[Lease, str, list[InboxItem]]
) -> None:
    lease, turn, items = cancelling
    await joined(stage)
    finished = await stage.try_finish(lease, turn, outcome="cancelled", items=items)
    assert finished is Finished.INJECTED
    assert await stage.field("cancelling") == "1"


async def test_an_end_that_was_asked_for_waits_for_inputs_that_joined(stage: Stage) -> None:
    lease, turn = await stage.running()
    item = await joined(stage)
    await sessions.end_session(stage.store, stage.session)
    assert await stage.try_finish(lease, turn) is Finished.INJECTED
    assert await stage.field("state") == "running"
    assert not await stage.finish(lease, turn, commit=taking_in(item))
    assert await stage.field("state") == "ended"
