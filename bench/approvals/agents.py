"""Agents that ask for what people have to allow.

Their input says what: ``tag=x calls=4 tool=mark`` is one step with four calls ``x.0`` to ``x.3`` of
that tool, then an answer. ``steps=50`` does so fifty times. A call's effect is a line in the file
that ``CHAOS_EFFECTS`` names, with what it was called with and when. ``changer`` is an agent whose
tool is another one as soon as ``BENCH_TOOL_VERSION`` is.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from decimal import Decimal

from bench.marks import make_mark
from bursar import Agent, ToolContext, tool
from bursar.messages import AssistantMessage, ToolCall, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price, TextDelta

__all__ = ["asker", "changer", "looper"]

_VERSION = os.environ.get("BENCH_TOOL_VERSION", "1")


def _take_effect(kind: str, ctx: ToolContext, what: str) -> str:
    place = (ctx.workspace, ctx.session, ctx.turn, ctx.step, ctx.call_id)
    make_mark(kind, *place, ctx.idempotency_key, what, time.monotonic_ns())
    return f"done {what}"


@tool(effect="at_most_once")
async def mark(ctx: ToolContext, what: str, delay_ms: int = 0) -> str:
    """Make a mark that must not be made twice."""
    await asyncio.sleep(delay_ms / 2000)
    done = _take_effect("at_most_once", ctx, what)
    await asyncio.sleep(delay_ms / 2000)
    return done


@tool(effect="idempotent")
async def keep(ctx: ToolContext, what: str, delay_ms: int = 0) -> str:
    """Keep something under the call's key."""
    await asyncio.sleep(delay_ms / 2000)
    done = _take_effect("idempotent", ctx, what)
    await asyncio.sleep(delay_ms / 2000)
    return done


@tool(name="mark", effect="at_most_once", version=_VERSION)
async def changing(ctx: ToolContext, what: str, delay_ms: int = 0) -> str:
    """Make a mark."""
    del delay_ms
    return _take_effect("at_most_once", ctx, what)


class _Asking:
    """Asks for what the turn's input says."""

    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    max_input_tokens = 1_000_000

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        wish, step = _wish(request)
        yield TextDelta(f"step {step}")
        if "tag" in wish and step < int(wish.get("steps", 1)):
            for number in range(int(wish.get("calls", 1))):
                what = f"{wish['tag']}.{step}.{number}"
                arguments = {"what": what, "delay_ms": int(wish.get("delay_ms", 0))}
                yield ToolCall(what, wish.get("tool", "mark"), json.dumps(arguments))
        yield Usage(input_tokens=10, output_tokens=8)


def _wish(request: ModelRequest) -> tuple[dict[str, str], int]:
    """The words of the turn's input, and how many answers the turn has had."""
    words, answers = "", 0
    for message in request.messages:
        if isinstance(message, UserMessage):
            words, answers = message.text, 0
        elif isinstance(message, AssistantMessage):
            answers += 1
    return dict(part.split("=") for part in words.split() if "=" in part), answers


asker = Agent(name="asker", model=_Asking(), tools=[mark, keep])
changer = Agent(name="changer", model=_Asking(), tools=[changing])
looper = Agent(name="looper", model=_Asking(), tools=[mark, keep], max_steps=100_000)
