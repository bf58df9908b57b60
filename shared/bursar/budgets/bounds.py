"""Bounds of a model call's tokens, known before it is made, and a guess at them.

No tokenizer is needed: a token is never less than one byte of text, and what the last call really
used is known. So a first call is bounded by bytes and later ones are close to the truth.
"""

from collections.abc import Iterable

import msgspec

from bursar.budgets.quotes import Quote
from bursar.messages import AssistantMessage, Message, ToolMessage, Usage
from bursar.models import ModelRequest

__all__ = ["fit_output_tokens", "fit_tokens", "input_bound_tokens", "likely_input_tokens"]

# What providers put around our text and count: roles and markers, and for tools a hidden prompt
# (Anthropic documents some 300 to 800 tokens of it).
_REQUEST_TOKENS = 64
_MESSAGE_TOKENS = 16
_CALL_TOKENS = 16
_TOOL_TOKENS = 64
_ANY_TOOLS_TOKENS = 1024
_BYTES_A_TOKEN = 3  # rather too few: English text has four, code and other scripts about three


def input_bound_tokens(
    request: ModelRequest, last: Usage | None, new_messages: Iterable[Message]
) -> int:
    """Return a number of input tokens that the call cannot exceed.

    Args:
        request: The call that is to be made.
        last: Usage of the previous call, if this request only adds to that one's messages: same
            model, system text and tools. None after a compaction or a change, and at first.
        new_messages: What came after the previous answer; the answer itself is in ``last``.

    """
    if last is not None and last.input_tokens > 0:
        new = sum(_message_tokens(message) for message in new_messages)
        return last.total_tokens + new + _REQUEST_TOKENS
    bound = _REQUEST_TOKENS + _bytes(request.system)
    bound += sum(_message_tokens(message) for message in request.messages)
    if request.tools:
        schemas = sum(len(msgspec.json.encode(tool)) + _TOOL_TOKENS for tool in request.tools)
        bound += _ANY_TOOLS_TOKENS + schemas
    return bound


def likely_input_tokens(
    request: ModelRequest, last: Usage | None, new_messages: Iterable[Message]
) -> int:
    """Return about how many input tokens the call will have; arguments as `input_bound_tokens`."""
    if last is not None and last.input_tokens > 0:
        new = sum(_message_tokens(message) for message in new_messages)
        return last.total_tokens + new // _BYTES_A_TOKEN
    return input_bound_tokens(request, None, ()) // _BYTES_A_TOKEN


def fit_output_tokens(
    available_microusd: int | None, quote: Quote, input_bound: int, wanted: int, floor: int
) -> int:
    """Return how many output tokens of ``wanted`` the purse can pay for, at worst.

    0 means that it cannot pay for ``floor`` tokens (or for ``wanted``, if that is less), so the
    call should not be made. ``available_microusd`` is None where no limit applies.
    """
    if available_microusd is None:
        return wanted
    fitting = min(wanted, quote.affordable_output_tokens(available_microusd, input_bound))
    return fitting if fitting >= min(floor, wanted) else 0


def fit_tokens(available: int, input_bound: int, wanted: int, floor: int) -> int:
    """The same for an account that is short of tokens instead of money."""
    fitting = min(wanted, available - input_bound)
    return fitting if fitting >= min(floor, wanted) else 0


def _message_tokens(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        calls = sum(
            _CALL_TOKENS + _bytes(call.id) + _bytes(call.name) + _bytes(call.arguments)
            for call in message.tool_calls
        )
        return _MESSAGE_TOKENS + _bytes(message.text) + _bytes(message.reasoning) + calls
    if isinstance(message, ToolMessage):
        named = _bytes(message.call_id) + _bytes(message.name)
        return _MESSAGE_TOKENS + named + _bytes(message.output)
    return _MESSAGE_TOKENS + _bytes(message.text)


def _bytes(text: str) -> int:
    return len(text.encode())
