"""Converts lengths without any provider: the agent's model is an object of our own.

bursar dev --agents examples.units, and then: bursar run units "How much is 26.2 mi in km?"
"""

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar import Agent, Price, tool
from bursar.messages import ToolMessage, UserMessage
from bursar.models import ModelEvent, ModelRequest, TextDelta, ToolCall, Usage

METRES = {"mm": "0.001", "cm": "0.01", "m": "1", "km": "1000", "in": "0.0254", "mi": "1609.344"}
ASKED = re.compile(r"(?P<amount>\d+(\.\d+)?)\s*(?P<unit>\w+)\s+(in|to)\s+(?P<to>\w+)")


@tool(effect="pure")
def convert(amount: str, unit: str, to: str) -> str:
    """Convert a length; units are mm, cm, m, km, in and mi."""
    result = Decimal(amount) * Decimal(METRES[unit]) / Decimal(METRES[to])
    return f"{amount} {unit} = {result:.6g} {to}"


class Clerk:
    price = Price(Decimal("0.1"), Decimal("0.4"))

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            yield TextDelta(last.output)
        elif isinstance(last, UserMessage) and (asked := ASKED.search(last.text)):
            yield ToolCall("call_1", "convert", json.dumps(asked.groupdict()))
        else:
            yield TextDelta("Ask me for a length, such as: 26.2 mi in km")
        yield Usage(input_tokens=100, output_tokens=20)


units = Agent(name="units", model=Clerk(), tools=[convert], description="Converts lengths.")
