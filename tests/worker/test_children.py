"""Sub-agents: tasks are given, nobody waits in a worker, and each end is told exactly once."""

import json

import pytest

from bursar.agents import Agent
from bursar.children import Join
from bursar.context import ToolContext
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, working

PROMPTS = ["one", "two", "three"]


def said(request: ModelRequest) -> str:
    """What the agent was asked."""
    return next(m.text for m in request.messages if isinstance(m, UserMessage))


def results(request: ModelRequest) -> list[ToolMessage]:
    return [m for m in request.messages if isinstance(m, ToolMessage)]


def work(request: ModelRequest) -> Reply:
    return Reply(text=f"{said(request)} is done")


leaf = Agent(name="leaf", model=ScriptedModel([work] * 1000), max_output_tokens=64)


def lead_model(request: ModelRequest) -> Reply:
    if found := results(request):
        return Reply(text=" | ".join(each.output for each in found))
    calls = [
        ToolCall(f"c{i}", "task", json.dumps({"prompt": prompt, "description": f"about {prompt}"}))
        for i, prompt in enumerate(PROMPTS)
    ]
    return Reply(tool_calls=calls)


lead = Agent(
    name="lead", model=ScriptedModel([lead_model] * 20), subagents=["leaf"], max_output_tokens=64
)


async def test_a_step_of_tasks_is_joined_in_call_order(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session, turn = await place.run("lead")
    assert turn.state == "succeeded", turn
    assert turn.output == "one is done | two is done | three is done"
    kinds = await place.kinds(session)
    assert kinds.count("child.spawned") == kinds.count("child.finished") == 3
    assert "turn.waiting" in kinds


@tool
async def fan(ctx: ToolContext, count: int) -> Join:
    """Give so many tasks."""
    return ctx.map([str(number) for number in range(count)])


def fan_model(request: ModelRequest) -> Reply:
    if found := results(request):
        listed = json.loads(found[0].output)
        ok = [each["output"] for each in listed if each["ok"]]
        return Reply(text=f"{len(ok)} ok, {ok[0]} to {ok[-1]}")
    return Reply(tool_calls=[ToolCall("c", "fan", json.dumps({"count": int(said(request))}))])


fanner = Agent(
    name="fanner",
    model=ScriptedModel([fan_model] * 20),
    tools=[fan],
    subagents=["leaf"],
    policy=Policy(allow=["fan"]),
    max_output_tokens=64,
)


@pytest.mark.parametrize("count", [1, 31, 100])
async def test_more_tasks_than_are_open_at_once_are_all_joined(place: Site, count: int) -> None:
    async with working(place.store, fanner, leaf, slots=4, max_tree_running=4):
        _, turn = await place.run("fanner", str(count))
    assert turn.output == f"{count} ok, 0 is done to {count - 1} is done", turn


def failing(request: ModelRequest) -> Reply:
    if said(request) == "two":
        return Reply(text="half of", error=ValueError("it broke"))
    return work(request)


async def test_a_child_that_fails_says_why_and_what_it_had(place: Site) -> None:
    broken = Agent(name="leaf", model=ScriptedModel([failing] * 9), max_output_tokens=64)
    async with working(place.store, lead, broken):
        _, turn = await place.run("lead")
    first, second, third = turn.output.split(" | ")
    assert (first, third) == ("one is done", "three is done")
    assert "it broke" in second
    assert "half of" in second


def slow(_: ModelRequest) -> Reply:
    return Reply(text="much too late", delay_s=60)


async def test_cancelling_the_parent_ends_its_children_first(place: Site) -> None:
    sleeper = Agent(name="leaf", model=ScriptedModel([slow] * 9), max_output_tokens=64)
    async with working(place.store, lead, sleeper, slots=3):
        session = await place.session("lead")
        turn = await place.put(session)
        await place.seen(session, "turn.waiting")
        await place.inputs.cancel(WORKSPACE, turn)
        ended = await place.ended(turn)
    assert (ended.state, ended.code) == ("cancelled", "cancelled")
    kinds = await place.kinds(session)
    assert kinds.count("child.finished") == 3
    assert kinds.index("turn.cancelled") > max(
        i for i, kind in enumerate(kinds) if kind == "child.finished"
    )


async def test_a_child_has_its_time_and_no_more(place: Site) -> None:
    sleeper = Agent(name="leaf", model=ScriptedModel([slow] * 9), max_output_tokens=64)
    async with working(place.store, lead, sleeper, child_timeout_s=0.3):
        session, turn = await place.run("lead")
    assert turn.state == "succeeded", turn
    assert turn.output.count("timed out") == 3, turn.output
    finished = [e.decode() for e in await place.log(session) if e.kind == "child.finished"]
    assert {each["code"] for each in finished} == {"timed_out"}


@pytest.mark.parametrize("call_id", ["call 1", " ", "a\nb", "x" * 300])
async def test_a_call_id_that_is_none_for_us_gets_another_and_is_joined(
    place: Site, call_id: str
) -> None:
    def model(request: ModelRequest) -> Reply:
        if found := results(request):
            return Reply(text=found[0].output)
        return Reply(tool_calls=[ToolCall(call_id, "task", json.dumps({"prompt": "one"}))])

    odd = Agent(name="lead", model=ScriptedModel([model] * 2), subagents=["leaf"])
    async with working(place.store, odd, leaf):
        _, turn = await place.run("lead")
    assert (turn.state, turn.output) == ("succeeded", "one is done")
