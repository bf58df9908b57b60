"""No agent and no approver fills a store: open questions and grants have a bound each."""

import pytest

from bursar.errors import LimitReached
from bursar.gate import granting
from bursar.gate.approvals import list_open
from bursar.gate.granting import NewAllowance
from bursar.store.scripts import allowances, approvals
from bursar.store.scripts.approvals import Answer
from support.questions import put_question
from support.stage import Stage, unchanged


def bounded(stage: Stage, **changes: int) -> None:
    stage.store.settings = stage.store.settings.model_copy(update=changes)


async def test_a_session_asks_so_much_and_no_more(stage: Stage) -> None:
    bounded(stage, max_approvals_a_session=2)
    lease, turn = await stage.running()
    for number in range(2):
        arguments = f'{{"n": {number}}}'
        asked = await put_question(stage.store, lease, turn, call=f"c{number}", arguments=arguments)
        assert asked.status == "ok"
    refused = await put_question(stage.store, lease, turn, call="c2", arguments='{"n": 2}')
    assert refused.status == "too_many"
    assert len(await list_open(stage.store, stage.ws)) == 2
    other = stage.other("ses2")
    await other.open()
    lease, turn = await other.running()
    assert (await put_question(stage.store, lease, turn)).status == "ok", "its own bound"


async def test_a_workspace_has_so_many_open_questions(stage: Stage) -> None:
    bounded(stage, max_approvals=1)
    lease, turn = await stage.running()
    assert (await put_question(stage.store, lease, turn)).status == "ok"
    other = stage.other("ses2")
    await other.open()
    lease, turn = await other.running()
    assert (await put_question(stage.store, lease, turn)).status == "too_many"


async def test_a_workspace_has_so_many_allowances(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MAX_ALLOWANCES", 1)
    for _ in range(2):
        await granting.allow(stage.store, stage.ws, NewAllowance(pattern="send"), by="key:ann")
    async with unchanged(stage.store):
        with pytest.raises(LimitReached) as caught:
            await granting.allow(stage.store, stage.ws, NewAllowance(pattern="x"), by="key:ann")
    assert caught.value.code == "too_many_grants"


async def test_an_answer_grants_nothing_where_there_is_no_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "MAX_ALLOWANCES", 1)
    for _ in range(2):
        await granting.allow(stage.store, stage.ws, NewAllowance(pattern="x"), by="key:ann")
    lease, turn = await stage.running()
    asked = await put_question(stage.store, lease, turn, version="2")
    (view,) = await list_open(stage.store, stage.ws)
    made = await granting.build(
        stage.store, stage.ws, NewAllowance(pattern="send"), by="key:ann", approval=asked.id
    )
    given = Answer(
        approval=asked.id, state="approved", arguments_sha256=view.arguments_sha256,
        fields={"answered_by": "key:ann"}, told=b"{}", audit=b"{}",
        grant=allowances.grant_of(stage.ws, made, b"{}"),
    )  # fmt: skip
    async with unchanged(stage.store):
        with pytest.raises(LimitReached) as caught:
            await approvals.answer(stage.store, stage.session, given, turn)
    assert caught.value.code == "too_many_grants"
    (still,) = await list_open(stage.store, stage.ws)
    assert still == view, "the question is open as before"
