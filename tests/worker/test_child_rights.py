"""A sub-agent has no more rights than those that it works for."""

import json

from bursar.agents import Agent
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import Site, working


@tool
async def send(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


def last_result(request: ModelRequest) -> str | None:
    found = [m.output for m in request.messages if isinstance(m, ToolMessage)]
    return found[-1] if found else None


def postman(request: ModelRequest) -> Reply:
    done = last_result(request)
    if done is not None:
        return Reply(text=done)
    return Reply(tool_calls=[ToolCall("s", "send", json.dumps({"to": "ann"}))])


def boss(request: ModelRequest) -> Reply:
    done = last_result(request)
    if done is not None:
        return Reply(text=done)
    said = next(m.text for m in request.messages if isinstance(m, UserMessage))
    return Reply(tool_calls=[ToolCall("t", "task", json.dumps({"prompt": said}))])


def agents(policy: Policy) -> tuple[Agent, Agent]:
    powerful = Agent(
        name="postman",
        model=ScriptedModel([postman] * 9),
        tools=[send],
        policy=Policy(allow=["send"]),
        max_output_tokens=64,
    )
    above = Agent(
        name="boss",
        model=ScriptedModel([boss] * 9),
        policy=policy,
        subagents=["postman"],
        max_output_tokens=64,
    )
    return above, powerful


async def test_what_both_allow_runs(place: Site) -> None:
    async with working(place.store, *agents(Policy(allow=["send"]))):
        _, turn = await place.run("boss")
    assert turn.output == "sent to ann"


async def test_what_is_blocked_above_is_blocked_below(place: Site) -> None:
    async with working(place.store, *agents(Policy(blocked=["send"]))):
        _, turn = await place.run("boss")
    assert "code of agent boss" in turn.output
    assert "sent" not in turn.output


async def test_what_is_not_allowed_above_is_asked_below_and_seen_at_the_root(place: Site) -> None:
    async with working(place.store, *agents(Policy())):
        session = await place.session("boss")
        turn = await place.put(session)
        (question,) = await place.asked()
        assert question.root == session.id
        assert question.session.startswith(f"{session.id}~")
        await place.answer(question)
        ended = await place.ended(turn)
    assert ended.output == "sent to ann"


async def test_a_spawn_may_be_blocked_by_name(place: Site) -> None:
    async with working(place.store, *agents(Policy(blocked=["spawn://postman"]))):
        _, turn = await place.run("boss")
    assert "spawn://postman" in turn.output
