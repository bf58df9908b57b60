"""Agents that give tasks, and do them, as the words of their inputs say."""

import json
from typing import Any

import msgspec

from bursar.agents import Agent
from bursar.children import Join
from bursar.context import ToolContext
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage, UserMessage
from bursar.models import ModelRequest, Usage
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import Site

__all__ = ["call", "lead", "lead_model", "leaf", "run", "said"]


class Person(msgspec.Struct):
    name: str
    age: int


@tool
async def ask(ctx: ToolContext, prompts: list[str], options: dict[str, Any] | None = None) -> Join:
    """Give tasks."""
    chosen = dict(options or {})
    if chosen.pop("typed", False):
        chosen["output"] = Person
    if width := chosen.pop("schema_of", 0):
        chosen["output"] = {"type": "object", "description": "x" * width}
    padding = "x" * chosen.pop("padded", 0)
    if padding:
        prompts = [f"{prompt} {padding}" for prompt in prompts]
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
    if word == "nested" and len(request.messages) == 1:
        return Reply(text='{"name":' + "[" * int(rest))
    if word == "nested":
        return Reply(text='{"name": "ann", "age": 3}')
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
