"""How local models count: a token is four bytes of UTF-8, begun ones included.

Real tokenizers come to about the same on English text, and this one is never more than a token a
byte, which is what budgets bound calls by.
"""

import asyncio
import re
from collections.abc import AsyncIterator

import msgspec

from bursar.errors import ModelError
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, Usage
from bursar.models import ModelEvent, ModelRequest, TextDelta

__all__ = ["BYTES_PER_TOKEN", "call_tokens", "count_input", "count_tokens", "cut", "say", "within"]

BYTES_PER_TOKEN = 4
_CHUNK = re.compile(r"\s*\S+\s?|\s+")


def count_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def call_tokens(call: ToolCall) -> int:
    return count_tokens(call.name) + count_tokens(call.arguments)


def count_input(request: ModelRequest, limit: int) -> int:
    """Count a request's tokens; refuse it when it is above ``limit``, the model's window."""
    total = count_tokens(request.system)
    total += sum(count_tokens(msgspec.json.encode(tool).decode()) for tool in request.tools)
    for message in request.messages:
        if isinstance(message, AssistantMessage):
            total += count_tokens(message.text) + sum(map(call_tokens, message.tool_calls))
        elif isinstance(message, ToolMessage):
            total += count_tokens(message.output)
        else:
            total += count_tokens(message.text)
    if total > limit:
        raise ModelError(
            f"the input has {total} tokens, the window of {request.model} is {limit}",
            code="context_too_long",
        )
    return total


def within(calls: list[ToolCall], max_tokens: int) -> list[ToolCall]:
    """Return as many of the calls as the allowed output holds; the rest waits for the next step."""
    fitting = []
    for call in calls:
        max_tokens -= call_tokens(call)
        if max_tokens < 0:
            break
        fitting.append(call)
    return fitting


def cut(text: str, max_tokens: int) -> str:
    """Return as much of ``text`` as ``max_tokens`` allow, on a character boundary."""
    return text.encode()[: max_tokens * BYTES_PER_TOKEN].decode(errors="ignore")


async def say(
    text: str, input_tokens: int, *, max_tokens: int, delay_s: float
) -> AsyncIterator[ModelEvent]:
    """Stream a text word by word, ``delay_s`` apart, then its usage."""
    said = cut(text, max_tokens)
    for chunk in _CHUNK.findall(said):
        # Without a pause too: other drives of the worker get their turn between two words.
        await asyncio.sleep(delay_s)
        yield TextDelta(chunk)
    yield Usage(input_tokens=input_tokens, output_tokens=count_tokens(said))
