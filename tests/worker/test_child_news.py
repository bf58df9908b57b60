"""What comes in for a turn that has answered, but whose sub-agents still have to stop."""

import asyncio
import json

import pytest

from bursar.agents import Agent
from bursar.children import Join
from bursar.context import ToolContext
from bursar.failpoints import FailpointError
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest
from bursar.store.scripts.parking import Parking
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from bursar_worker.parking import Stopping
from bursar_worker.turn import TurnRun
from support.workers import Site, working


@tool
async def race(ctx: ToolContext) -> Join:
    """Take the first of two."""
    return ctx.map(["quick", "stubborn"], wait="any")


@tool
async def linger() -> str:
    """Take a while to stop."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(1.5)
        raise
    return "done"


def said(request: ModelRequest) -> list[str]:
    return [m.text for m in request.messages if isinstance(m, UserMessage)]


def leaf_model(request: ModelRequest) -> Reply:
    if said(request)[0] == "stubborn":
        return Reply(tool_calls=[ToolCall("l", "linger", "{}")])
    return Reply(text="quick is done", delay_s=0.3)


def lead_model(request: ModelRequest) -> Reply:
    if any(isinstance(m, ToolMessage) for m in request.messages):
        return Reply(text=f"heard {said(request)}")
    return Reply(tool_calls=[ToolCall("c", "race", json.dumps({}))])


leaf = Agent(
    name="leaf",
    model=ScriptedModel([leaf_model] * 50),
    tools=[linger],
    policy=Policy(allow=["linger"]),
    max_output_tokens=64,
)
lead = Agent(
    name="lead",
    model=ScriptedModel([lead_model] * 50),
    tools=[race],
    subagents=["leaf"],
    policy=Policy(allow=["race", "linger"]),
    max_output_tokens=64,
)


async def stopping(place: Site) -> tuple[str, str]:
    """A turn that has its answer and waits for a sub-agent to stop."""
    session = await place.session("lead")
    turn = await place.put(session)
    key = place.store.workspace("acme").turn(turn)
    for _ in range(500):
        if await place.store.redis.call("HGET", key, "waiting_for") == b"stopping":
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("it does not wait for its sub-agents to stop")
    await place.put(session, "and this", if_busy="inject")
    return session.id, turn


async def test_an_input_that_joins_while_sub_agents_stop_is_taken_in(place: Site) -> None:
    async with working(place.store, lead, leaf):
        _, turn = await stopping(place)
        ended = await place.ended(turn, timeout_s=8)
    assert ended.state == "succeeded"
    assert ended.output == "heard ['go', 'and this']"


async def test_an_answer_stands_though_its_worker_dies_while_sub_agents_stop(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    park, died = TurnRun.park, asyncio.Event()

    async def dies(run: TurnRun, seen_seq: int) -> Parking:
        if isinstance(run.parking, Stopping) and not died.is_set():
            died.set()
            raise FailpointError("its worker dies")
        return await park(run, seen_seq)

    monkeypatch.setattr(TurnRun, "park", dies)
    async with working(place.store, lead, leaf, lease_ms=1000):
        _, turn = await place.run("lead")
    assert died.is_set()
    assert turn.output == "heard ['go']"
    assert turn.steps == 2
