"""For the tests of those who write agents: a model that follows a script, and a tool context.

model = ScriptedModel([
    ToolCall("c1", "search", '{"query": "tides"}'),
    "The moon makes the tides.",
])
agent = Agent(name="tides", model=model, tools=[search])
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bursar.clock import monotonic_s
from bursar.context import Emit, ToolContext
from bursar.errors import ModelError
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, Usage
from bursar.models import ModelEvent, ModelRequest, Price, ReasoningDelta, TextDelta

__all__ = ["Answer", "Reply", "ScriptedModel", "tool_context"]


_PRICE = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))
_CHUNK = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer in full. ``usage`` None counts a token per four bytes, as local models do.

    With ``error`` the answer breaks off after what it has said, or at once if it says nothing.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    delay_s: float = 0.0
    """Pause before the first event."""
    chunk_delay_s: float = 0.0
    """Pause before each word."""
    usage: Usage | None = None
    error: Exception | None = None


Answer = str | ToolCall | Sequence[ToolCall] | Exception | Reply
"""Text, tool calls, an error to raise, or all of it in a `Reply`."""


@dataclass
class ScriptedModel:
    """Gives one answer of ``script`` for each call, in order; a function makes it from the request.

    ``requests`` are the calls so far, as the worker made them.

    Raises:
        ModelError: With code ``script_exhausted``, for a call that the script has no answer for.

    """

    script: Sequence[Answer | Callable[[ModelRequest], Answer]]
    name: str = "scripted"
    price: Price = _PRICE
    max_input_tokens: int = 200_000
    requests: list[ModelRequest] = field(default_factory=list)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        number = len(self.requests)
        self.requests.append(request)
        if number >= len(self.script):
            raise ModelError(
                f"the script has {len(self.script)} answers and this is call {number + 1}",
                code="script_exhausted",
            )
        reply = _reply(self.script[number], request)
        await asyncio.sleep(reply.delay_s)
        if reply.reasoning:
            yield ReasoningDelta(reply.reasoning)
        for chunk in _CHUNK.findall(reply.text):
            await asyncio.sleep(reply.chunk_delay_s)
            yield TextDelta(chunk)
        for call in reply.tool_calls:
            yield call
        if reply.error is not None:
            raise reply.error
        yield reply.usage or _usage(request, reply)


def tool_context(
    *,
    files: Path | None = None,
    timeout_s: float = 60.0,
    call_id: str = "call_1",
    on_emit: Emit | None = None,
) -> ToolContext:
    """Return a context to call a tool with: ``await search(tool_context(), "tides")``."""
    return ToolContext(
        workspace="test",
        session="ses_test",
        user="tester",
        turn="turn_test",
        step=1,
        call_id=call_id,
        deadline=monotonic_s() + timeout_s,
        files=files,
        on_emit=on_emit,
    )


def _reply(answer: Answer | Callable[[ModelRequest], Answer], request: ModelRequest) -> Reply:
    if isinstance(answer, Reply):
        return answer
    if isinstance(answer, str):
        return Reply(text=answer)
    if isinstance(answer, ToolCall):
        return Reply(tool_calls=(answer,))
    if isinstance(answer, Exception):
        return Reply(error=answer)
    if callable(answer):
        return _reply(answer(request), request)
    return Reply(tool_calls=answer)


def _usage(request: ModelRequest, reply: Reply) -> Usage:
    said = reply.text + reply.reasoning + _written(reply.tool_calls)
    return Usage(input_tokens=_tokens(_read(request)), output_tokens=_tokens(said))


def _read(request: ModelRequest) -> str:
    texts = [request.system]
    for message in request.messages:
        if isinstance(message, AssistantMessage):
            texts.append(message.text + _written(message.tool_calls))
        elif isinstance(message, ToolMessage):
            texts.append(message.output)
        else:
            texts.append(message.text)
    return "".join(texts)


def _written(calls: Sequence[ToolCall]) -> str:
    return "".join(call.name + call.arguments for call in calls)


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)
