"""Cancels, shut-downs and late bells at the worst moments."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.models import ModelRequest
from bursar.store.scripts import budgets, fenced, leases, turns
from bursar.testing import Answer, Reply, ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, working


@tool(effect="pure")
async def look() -> str:
    return "seen"


def looking(*script: Answer | Callable[[ModelRequest], Answer]) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script)), tools=[look])


async def calls_and_results(place: Site, session: str) -> tuple[list[str], list[str], int]:
    messages = await history.read_messages(place.store, WORKSPACE, session, last=50)
    answers = [message for message in messages if isinstance(message, AssistantMessage)]
    asked = [call.id for answer in answers for call in answer.tool_calls]
    results = [message.call_id for message in messages if isinstance(message, ToolMessage)]
    return asked, results, sum(answer.partial for answer in answers)


async def test_a_cancel_at_any_moment_leaves_exactly_one_result_for_each_call(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fenced write takes 20 ms, so that cancels meet them on their way."""
    write = fenced.run_fenced

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(0.02)
        return await write(*arguments)

    monkeypatch.setattr(turns, "run_fenced", slow)

    def answer(request: ModelRequest) -> Answer:
        if isinstance(request.messages[-1], ToolMessage):
            return "next"
        return Reply(text="I will look", chunk_delay_s=0.01, tool_calls=[ToolCall("c1", "look")])

    async def cancelled_after(delay_s: float) -> None:
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "turn.started")
        await asyncio.sleep(delay_s)
        await place.inputs.cancel(WORKSPACE, tid)
        await place.ended(tid)
        asked, results, partials = await calls_and_results(place, session.id)
        assert asked == results
        assert not (asked and partials), "an answer that was committed is not kept twice"

    async with working(place.store, looking(*[answer] * 100), slots=30):
        await asyncio.gather(*(cancelled_after(number * 0.01) for number in range(30)))


async def test_a_cancel_while_a_hold_is_on_its_way_leaves_none_behind(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve, reserving = budgets.reserve, asyncio.Event()

    async def slow(*arguments: Any) -> Any:
        reserving.set()
        await asyncio.sleep(0.3)
        return await reserve(*arguments)

    monkeypatch.setattr(budgets, "reserve", slow)
    async with working(place.store, looking("never asked")):
        session = await place.session("worker")
        tid = await place.put(session)
        await reserving.wait()
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
    account = sessions.locate(place.store, WORKSPACE, session.id).account
    assert await place.store.redis.call("HGET", account, "pending") == b"0"


async def test_a_worker_that_stops_in_a_claim_gives_the_session_back(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claimed = leases.claim, asyncio.Event()

    async def slow(*arguments: Any, **named: Any) -> Any:
        reply = await claim(*arguments, **named)
        claimed.set()
        await asyncio.sleep(0.2)
        return reply

    monkeypatch.setattr(leases, "claim", slow)
    async with working(place.store, looking("never asked")):
        session = await place.session("worker")
        tid = await place.put(session)
        await claimed.wait()
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    fields = await place.store.redis.call("HMGET", keys.hash, "lease_until_ms", "attempts")
    assert fields == [b"0", b"0"]
    async with working(place.store, looking("answer")):
        assert (await place.ended(tid)).output == "answer"


async def test_a_tool_may_clean_up_before_it_is_cancelled_again(place: Site) -> None:
    cleaned = []

    @tool(effect="pure", name="look")
    async def tidy() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(True)

    agent = Agent(name="worker", model=ScriptedModel([ToolCall("c1", "look")]), tools=[tidy])
    async with working(place.store, agent):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "tool.started")
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
    assert cleaned == [True]


async def test_another_input_does_not_wake_a_turn_that_waits_for_its_time(place: Site) -> None:
    from bursar.errors import ModelError

    refused = ModelError("later", retryable=True, status=429, retry_after_s=300)
    agent = looking(refused, "too early")
    async with working(place.store, agent):
        session = await place.session("worker")
        first = await place.put(session)
        await place.seen(session, "turn.waiting")
        second = await place.put(session)

        await asyncio.sleep(1)
        assert (await place.turn(first)).state == "waiting"
        assert isinstance(agent.model, ScriptedModel)
        assert len(agent.model.requests) == 1
        await place.inputs.cancel(WORKSPACE, first)
        assert (await place.ended(first)).state == "cancelled"
        assert (await place.ended(second)).output == "too early"
