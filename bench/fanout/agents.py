"""The agents of the fan-out figures; their models cost little, so that the machine is measured.

``parent`` gives as many tasks as its input says, ``children=3 delay_ms=0``, waits for them, and
says how many were answered. ``child`` takes the time of its task for each of its answers.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar import Agent
from bursar.messages import ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price, TextDelta

__all__ = ["child", "parent", "stub"]

_A_STEP = 32


class _Model:
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    max_input_tokens = 1_000_000


class _Parent(_Model):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        wish = _wish(request)
        results = [m for m in request.messages if isinstance(m, ToolMessage)]
        left = int(wish["children"]) - len(results)
        if left > 0:
            for number in range(min(left, _A_STEP)):
                arguments = json.dumps({"prompt": f"delay_ms={wish['delay_ms']}"})
                yield ToolCall(f"c{len(results) + number}", "task", arguments)
        else:
            yield TextDelta(f"{sum(not each.is_error for each in results)} answered")
        yield Usage(input_tokens=5, output_tokens=5)


class _Child(_Model):
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        await asyncio.sleep(int(_wish(request)["delay_ms"]) / 1000)
        yield TextDelta("yes")
        yield Usage(input_tokens=5, output_tokens=1)


class _Stub(_Model):
    async def stream(self, _: ModelRequest) -> AsyncIterator[ModelEvent]:
        yield TextDelta("yes")
        yield Usage(input_tokens=5, output_tokens=1)


def _wish(request: ModelRequest) -> dict[str, str]:
    """The words of the input."""
    said = next(m.text for m in request.messages if isinstance(m, UserMessage))
    return dict(part.split("=") for part in said.split())


parent = Agent(name="parent", model=_Parent(), subagents=["child"])
child = Agent(name="child", model=_Child())
stub = Agent(name="stub", model=_Stub())
