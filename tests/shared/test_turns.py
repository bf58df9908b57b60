"""Turns as programs read them."""

import pytest

from bursar import turns
from bursar.errors import InvalidInput, NotFound
from bursar.messages import AssistantMessage, ToolMessage
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from bursar.turns import ENDED, derived_terminal
from support.stage import Stage


async def test_a_queued_turn_has_no_figures_yet(store: Store) -> None:
    stage = await Stage.build(store)
    accepted = await stage.put()
    turn = await turns.get(store, "acme", accepted.turn)
    assert (turn.state, turn.session, turn.started_ms, turn.output) == ("queued", "ses1", 0, "")
    assert turn.created_ms > 0


async def test_an_ended_turn_shows_its_answer_and_its_figures(store: Store) -> None:
    stage = await Stage.build(store)
    lease, tid = await stage.running()
    answer = AssistantMessage("the answer", turn=tid)
    commit = Commit(messages=[answer], steps=1, input_tokens=3, output_tokens=2)
    await stage.finish(lease, tid, commit=commit)
    turn = await turns.get(store, "acme", tid)
    assert (turn.state, turn.output, turn.steps) == ("succeeded", "the answer", 1)
    assert (turn.input_tokens, turn.output_tokens) == (3, 2)
    assert turn.ended_ms >= turn.started_ms >= turn.created_ms


async def test_a_turn_without_an_answer_of_its_own_has_no_output(store: Store) -> None:
    stage = await Stage.build(store)
    for last in (ToolMessage("c", "n", "out"), AssistantMessage("of another turn", turn="trn_x")):
        lease, tid = await stage.running(f"o{last.turn}")
        await stage.finish(lease, tid, outcome="failed", commit=Commit(messages=[last]))
        assert (await turns.get(store, "acme", tid)).output == ""


async def test_a_waiting_turn_says_what_it_waits_for(store: Store) -> None:
    stage = await Stage.build(store)
    lease, tid = await stage.running()
    await stage.park(lease, tid, seen_seq=1)
    turn = await turns.get(store, "acme", tid)
    assert (turn.state, turn.waiting_for) == ("waiting", "test")


async def test_turns_of_another_workspace_and_malformed_ids_are_refused(store: Store) -> None:
    stage = await Stage.build(store)
    accepted = await stage.put()
    with pytest.raises(NotFound):
        await turns.get(store, "other", accepted.turn)
    with pytest.raises(InvalidInput):
        await turns.get(store, "acme", "a{b}")


@pytest.mark.parametrize("outcome", sorted(ENDED))
async def test_the_terminal_event_can_be_derived_from_state(store: Store, outcome: str) -> None:
    stage = await Stage.build(store)
    lease, tid = await stage.running()
    assert await derived_terminal(store, "acme", tid) is None
    await stage.finish(lease, tid, outcome=outcome)
    await store.redis.call("DEL", stage.session.events)
    event = await derived_terminal(store, "acme", tid)
    assert event is not None
    assert (event.seq, event.kind) == (0, f"turn.{outcome}")
    body = event.decode()
    assert (body["turn"], body["session"], body["seq"]) == (tid, "ses1", 0)
    assert body["at_ms"] == (await turns.get(store, "acme", tid)).ended_ms
