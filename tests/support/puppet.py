"""An agent that calls what its input says, for tests from outside of a worker's process.

An input is JSON: a list of steps, each a list of calls, each a tool's name and its arguments.
"""

import json
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar import Agent, Price, ToolContext, tool
from bursar.messages import AssistantMessage, UserMessage
from bursar.models import ModelEvent, ModelRequest, TextDelta, ToolCall, Usage
from bursar_worker.builtin.workspace import READING, delete_file, edit_file, write_file

__all__ = ["boss", "puppet"]


class Strings:
    price = Price(Decimal("0.1"), Decimal("0.4"))

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        inputs = [
            index for index, each in enumerate(request.messages) if isinstance(each, UserMessage)
        ]
        told = request.messages[inputs[-1]]
        assert isinstance(told, UserMessage)
        step = sum(isinstance(each, AssistantMessage) for each in request.messages[inputs[-1] :])
        steps = json.loads(told.text)
        if step < len(steps):
            for number, (name, arguments) in enumerate(steps[step]):
                yield ToolCall(f"call_{step}_{number}", name, json.dumps(arguments))
        else:
            yield TextDelta("that is all")
        yield Usage(input_tokens=100, output_tokens=20)


@tool
async def send(ctx: ToolContext, to: str, text: str = "") -> str:
    """Send a letter."""
    await ctx.emit(f"to {to}")
    return f"sent {text!r} to {to}"


@tool(risk="critical")
async def pay(ctx: ToolContext, to: str) -> str:
    """Pay money."""
    await ctx.emit(f"to {to}")
    return f"paid {to}"


@tool(unanswered="queue")
async def order(ctx: ToolContext, what: str) -> str:
    """Order something, whenever somebody agrees."""
    await ctx.emit(what)
    return f"ordered {what}"


puppet = Agent(
    name="puppet",
    model=Strings(),
    tools=[*READING, write_file, edit_file, delete_file, send, pay, order],
)

boss = Agent(name="boss", model=Strings(), subagents=["puppet"])
"""A puppet that may give tasks, whose prompts are such inputs: ``["task", {"prompt": "[]"}]``."""
