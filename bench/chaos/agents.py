"""The agents that workers serve while things break around them.

``worker`` does what its input says, such as ``steps=3 calls=2 effect=at_most_once delay_ms=20``:
so many steps with so many calls of a tool of that class, then an answer. With ``park=1`` its
provider asks once to come back later. ``poison`` kills the process that runs it. Each tool writes a
line into the file that ``CHAOS_EFFECTS`` names: that is its effect, and nobody takes it back.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from decimal import Decimal

from bench.marks import make_mark
from bursar import Agent, Policy, ToolContext, tool
from bursar.errors import ModelError
from bursar.messages import AssistantMessage, ToolCall, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price, TextDelta

__all__ = ["poison", "worker"]


def _take_effect(kind: str, ctx: ToolContext) -> str:
    make_mark(kind, ctx.session, ctx.turn, ctx.step, ctx.call_id, ctx.idempotency_key)
    return f"done {ctx.call_id}"


@tool(effect="pure")
async def look(ctx: ToolContext, delay_ms: int = 0) -> str:
    """Look at something."""
    await asyncio.sleep(delay_ms / 2000)
    shown = _take_effect("pure", ctx)
    await asyncio.sleep(delay_ms / 2000)
    return shown


@tool(effect="idempotent", cost_usd="0.001")
async def store(ctx: ToolContext, delay_ms: int = 0) -> str:
    """Store something under the call's key."""
    await asyncio.sleep(delay_ms / 2000)
    shown = _take_effect("idempotent", ctx)
    await asyncio.sleep(delay_ms / 2000)
    return shown


@tool(effect="at_most_once", cost_usd="0.002")
async def pay(ctx: ToolContext, delay_ms: int = 0) -> str:
    """Pay for something."""
    await asyncio.sleep(delay_ms / 2000)
    shown = _take_effect("at_most_once", ctx)
    await asyncio.sleep(delay_ms / 2000)
    return shown


_TOOLS = {"pure": "look", "idempotent": "store", "at_most_once": "pay"}


class _Obedient:
    """Answers as the turn's input says, word by word."""

    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    max_input_tokens = 200_000

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        wish, step = _wish(request)
        if wish.get("park") == "1" and _first_time(request.turn):
            raise ModelError("come back later", retryable=True, status=429, retry_after_s=3)
        delay_s = int(wish.get("delay_ms", 0)) / 1000
        for word in range(4):
            await asyncio.sleep(delay_s / 4)
            yield TextDelta(f"{step}.{word} ")
        if step < int(wish.get("steps", 1)):
            for number in range(int(wish.get("calls", 1))):
                arguments = json.dumps({"delay_ms": int(wish.get("delay_ms", 0))})
                yield ToolCall(f"c{number}", _TOOLS[wish["effect"]], arguments)
        yield Usage(input_tokens=10, output_tokens=8)


class _Deadly:
    """Takes its worker with it, each time."""

    price = _Obedient.price

    async def stream(self, _: ModelRequest) -> AsyncIterator[ModelEvent]:
        yield TextDelta("good-bye")
        time.sleep(0.01)  # noqa: ASYNC251  (nothing else gets a chance)
        os.kill(os.getpid(), signal.SIGKILL)


def _first_time(turn: str) -> bool:
    """Whether no process has asked this for the turn before."""
    try:
        os.close(os.open(f"{os.environ['CHAOS_EFFECTS']}.{turn}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _wish(request: ModelRequest) -> tuple[dict[str, str], int]:
    """The words of the turn's input, and how many answers the turn has had."""
    words, answers = "", 0
    for message in request.messages:
        if isinstance(message, UserMessage):
            words, answers = message.text, 0
        elif isinstance(message, AssistantMessage):
            answers += 1
    return dict(part.split("=") for part in words.split()), answers


def _agent(name: str) -> Agent:
    return Agent(
        name=name,
        model=_Obedient(),
        tools=[look, store, pay],
        policy=Policy(allow=["look", "store", "pay"]),
    )


worker = _agent("worker")
poison = Agent(name="poison", model=_Deadly())
