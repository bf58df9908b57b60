"""Models and tools are other people's code: whatever they do ends their turn, and nothing else."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar import sessions
from bursar.agents import Agent
from bursar.context import ToolContext
from bursar.messages import ToolCall, Usage
from bursar.models import ModelRequest, TextDelta
from bursar.testing import ScriptedModel
from bursar.tools import Tool, tool
from bursar.turns import TurnView
from support.workers import WORKSPACE, Site, working


class Yields:
    """A model object that yields or raises one thing."""

    name = "yields"
    price = ScriptedModel([]).price

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.calls = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        self.calls += 1
        await asyncio.sleep(0)
        if isinstance(self.thing, BaseException):
            raise self.thing
        for each in self.thing:
            yield each


async def ended(place: Site, model: Any, *tools: Tool[Any, Any]) -> TurnView:
    async with working(place.store, Agent(name="worker", model=model, tools=list(tools))):
        _, turn = await place.run("worker")
        _, after = await place.run("worker")
    assert after.id != turn.id
    return turn


@pytest.mark.parametrize(
    "thing",
    [
        asyncio.CancelledError(),
        SystemExit(2),
        ["just text"],
        [None],
        [Usage(input_tokens=-1)],
        [Usage(input_tokens=10**18)],
        [ToolCall(f"c{number}", "t") for number in range(300)],
    ],
    ids=repr,
)
async def test_a_model_that_misbehaves_fails_its_turn_once(place: Site, thing: Any) -> None:
    model = Yields(thing)
    turn = await ended(place, model)
    assert (turn.state, turn.code) == ("failed", "model_error")
    assert model.calls == 2  # once for each of the two turns: nothing is repeated


async def test_text_that_cannot_be_encoded_is_stored_with_a_mark(place: Site) -> None:
    turn = await ended(place, Yields([TextDelta("half \ud83d emoji"), Usage(1, 1)]))
    assert (turn.state, turn.output) == ("succeeded", "half ? emoji")


def quits() -> None:
    sys.exit(3)


async def lets_out_a_cancel() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("function", [quits, lets_out_a_cancel])
async def test_a_tool_that_quits_gives_an_error_result_once(place: Site, function: Any) -> None:
    runs = []

    @tool(effect="pure", name="look")
    async def look() -> None:
        runs.append(1)
        result = function()
        if result is not None:
            await result

    turn = await ended(place, ScriptedModel([ToolCall("c", "look"), "I see"] * 2), look)
    assert (turn.state, turn.output) == ("succeeded", "I see")
    assert len(runs) == 2


async def test_a_plain_function_that_quits_its_thread_gives_an_error_result(place: Site) -> None:
    look = tool(effect="pure", name="look")(quits)
    turn = await ended(place, ScriptedModel([ToolCall("c", "look"), "I see"] * 2), look)
    assert turn.output == "I see"


async def test_progress_after_a_calls_end_is_not_shown(place: Site) -> None:
    late: list[asyncio.Task[None]] = []

    @tool(effect="pure")
    async def look(ctx: ToolContext) -> str:
        async def linger() -> None:
            await asyncio.sleep(0.1)
            await ctx.emit("still here")

        late.append(asyncio.create_task(linger()))
        return "done"

    agent = Agent(name="worker", model=ScriptedModel([ToolCall("c", "look"), "end"]), tools=[look])
    async with working(place.store, agent):
        session, turn = await place.run("worker")
        await asyncio.gather(*late)
    assert turn.state == "succeeded"
    kinds = await place.kinds(session)
    assert "tool.progress" not in kinds
    assert kinds[-1] == "turn.succeeded"


async def test_a_history_that_cannot_be_read_is_quarantined_and_not_tried_for_ever(
    place: Site,
) -> None:
    agent = Agent(name="worker", model=ScriptedModel(["never asked"]))
    async with working(place.store, agent, lease_ms=1000):
        session = await place.session("worker")
        keys = sessions.locate(place.store, WORKSPACE, session.id)
        await place.store.redis.call("RPUSH", keys.messages, b"\xff")
        await place.store.redis.call("HINCRBY", keys.hash, "message_count", 1)
        turn = await place.ended(await place.put(session), timeout_s=30)
    assert (turn.state, turn.code) == ("quarantined", "quarantined")
