"""An approval lets one call start: the one that it was asked about, once."""

from typing import Any

import pytest

from bursar.audit.entries import Record
from bursar.errors import Conflict
from bursar.events import Span
from bursar.gate.canonical import canonical
from bursar.gate.requests import Use
from bursar.leases import Lease
from bursar.store.scripts import approvals, tools, turns
from bursar.store.scripts.approvals import Answer
from bursar.store.scripts.budgets import Path
from bursar.store.scripts.tools import Permit
from bursar.store.scripts.turns import Commit
from support.questions import put_question
from support.stage import Stage, unchanged

SHA = canonical('{"to": "bob"}').sha256


def record(decision: str = "allow") -> bytes:
    return Record(
        workspace="acme",
        actor="agent:echo",
        action="tool://local/send",
        decision=decision,  # type: ignore[arg-type]
    ).body


async def asked(stage: Stage, lease: Lease, turn: str, call: str = "c1", **fields: Any) -> str:
    put = await put_question(stage.store, lease, turn, call=call, **fields)
    assert put.status == "ok"
    return put.id


async def approved(stage: Stage, lease: Lease, turn: str, call: str = "c1") -> str:
    question = await asked(stage, lease, turn, call)
    told = Span(stage.session.id, turn).event("approval.resolved", approval=question).body
    fields = {"answered_by": "key:ann", "decision": "approve"}
    given = Answer(question, "approved", SHA, fields, told, record())
    assert await approvals.answer(stage.store, stage.session, given, turn)
    return question


async def start(stage: Stage, lease: Lease, call: str, question: str, *, once: bool = False) -> str:
    use = Use("approval", question, (SHA, "m", "p", question))
    permit = Permit("0", use, record(), once=once)
    started = await tools.start_tool(stage.store, lease, f"call:{call}", [], permit, Path((), ()))
    return started.status


async def test_the_call_starts(stage: Stage) -> None:
    lease, turn = await stage.running()
    question = await approved(stage, lease, turn)
    assert await start(stage, lease, "c1", question) == "ok"
    assert (await stage.hash(stage.ws.approval(question)))["state"] == "consumed"


async def test_it_starts_again_after_a_crash_if_it_may_be_repeated(stage: Stage) -> None:
    lease, turn = await stage.running()
    question = await approved(stage, lease, turn)
    assert await start(stage, lease, "c1", question) == "ok"
    assert await start(stage, lease, "c1", question) == "ok"
    async with unchanged(stage.store):
        with pytest.raises(Conflict):
            await start(stage, lease, "c1", question, once=True)


async def test_the_approval_of_another_session_lets_nothing_start(stage: Stage) -> None:
    lease, turn = await stage.running()
    other = stage.other("ses2")
    await other.open()
    others_lease, others_turn = await other.running()
    await asked(other, others_lease, others_turn)
    question = await approved(stage, lease, turn)
    async with unchanged(stage.store):
        assert await start(other, others_lease, "c1", question) == "void"


async def test_the_approval_of_another_call_lets_nothing_start(stage: Stage) -> None:
    lease, turn = await stage.running()
    await asked(stage, lease, turn, "c2")
    question = await approved(stage, lease, turn)
    async with unchanged(stage.store):
        assert await start(stage, lease, "c2", question) == "void"


async def test_an_approval_that_was_used_lets_no_other_call_start_that_was_sent(
    stage: Stage,
) -> None:
    lease, turn = await stage.running()
    question = await approved(stage, lease, turn)
    assert await start(stage, lease, "c1", question) == "ok"
    await turns.commit_step(stage.store, lease, turn, Commit(effects={"call:c2": "sent"}), [])
    async with unchanged(stage.store):
        assert await start(stage, lease, "c2", question) == "void"


async def test_the_end_of_a_questions_time_wakes_no_ended_session(stage: Stage) -> None:
    lease, turn = await stage.running()
    question = await asked(stage, lease, turn, fallback="skip")
    await stage.store.redis.call("HSET", stage.session.hash, "state", "ended", "lease_until_ms", 0)
    woken = await approvals.expire(
        stage.store,
        stage.session,
        question,
        turn=turn,
        told=b"{}",
        audit=record("done"),
        early="key:ann",
    )
    assert woken is None or woken.outcome == "rest"
    assert not await stage.is_ready()
