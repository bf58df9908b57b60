"""Cancel and end: recorded first, then signalled; what was said stays."""

import asyncio

import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.errors import Conflict
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, working

LONG = "word " * 400


def talker(*script: object) -> Agent:
    answers = script or (Reply(text=LONG, chunk_delay_s=0.02), "next")
    return Agent(name="worker", model=ScriptedModel(list(answers)), tools=[endless])  # type: ignore[arg-type]


@tool(effect="pure")
async def endless() -> str:
    await asyncio.sleep(600)
    return "never"


async def test_a_cancel_inside_a_model_call_keeps_the_partial_text(place: Site) -> None:
    async with working(place.store, talker()):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "text.delta")
        await place.inputs.cancel(WORKSPACE, tid)
        turn = await place.ended(tid, timeout_s=3)
        assert (turn.state, turn.code) == ("cancelled", "cancelled")
        last = (await history.read_messages(place.store, WORKSPACE, session.id, last=1))[0]
        assert isinstance(last, AssistantMessage)
        assert last.partial
        assert last.text.startswith("word ")
        assert len(last.text) < len(LONG)
        assert (await place.ended(await place.put(session))).output == "next"


async def test_a_cancel_inside_a_tool_gives_every_call_a_result(place: Site) -> None:
    calls = [ToolCall("c1", "endless"), ToolCall("c2", "endless")]
    async with working(place.store, talker(calls, "next"), tool_concurrency=1):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "tool.started")
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid, timeout_s=3)).state == "cancelled"
        messages = await history.read_messages(place.store, WORKSPACE, session.id, last=10)
        outputs = [message.output for message in messages if isinstance(message, ToolMessage)]
        assert len(outputs) == 2
        assert "interrupted" in outputs[0]
        assert "Not run" in outputs[1]
        assert (await place.ended(await place.put(session))).state == "succeeded"


async def test_a_queued_turn_is_cancelled_at_once_and_never_starts(place: Site) -> None:
    async with working(place.store, talker(Reply(text=LONG, chunk_delay_s=0.005), "third")):
        session = await place.session("worker")
        first, second, third = [await place.put(session) for _ in range(3)]
        await place.inputs.cancel(WORKSPACE, second)
        assert (await place.turn(second)).state == "cancelled"
        assert (await place.ended(first)).state == "succeeded"
        assert (await place.ended(third)).output == "third"
    log = [event.decode() for event in await place.log(session) if event.kind == "turn.started"]
    assert [event["turn"] for event in log] == [first, third]


async def test_cancelling_twice_or_too_late_changes_nothing(place: Site) -> None:
    async with working(place.store, talker("quick")):
        session, turn = await place.run("worker")
        assert turn.state == "succeeded"
        again = await place.inputs.cancel(WORKSPACE, turn.id)
    assert (again.state, again.output) == ("succeeded", "quick")
    kinds = await place.kinds(session)
    assert kinds.count("turn.succeeded") == 1
    assert "turn.cancelled" not in kinds


async def test_end_lets_accepted_inputs_finish_and_takes_no_more(place: Site) -> None:
    async with working(place.store, talker(Reply(text="a b c d", chunk_delay_s=0.1), "second")):
        session = await place.session("worker")
        first, second = await place.put(session), await place.put(session)
        assert await place.inputs.end(WORKSPACE, session.id) == "ending"
        with pytest.raises(Conflict) as refused:
            await place.put(session)
        assert refused.value.code == "session_ended"
        assert [(await place.ended(tid)).state for tid in (first, second)] == ["succeeded"] * 2
    ended = await sessions.get(place.store, WORKSPACE, session.id)
    assert ended.state == "ended"
    assert (await place.kinds(session))[-1] == "session.ended"


async def test_end_by_force_cancels_what_runs_and_what_waits(place: Site) -> None:
    async with working(place.store, talker()):
        session = await place.session("worker")
        first, second = await place.put(session), await place.put(session)
        await place.seen(session, "text.delta")
        await place.inputs.end(WORKSPACE, session.id, force=True)
        assert [(await place.ended(tid)).state for tid in (first, second)] == ["cancelled"] * 2
    assert (await sessions.get(place.store, WORKSPACE, session.id)).state == "ended"
