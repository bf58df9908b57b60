"""The model protocol: what an agent's ``model`` has to be able to do.

Anything with ``async def stream(request) -> AsyncIterator[ModelEvent]`` is a model. Names such as
``anthropic:claude-sonnet-4-5`` or ``local:reader`` are turned into such objects by the worker.
"""

from collections.abc import AsyncIterator
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol, runtime_checkable

import msgspec

from bursar.messages import Message, ToolCall, Usage

__all__ = [
    "Model",
    "ModelEvent",
    "ModelRequest",
    "Price",
    "ReasoningDelta",
    "TextDelta",
    "ToolCall",
    "ToolSpec",
    "Usage",
]


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it. ``parameters`` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelRequest(msgspec.Struct, frozen=True):
    """One model call. ``max_output_tokens`` is a hard bound that the budget paid for."""

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096
    temperature: float | None = None
    session: str = ""
    turn: str = ""


class TextDelta(msgspec.Struct, frozen=True):
    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    text: str


ModelEvent = TextDelta | ReasoningDelta | ToolCall | Usage


class Price(msgspec.Struct, frozen=True):
    """A flat price in US dollars per million tokens, which is micro-USD per token.

    Cached and reasoning tokens are charged as plain input and output.
    """

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal

    def cost_microusd(self, usage: Usage) -> int:
        """Cost of a finished call, rounded up to a whole micro-USD."""
        cost = (
            usage.input_tokens * self.input_usd_per_mtok
            + usage.output_tokens * self.output_usd_per_mtok
        )
        return int(cost.to_integral_value(ROUND_CEILING))


@runtime_checkable
class Model(Protocol):
    """Streams one answer: deltas and tool calls as they come, then one `Usage` at the end.

    Optional attributes: ``price: Price`` (otherwise the price table decides, and an unknown price
    is refused) and ``max_input_tokens: int``, the model's window.

    Raises:
        ModelError: ``retryable=True`` only if a further attempt may succeed. The worker retries
            only while nothing of the answer has arrived.

    """

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]: ...
