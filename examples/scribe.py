"""Writes what it is told into the file that it is told, and asks people before it does.

BURSAR_FILES_ROOT=. bursar dev --agents examples.scribe
bursar run scribe "notes/today.md: It rains." --path desk
"""

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar import Agent, Price
from bursar.messages import ToolMessage, UserMessage
from bursar.models import ModelEvent, ModelRequest, TextDelta, ToolCall, Usage
from bursar_worker.builtin.workspace import read_file, write_file

ASKED = re.compile(r"(?P<path>[^:]+):\s*(?P<content>.+)", re.DOTALL)


class Clerk:
    price = Price(Decimal("0.1"), Decimal("0.4"))

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            yield TextDelta(last.output)
        elif isinstance(last, UserMessage) and (asked := ASKED.fullmatch(last.text)):
            yield ToolCall("call_1", "write_file", json.dumps(asked.groupdict()))
        else:
            yield TextDelta("Tell me a file and what to write, such as: notes/today.md: It rains.")
        yield Usage(input_tokens=100, output_tokens=20)


scribe = Agent(
    name="scribe",
    model=Clerk(),
    tools=[read_file, write_file],
    description="Writes files, if people agree.",
)
