"""What a spawn may ask for, and what becomes of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bursar import sessions
from bursar.agents import Agent
from bursar.budgets.accounts import LimitChange, change_limit
from bursar.children import Join
from bursar.context import ToolContext
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest, Usage
from bursar.store.store import Store
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, site, wait_until, working


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    async with site(store) as made:
        yield made


class Person(msgspec.Struct):
    name: str
    age: int


@tool
async def ask(ctx: ToolContext, prompts: list[str], options: dict[str, Any] | None = None) -> Join:
    """Give tasks."""
    chosen = dict(options or {})
    if chosen.pop("typed", False):
        chosen["output"] = Person
    return ctx.map(prompts, **chosen)


@tool
async def leave(ctx: ToolContext, prompt: str) -> Join:
    """Give a task and go on."""
    return ctx.spawn(prompt, detached=True)


def said(request: ModelRequest) -> str:
    return next(m.text for m in request.messages if isinstance(m, UserMessage))


def lead_model(request: ModelRequest) -> Reply:
    """Make the calls that the input has, and say what came of the last."""
    results = [m for m in request.messages if isinstance(m, ToolMessage)]
    if results:
        return Reply(text=results[-1].output)
    asked = json.loads(said(request))
    calls = asked if isinstance(asked[0], list) else [asked]
    made = [ToolCall(f"c{i}", name, json.dumps(given)) for i, (name, given) in enumerate(calls)]
    return Reply(tool_calls=made)


def leaf_model(request: ModelRequest) -> Reply:
    """Do what the word says: wait, fail, cost, answer."""
    word, _, rest = said(request).partition(" ")
    if word == "slow":
        return Reply(text="late", delay_s=60)
    if word == "later":
        return Reply(text="done", delay_s=0.3)
    if word == "fail":
        return Reply(error=ValueError("it broke"))
    if word == "cost":
        return Reply(text="dear", usage=Usage(input_tokens=10, output_tokens=int(rest)))
    if word == "json":
        told = [m.text for m in request.messages if isinstance(m, UserMessage)]
        return Reply(text=rest if len(told) < 3 else '{"name": "ann", "age": 3}')
    return Reply(text=f"{word} is done")


leaf = Agent(name="leaf", model=ScriptedModel([leaf_model] * 500), max_output_tokens=200)
lead = Agent(
    name="lead",
    model=ScriptedModel([lead_model] * 500),
    tools=[ask, leave],
    subagents=["leaf"],
    policy=Policy(allow=["ask", "leave"]),
    max_output_tokens=200,
)


def call(name: str, **arguments: Any) -> str:
    return json.dumps([name, arguments])


async def run(place: Site, *prompts: str, **options: Any) -> list[dict[str, Any]]:
    _, turn = await place.run("lead", call("ask", prompts=prompts, options=options))
    assert turn.state == "succeeded", turn
    found: list[dict[str, Any]] = json.loads(turn.output)
    return found


async def test_any_takes_the_first_that_succeeds_and_stops_the_others(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "slow", "fail", "quick", "slow", wait="any")
    assert [each["ok"] for each in found] == [False, False, True, False]
    assert found[0]["why"] == found[3]["why"] == "stopped: enough of the others have succeeded"
    assert found[2]["output"] == "quick is done"


async def test_those_that_are_not_needed_are_stopped_though_another_call_still_waits(
    place: Site,
) -> None:
    asked = [
        call("ask", prompts=["quick", "slow"], options={"wait": "any"}),
        call("ask", prompts=["slow"]),
    ]
    async with working(place.store, lead, leaf):
        session = await place.session("lead")
        turn = await place.put(session, f"[{', '.join(asked)}]")

        async def stopped() -> bool:
            ended = [e.decode() for e in await place.log(session) if e.kind == "child.finished"]
            return [each["outcome"] for each in ended] == ["succeeded", "cancelled"]

        await wait_until("end of the one that is not needed", stopped, timeout_s=5)
        assert (await place.turn(turn)).state == "waiting"
        await place.inputs.cancel(WORKSPACE, turn)
        await place.ended(turn)


async def test_so_many_are_waited_for(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "one", "slow", "two", wait=2)
    assert [each["ok"] for each in found] == [True, False, True]


async def test_all_that_fail_are_an_error_with_the_reasons(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "fail", "fail", wait="any")
    assert all("it broke" in each["why"] for each in found)


async def test_a_structured_answer_is_checked_and_asked_for_again(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, 'json {"name": "bob", "age": "old"}', typed=True)
    assert found[0]["output"] == {"name": "ann", "age": 3}
    assert found[0]["steps"] == 3


async def test_a_detached_task_outlives_its_turn(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session, turn = await place.run("lead", call("leave", prompt="slow"))
        assert turn.state == "succeeded"
        child = turn.output.rpartition(" ")[2]
        alive = await sessions.get(place.store, WORKSPACE, child)
        assert alive.state in {"queued", "running"}
        assert await place.inputs.end(WORKSPACE, session.id) == "ending"
        await place.inputs.cancel_session(sessions.locate(place.store, WORKSPACE, child), "enough")

        async def over() -> bool:
            return (await sessions.get(place.store, WORKSPACE, session.id)).state == "ended"

        await wait_until("end of the root, after its child", over)


async def test_a_task_that_has_spent_its_part_fails_and_asks_nobody(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "cost 1", budget_usd="0.000001")
        asked = await place.store.redis.call("ZCARD", place.store.workspace(WORKSPACE).questions)
    assert found[0]["ok"] is False
    assert "money" in found[0]["why"]
    assert asked == 0


async def test_a_dry_tree_waits_where_it_is_and_goes_on_when_raised(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session = await place.session("lead", limit_microusd=1_100)
        turn = await place.put(session, call("ask", prompts=["one", "two", "three"]))

        async def dry() -> bool:
            key = place.store.workspace(WORKSPACE).questions
            return int(await place.store.redis.call("ZCARD", key)) > 0

        await wait_until("question about money", dry)
        assert (await place.turn(turn)).state == "waiting"
        raised = LimitChange(limit_microusd=1_000_000)
        await change_limit(place.store, WORKSPACE, f"s:{session.id}", raised)
        ended = await place.ended(turn)
    assert [each["ok"] for each in json.loads(ended.output)] == [True, True, True]


@pytest.mark.parametrize(
    ("agent", "limits", "why"),
    [
        ("lead", {"max_depth": 1}, "levels"),
        ("lead", {"max_tree_live": 2}, "not ended"),
    ],
)
async def test_what_is_beyond_a_cap_is_refused_whole(
    place: Site, agent: str, limits: dict[str, int], why: str
) -> None:
    for name, value in limits.items():
        object.__setattr__(place.store.settings, name, value)
    async with working(place.store, lead, leaf):
        session, turn = await place.run(agent, call("ask", prompts=["a", "b", "c"]))
    assert why in turn.output
    assert "child.spawned" not in await place.kinds(session)


async def test_only_named_agents_are_given_tasks(place: Site) -> None:
    async with working(place.store, lead, leaf):
        _, turn = await place.run("lead", call("ask", prompts=["a"], options={"agent": "lead"}))
    assert "'lead' is none that may be given tasks; there are: leaf" in turn.output


async def test_a_kill_while_tasks_are_still_to_be_opened_fails_no_turn(place: Site) -> None:
    """Whoever killed the workspace cancels the turn; until then it waits."""
    async with working(place.store, lead, leaf, max_tree_running=1):
        session = await place.session("lead")
        turn = await place.put(session, call("ask", prompts=["later"] * 5))

        async def begun() -> bool:
            return (await place.kinds(session)).count("child.spawned") > 0

        await wait_until("sub-agents", begun)
        await place.store.redis.call("HSET", place.store.workspace(WORKSPACE).hash, "killed", 1)

        async def parked() -> bool:
            kinds = await place.kinds(session)
            return kinds.count("child.finished") == 2 and kinds[-1] == "turn.waiting"

        await wait_until("wait of the parent", parked)
        assert (await place.turn(turn)).state == "waiting"
        await place.inputs.cancel(WORKSPACE, turn)
        assert (await place.ended(turn)).state == "cancelled"


async def test_tasks_that_have_spent_the_part_of_one_above_fail_and_ask_nobody(place: Site) -> None:
    middle = replace(lead, name="middle", model=ScriptedModel([lead_model] * 9))
    above = replace(lead, subagents=["middle"])
    inner = call("ask", prompts=["cost 199"] * 9)
    async with working(place.store, above, middle, leaf, max_tree_running=2):
        session = await place.session("lead")
        options = {"budget_usd": "0.006"}
        turn = await place.put(session, call("ask", prompts=[inner], options=options))
        ended = await place.ended(turn)
        asked = await place.store.redis.call("ZCARD", place.store.workspace(WORKSPACE).questions)
    assert asked == 0
    assert ended.state == "succeeded", ended
    assert "money" in ended.output, ended.output


async def test_a_long_list_stays_json_and_counts_what_it_leaves_out(place: Site) -> None:
    prompts = [f"item{number}" for number in range(60)]
    async with working(place.store, lead, leaf, tool_output_max=4_000):
        _, turn = await place.run("lead", call("ask", prompts=prompts))
    *shown, counted = json.loads(turn.output)
    assert all(each["ok"] for each in shown)
    assert counted == {"left_out": 60 - len(shown), "of_them_ok": 60 - len(shown)}
    assert 10 < len(shown) < 60
