"""Agents for benchmarks whose models cost nothing, so that the machine around them is measured.

``stub`` answers with one word. ``brief`` does so with a small window, and counts what it is shown,
so that long contexts are summarised. ``clock`` streams the time, word by word, as a provider would:
``tokens=100 rate=50``. ``flood`` streams ``tokens=1000`` as fast as it can, as events that cannot
be joined. ``long`` takes ``steps=5`` steps of ``delay_ms=100``, with a tool's call in between.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar import Agent, Policy, tool
from bursar.messages import AssistantMessage, ToolCall, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price, ReasoningDelta, TextDelta

__all__ = ["brief", "clock", "flood", "long", "stub"]

_PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))


class _Model:
    price = _PRICE
    max_input_tokens = 1_000_000


class _Stub(_Model):
    async def stream(self, _: ModelRequest) -> AsyncIterator[ModelEvent]:
        yield TextDelta("yes")
        yield Usage(input_tokens=5, output_tokens=1)


class _Brief(_Model):
    max_input_tokens = 8_000

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        shown = len(request.system) + sum(len(getattr(m, "text", "")) for m in request.messages)
        yield TextDelta("yes")
        yield Usage(input_tokens=1 + shown // 4, output_tokens=1)


class _Clock(_Model):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        wish = _wish(request)
        count, pause_s = int(wish["tokens"]), 1 / float(wish["rate"])
        due_s = time.monotonic()
        for _ in range(count):
            due_s += pause_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            yield TextDelta(f"{time.monotonic_ns()} ")
        yield Usage(input_tokens=5, output_tokens=count)


class _Flood(_Model):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        count = int(_wish(request)["tokens"])
        for number in range(count):
            # Neighbours of one kind would be joined.
            yield TextDelta("word ") if number % 2 else ReasoningDelta("word ")
            if number % 20 == 0:
                await asyncio.sleep(0)
        yield Usage(input_tokens=5, output_tokens=count)


class _Long(_Model):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        wish = _wish(request)
        done = 0
        for message in reversed(request.messages):
            if isinstance(message, UserMessage):
                break
            done += isinstance(message, AssistantMessage)
        await asyncio.sleep(int(wish["delay_ms"]) / 1000)
        yield TextDelta("step ")
        if done < int(wish["steps"]):
            yield ToolCall(f"c{done}", "nod")
        yield Usage(input_tokens=5, output_tokens=2)


def _wish(request: ModelRequest) -> dict[str, str]:
    for message in reversed(request.messages):
        if isinstance(message, UserMessage):
            return dict(part.split("=") for part in message.text.split())
    return {}


@tool(effect="pure")
async def nod() -> str:
    """Nod."""
    return "yes"


stub = Agent(name="stub", model=_Stub())
brief = Agent(name="brief", model=_Brief())
clock = Agent(name="clock", model=_Clock(), max_output_tokens=100_000)
flood = Agent(name="flood", model=_Flood(), max_output_tokens=1_000_000)
long = Agent(name="long", model=_Long(), tools=[nod], policy=Policy(allow=["nod"]))
