"""A turn on a real server: what agents, tools and models do, and what comes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import history
from bursar.agents import Agent
from bursar.budgets.accounts import read_accounts
from bursar.budgets.ledger import read_ledger
from bursar.context import ToolContext
from bursar.errors import ModelError
from bursar.gate.policy import Policy
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.models import ModelEvent, ModelRequest, TextDelta
from bursar.testing import Reply, ScriptedModel
from bursar.tools import Tool, tool
from support.workers import WORKSPACE, Site, working


@tool(effect="pure")
async def double(number: int) -> int:
    """Double a number."""
    return number * 2


@tool(effect="pure")
async def slow(seconds: float, name: str) -> str:
    await asyncio.sleep(seconds)
    return name


@tool(effect="pure")
async def broken() -> str:
    raise RuntimeError("out of paper")


@tool(effect="pure", timeout_s=0.05)
async def hanging() -> str:
    await asyncio.sleep(60)
    return "never"


@tool(effect="pure")
async def strange() -> object:
    return object()


@tool(effect="at_most_once")
async def send_mail(to: str) -> str:
    return f"sent to {to}"


@tool(effect="pure", cost_usd="0.01")
async def paid() -> str:
    return "bought"


def scripted(*script: Any, **options: Any) -> Agent:
    tools: list[Tool[Any, Any]] = [double, slow, broken, hanging, strange, send_mail, paid]
    return Agent(name="worker", model=ScriptedModel(list(script)), tools=tools, **options)


async def results(place: Site, agent: Agent, **changes: Any) -> list[ToolMessage]:
    unasked = {"approval_timeout_s": 0.1, "unanswered_interactive": "skip"}
    async with working(place.store, agent, **unasked, **changes):
        session, turn = await place.run("worker")
    assert turn.state == "succeeded", turn
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=100)
    return [message for message in messages if isinstance(message, ToolMessage)]


async def test_a_turn_counts_and_charges_what_it_used(place: Site) -> None:
    agent = scripted(ToolCall("c1", "double", '{"number": 21}'), "It is 42.")
    async with working(place.store, agent):
        session, turn = await place.run("worker", "double 21")
    assert (turn.state, turn.output, turn.steps, turn.tool_calls) == (
        "succeeded",
        "It is 42.",
        2,
        1,
    )
    assert (session.turn_count, session.step_count, session.tool_call_count) == (1, 2, 1)
    assert session.message_count == 4
    assert session.token_count > 0
    assert session.state == "idle"
    accounts = await read_accounts(place.store, WORKSPACE, ["ws", "user:ada", f"s:{session.id}"])
    assert {account.posted_microusd for account in accounts} == {turn.cost_microusd}
    assert {account.pending_microusd for account in accounts} == {0}
    ledger = await read_ledger(place.store, WORKSPACE)
    assert sum(int(entry["actual"]) for entry in ledger) == turn.cost_microusd > 0


async def test_events_tell_the_story_in_order_and_without_gaps(place: Site) -> None:
    agent = scripted(ToolCall("c1", "double", '{"number": 21}'), "It is 42.")
    async with working(place.store, agent):
        session, _ = await place.run("worker", "double 21")
    log = await place.log(session)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert [event.kind for event in log] == [
        "session.created",
        "turn.queued",
        "turn.started",
        "step.started",
        "message.committed",
        "usage",
        "tool.requested",
        "tool.started",
        "tool.finished",
        "message.committed",
        "step.started",
        "text.delta",
        "message.committed",
        "usage",
        "turn.succeeded",
    ]


async def test_results_enter_history_in_call_order_though_tools_run_at_once(place: Site) -> None:
    everybody = asyncio.Barrier(3)

    @tool(effect="pure")
    async def meet(name: str, after_s: float) -> str:
        await everybody.wait()  # passes only while all three run
        await asyncio.sleep(after_s)
        return name

    calls = [
        ToolCall(name, "meet", f'{{"name": "{name}", "after_s": {after_s}}}')
        for name, after_s in (("first", 0.2), ("second", 0.1), ("third", 0.0))
    ]
    agent = Agent(name="worker", model=ScriptedModel([calls, "done"]), tools=[meet])
    found = await results(place, agent)
    assert [message.output for message in found] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (ToolCall("c", "broken"), "RuntimeError: out of paper"),
        (ToolCall("c", "hanging"), "did not answer within 0.05 s"),
        (ToolCall("c", "strange"), "output: cannot be written as JSON"),
        (ToolCall("c", "nothing"), "There is no tool 'nothing'"),
        (ToolCall("c", "double", '{"number": "21"}'), "number: "),
        (ToolCall("c", "double", '{"number": 21, "more": 1}'), "more"),
        (ToolCall("c", "double", '{"number": 2'), "arguments: "),
        (ToolCall("c", "send_mail", '{"to": "bob"}'), "needs approval"),
    ],
)
async def test_what_stands_in_a_calls_way_is_a_result_the_model_reads(
    place: Site, call: ToolCall, expected: str
) -> None:
    (message,) = await results(place, scripted(call, "I see."))
    assert message.is_error
    assert expected in message.output


async def test_a_policy_lets_an_effectful_tool_run(place: Site) -> None:
    agent = scripted(
        ToolCall("c", "send_mail", '{"to": "bob"}'), "ok", policy=Policy(allow=["send_mail"])
    )
    (message,) = await results(place, agent)
    assert (message.output, message.is_error) == ("sent to bob", False)


async def test_output_is_cut_with_a_notice(place: Site) -> None:
    agent = scripted(ToolCall("c", "slow", '{"seconds": 0, "name": "' + "x" * 500 + '"}'), "long")
    (message,) = await results(place, agent, tool_output_max=100)
    assert message.output.startswith("x" * 100 + "\n")
    assert "400 of 500" in message.output


async def test_calls_beyond_the_limit_of_a_step_are_not_run(place: Site) -> None:
    calls = [ToolCall(f"c{i}", "double", f'{{"number": {i}}}') for i in range(4)]
    found = await results(place, scripted(calls, "done"), max_tool_calls=2)
    assert [message.is_error for message in found] == [False, False, True, True]
    assert "more than 2 tool calls" in found[3].output


async def test_calls_that_share_an_id_both_get_a_result(place: Site) -> None:
    calls = [
        ToolCall("same", "double", '{"number": 1}'),
        ToolCall("same", "double", '{"number": 2}'),
    ]
    found = await results(place, scripted(calls, "done"))
    assert [message.output for message in found] == ["2", "4"]
    assert len({message.call_id for message in found}) == 2


async def test_a_turn_that_never_answers_ends_at_the_step_limit(place: Site) -> None:
    agent = scripted(*[ToolCall("c", "double", '{"number": 1}')] * 5, max_steps=3)
    async with working(place.store, agent):
        _, turn = await place.run("worker")
    assert (turn.state, turn.code, turn.steps) == ("failed", "step_limit", 3)


async def test_a_stream_that_breaks_keeps_its_text_marked_and_charges_in_full(place: Site) -> None:
    agent = scripted(
        Reply(text="Half a sen", error=ModelError("cut", retryable=True)), "never asked"
    )
    async with working(place.store, agent):
        session, turn = await place.run("worker")
    assert (turn.state, turn.code) == ("failed", "model_error")
    last = (await history.read_messages(place.store, WORKSPACE, session.id, last=1))[0]
    assert isinstance(last, AssistantMessage)
    assert (last.text, last.partial) == ("Half a sen", True)
    (entry,) = await read_ledger(place.store, WORKSPACE)
    assert (entry["op"], entry["actual"]) == ("unconfirmed", entry["cost"])
    assert turn.cost_microusd == int(entry["cost"])


async def test_a_call_refused_before_its_first_token_is_tried_again_at_no_cost(place: Site) -> None:
    refused = ModelError("busy", retryable=True, status=503, retry_after_s=0.01)
    agent = scripted(refused, refused, "third time lucky")
    async with working(place.store, agent):
        session, turn = await place.run("worker")
    assert (turn.state, turn.output) == ("succeeded", "third time lucky")
    ledger = await read_ledger(place.store, WORKSPACE)
    assert sorted(entry["op"] for entry in ledger) == ["commit", "released", "released"]
    kinds = await place.kinds(session)
    assert kinds.count("step.abandoned") == 2


async def test_an_error_that_repeats_ends_the_turn_with_its_code(place: Site) -> None:
    error = ModelError("no such model", code="model_not_found", status=404)
    async with working(place.store, scripted(error)):
        _, turn = await place.run("worker")
    assert (turn.state, turn.code, turn.reason) == ("failed", "model_not_found", "no such model")
    assert turn.cost_microusd == 0


async def test_a_long_pause_parks_the_turn_without_a_lease(place: Site) -> None:
    refused = ModelError("later", retryable=True, status=429, retry_after_s=2.5)
    agent = scripted(refused, "now")
    async with working(place.store, agent):
        session = await place.session("worker")
        tid = await place.put(session)
        await place.seen(session, "turn.waiting")
        waiting = await place.turn(tid)
        assert (waiting.state, waiting.waiting_for) == ("waiting", "rate_limited")
        stats = await place.store.redis.call(
            "HGET", place.store.workspace(WORKSPACE).stats, "leases"
        )
        assert int(stats) == 0
        turn = await place.ended(tid)
    assert (turn.state, turn.output) == ("succeeded", "now")
    kinds = await place.kinds(session)
    assert kinds.index("turn.waiting") < kinds.index("turn.resumed") < kinds.index("turn.succeeded")


class Unruly:
    """A model object that is not written well."""

    name = "unruly"
    price = ScriptedModel([]).price

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        yield TextDelta("well ")
        raise ZeroDivisionError("oops")


async def test_a_model_object_that_raises_ends_the_turn_and_not_the_worker(place: Site) -> None:
    async with working(place.store, Agent(name="worker", model=Unruly())):
        _, first = await place.run("worker")
        _, second = await place.run("worker")
    assert {first.code, second.code} == {"model_error"}
    assert "ZeroDivisionError: oops" in first.reason


async def test_an_unknown_price_is_refused_before_anything_is_sent(place: Site) -> None:
    async with working(place.store, Agent(name="worker", model="openai:no-such-model-at-all")):
        _, turn = await place.run("worker")
    assert turn.state == "failed"
    assert turn.code in {"price_unknown", "provider_unconfigured"}
    assert turn.cost_microusd == 0


async def test_a_call_above_what_an_action_may_cost_ends_the_turn(place: Site) -> None:
    agent = scripted("never asked")
    async with working(place.store, agent):
        session, turn = await place.run("worker", per_action_microusd=5)
    assert (turn.state, turn.code) == ("failed", "budget_exhausted")
    assert f"s:{session.id}" in turn.reason
    assert "a single action" in turn.reason
    assert isinstance(agent.model, ScriptedModel)
    assert agent.model.requests == []


async def test_a_small_purse_buys_a_shorter_answer(place: Site) -> None:
    agent = scripted("short")
    async with working(place.store, agent):
        _, turn = await place.run("worker", limit_microusd=9_000)
    assert turn.state == "succeeded"
    assert isinstance(agent.model, ScriptedModel)
    assert 64 <= agent.model.requests[0].max_output_tokens < 4096


async def test_spending_past_the_warn_level_is_said_once(place: Site) -> None:
    agent = scripted(*[Reply(text="x" * 400)] * 3)
    async with working(place.store, agent):
        session = await place.session("worker", limit_microusd=20_000, warn_percent=1)
        for _ in range(3):
            await place.ended(await place.put(session))
    assert (await place.kinds(session)).count("budget.warning") == 1


async def test_a_priced_tool_is_held_and_charged(place: Site) -> None:
    agent = scripted(ToolCall("c", "paid"), "thanks")
    (message,) = await results(place, agent)
    assert message.output == "bought"
    ledger = await read_ledger(place.store, WORKSPACE)
    (entry,) = [entry for entry in ledger if entry["kind"] == "tool:paid"]
    assert (entry["op"], entry["actual"]) == ("commit", "10000")


async def test_a_tool_that_the_purse_cannot_pay_is_a_result(place: Site) -> None:
    agent = scripted(ToolCall("c", "paid"), "a pity")
    async with working(place.store, agent):
        session, turn = await place.run("worker", per_action_microusd=9_000, limit_microusd=50_000)
    assert turn.state == "succeeded"
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=10)
    (message,) = [m for m in messages if isinstance(m, ToolMessage)]
    assert message.is_error
    assert "10000 micro-USD" in message.output


async def test_a_tool_may_show_progress(place: Site) -> None:
    @tool(effect="pure")
    async def chatty(ctx: ToolContext) -> str:
        await ctx.emit({"done": 1, "of": 2})
        return ctx.idempotency_key

    agent = Agent(
        name="worker", model=ScriptedModel([ToolCall("c", "chatty"), "ok"]), tools=[chatty]
    )
    async with working(place.store, agent):
        session, _ = await place.run("worker")
    (event,) = [e for e in await place.log(session) if e.kind == "tool.progress"]
    assert event.decode()["progress"] == {"done": 1, "of": 2}
