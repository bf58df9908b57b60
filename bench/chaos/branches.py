"""The agents of trees that are stopped on the way.

An input is JSON: a list has a task for each of its members, and a number is a model call that says
something each few milliseconds for so long. ``[[3000, 3000], [3000]]`` is a tree of six sessions
with three of them in model calls. Each word leaves a mark, which says when its model still worked.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal

from bench.marks import make_mark
from bursar import Agent
from bursar.messages import ToolCall, ToolMessage, Usage, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price, TextDelta

__all__ = ["branch"]

_WORD_S = 0.02


class _Branching:
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
    max_input_tokens = 200_000

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        said = next(m.text for m in request.messages if isinstance(m, UserMessage))
        wish = json.loads(said)
        if isinstance(wish, int):
            until = time.monotonic() + wish / 1000
            while time.monotonic() < until:
                make_mark("alive", request.session, time.time_ns())
                yield TextDelta("word ")
                await asyncio.sleep(_WORD_S)
        elif any(isinstance(m, ToolMessage) for m in request.messages):
            yield TextDelta("joined")
        else:
            for number, part in enumerate(wish):
                yield ToolCall(f"c{number}", "task", json.dumps({"prompt": json.dumps(part)}))
        yield Usage(input_tokens=10, output_tokens=10)


branch = Agent(name="branch", model=_Branching(), subagents=["branch"], max_output_tokens=1000)
