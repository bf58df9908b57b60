"""What sub-agents answer, and how whoever asked them reads it."""

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bursar import sessions
from bursar.errors import ModelError
from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest
from bursar.store.codec import encode_json
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from bursar_worker.children.answers import StructuredAnswer
from bursar_worker.children.reports import Report, rendered
from support.tasks import call, lead, lead_model, leaf, run, said
from support.workers import WORKSPACE, Site, working


async def test_a_structured_answer_is_checked_and_asked_for_again(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, 'json {"name": "bob", "age": "old"}', typed=True)
    assert found[0]["output"] == {"name": "ann", "age": 3}
    assert found[0]["steps"] == 3


async def test_a_long_list_stays_json_and_counts_what_it_leaves_out(place: Site) -> None:
    prompts = [f"item{number}" for number in range(60)]
    async with working(place.store, lead, leaf, tool_output_max=4_000):
        _, turn = await place.run("lead", call("ask", prompts=prompts))
    *shown, counted = json.loads(turn.output)
    assert all(each["ok"] for each in shown)
    assert counted == {"left_out": 60 - len(shown), "of_them_ok": 60 - len(shown)}
    assert 10 < len(shown) < 60


async def test_what_sub_agents_of_a_sub_agent_cost_is_in_its_result(place: Site) -> None:
    middle = replace(lead, name="middle", model=ScriptedModel([lead_model] * 9))
    above = replace(lead, subagents=["middle"])
    async with working(place.store, above, middle, leaf):
        session = await place.session("lead")
        inner = call("ask", prompts=["cost 150"] * 3)
        turn = await place.ended(await place.put(session, call("ask", prompts=[inner])))
        (found,) = json.loads(turn.output)
        keys = sessions.locate(place.store, WORKSPACE, found["session"])
        posted = int(await place.store.redis.call("HGET", keys.account, "posted"))
        own = (await place.turn(f"trn_{found['session'].partition('~')[2]}")).cost_microusd
    assert found["cost_microusd"] == posted > own > 0


async def test_one_that_is_stopped_says_what_it_had_and_cost(place: Site) -> None:
    begun = asyncio.Event()

    @tool(effect="pure")
    async def hold() -> str:
        """Wait until the other one has begun."""
        await begun.wait()
        return "now"

    def model(request: ModelRequest) -> Reply:
        results = [m for m in request.messages if isinstance(m, ToolMessage)]
        if said(request) == "quick":
            return (
                Reply(text="quick") if results else Reply(tool_calls=[ToolCall("c", "hold", "{}")])
            )
        if results:
            begun.set()
            return Reply(text="late", delay_s=60)
        return Reply(text="first words", tool_calls=[ToolCall("c", "nothing", "{}")])

    scripted = ScriptedModel([model] * 9)
    worker = replace(leaf, model=scripted, tools=[hold])
    async with working(place.store, lead, worker):
        found = await run(place, "slow", "quick", wait="any")
    assert (found[0]["ok"], found[0]["output"], found[0]["steps"]) == (False, "first words", 1)
    assert found[0]["cost_microusd"] > 0


async def test_what_was_said_is_found_behind_any_number_of_results(place: Site) -> None:
    def model(request: ModelRequest) -> Reply:
        if len(request.messages) > 1:
            return Reply(error=ValueError("it broke"))
        calls = [ToolCall(f"c{number}", "nothing", "{}") for number in range(45)]
        return Reply(text="first words", tool_calls=calls)

    worker = replace(leaf, model=ScriptedModel([model] * 9), max_output_tokens=2000)
    async with working(place.store, lead, worker):
        (found,) = await run(place, "go")
    assert (found["ok"], found["output"]) == (False, "first words")


async def test_an_answer_that_was_deleted_is_no_success(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session = await place.session("lead")
        turn = await place.put(session, call("ask", prompts=["quick", "slow"]))
        first = (await place.seen(session, "child.finished")).decode()["child"]
        await sessions.delete(place.store, WORKSPACE, first)
        spawned = [e.decode() for e in await place.log(session) if e.kind == "child.spawned"]
        (other,) = (each["child_turn"] for each in spawned if each["child"] != first)
        await place.inputs.cancel(WORKSPACE, other)
        found = json.loads((await place.ended(turn)).output)
    assert [each["ok"] for each in found] == [False, False]
    assert found[0]["why"] == "failed: its session was deleted"


async def test_an_answer_of_a_thousand_levels_is_asked_for_again(place: Site) -> None:
    talker = replace(leaf, max_output_tokens=10_000)
    async with working(place.store, lead, talker):
        (found,) = await run(place, "nested 5000", typed=True)
    assert (found["ok"], found["steps"]) == (True, 2)


async def test_a_schema_that_refers_to_nothing_costs_one_answer(place: Site) -> None:
    schema = {"type": "object", "properties": {"name": {"$ref": "#/$defs/nowhere"}}}
    async with working(place.store, lead, leaf):
        (found,) = await run(place, 'json {"name": "bob"}', output=schema)
    assert (found["ok"], found["steps"]) == (False, 0)
    assert found["cost_microusd"] > 0
    assert "cannot be checked against the schema" in found["why"]


async def test_answers_are_asked_for_again_twice_whoever_asks(place: Site) -> None:
    """What was said about earlier ones is in the history, and not with a worker."""
    schema = encode_json({"type": "object"})

    class Read:
        async def read(self, *_: Any) -> bytes:
            return schema

    scope: Any = SimpleNamespace(
        fields={"depth": "1"}, writer=Read(), session=SimpleNamespace(text="")
    )
    history: list[Message] = [UserMessage("go", turn="t")]
    answer = AssistantMessage("no JSON", turn="t")
    for _ in range(2):
        objection = await StructuredAnswer(scope).objection(answer, history)
        assert objection is not None
        history += [answer, objection]
    with pytest.raises(ModelError):
        await StructuredAnswer(scope).objection(answer, history)
    good = AssistantMessage("{}", turn="t")
    assert await StructuredAnswer(scope).objection(good, history) is None


def test_a_long_value_is_cut_to_text_and_hides_no_other() -> None:
    long = json.dumps({"name": "x" * 3_000, "age": 1})
    reports = [Report("s", "succeeded", json.loads(long)), Report("t", "succeeded", {"age": 2})]
    whole = json.loads(rendered(reports, single=False, max_chars=9_000).output)
    assert [each["output"]["age"] for each in whole] == [1, 2]
    first, second = json.loads(rendered(reports, single=False, max_chars=2_000).output)
    assert "[cut: " in first["output"]
    assert second["output"] == {"age": 2}
