"""Our messages as pydantic-ai's, which it turns into each provider's wire format."""

from collections.abc import Sequence

from pydantic_ai import messages as theirs

from bursar.messages import AssistantMessage, ToolMessage, UserMessage
from bursar.models import ModelRequest

__all__ = ["to_provider"]


def to_provider(request: ModelRequest) -> list[theirs.ModelMessage]:
    """Return the request's messages; what stands between two answers becomes one request.

    Reasoning is not sent back: providers accept only their own signed copy of it.
    """
    converted: list[theirs.ModelMessage] = []
    parts: list[theirs.ModelRequestPart] = []
    if request.system:
        parts.append(theirs.SystemPromptPart(request.system))
    for message in request.messages:
        if isinstance(message, AssistantMessage):
            answer = _answer(message)
            if answer:
                _close(converted, parts)
                parts = []
                converted.append(theirs.ModelResponse(parts=answer))
        else:
            parts.append(_part(message))
    _close(converted, parts)
    return converted


def _close(converted: list[theirs.ModelMessage], parts: Sequence[theirs.ModelRequestPart]) -> None:
    if parts:
        converted.append(theirs.ModelRequest(parts=list(parts)))


def _answer(message: AssistantMessage) -> list[theirs.ModelResponsePart]:
    parts: list[theirs.ModelResponsePart] = []
    if message.text:
        parts.append(theirs.TextPart(message.text))
    parts.extend(
        theirs.ToolCallPart(tool_name=call.name, args=call.arguments, tool_call_id=call.id)
        for call in message.tool_calls
    )
    return parts


def _part(message: UserMessage | ToolMessage) -> theirs.ModelRequestPart:
    if isinstance(message, ToolMessage):
        return theirs.ToolReturnPart(
            tool_name=message.name,
            content=message.output,
            tool_call_id=message.call_id,
            outcome="failed" if message.is_error else "success",
        )
    return theirs.UserPromptPart(message.text)
